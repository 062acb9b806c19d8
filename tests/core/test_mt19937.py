"""The host generator draws PyTorch's numbers, and as many words for them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from generator_pair import BFLOAT16, COMPLEX, HALVES, INTEGERS, REALS, Pair

from torchplug._core.mt19937 import HostGenerator

SIZES = (0, 1, 2, 15, 16, 17, 31, 100, 1000, 4097)


@pytest.mark.parametrize("dtype", (*REALS, *COMPLEX), ids=str)
@pytest.mark.parametrize("size", SIZES)
def test_rand_is_torch_rand(size: int, dtype: np.dtype) -> None:
    pair = Pair()
    pair.draw("rand", size, dtype)
    pair.draw("rand", (3, 2, size), dtype)
    pair.assert_in_step()


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.0, 0.37), (-0.1234, 0.1234), (5.0, 11.0), (-3.0, -3.0), (1e-3, 7e4)])
@pytest.mark.parametrize("dtype", (*REALS, *COMPLEX), ids=str)
def test_uniform_is_tensor_uniform_(dtype: np.dtype, bounds: tuple[float, float]) -> None:
    if dtype == np.float16 and bounds[1] > 65504:
        bounds = (1e-3, 6e4)
    pair = Pair()
    for size in (*SIZES, (4, 5)):
        pair.draw("uniform", size, dtype, *bounds)
    pair.assert_in_step()


def test_a_product_and_sum_that_lands_between_two_floats_is_rounded_once() -> None:
    pair = Pair(5)
    for scale in range(40):
        pair.draw("uniform", 50_000, np.float32, -(1.1**scale), 1.3**scale)
    pair.draw("uniform", 300_000, np.float64, -0.7, 0.30001)


def test_the_upper_bound_of_a_16_bit_uniform_never_appears() -> None:
    pair = Pair()
    for dtype in HALVES:
        assert pair.draw("uniform", 20_000, dtype, 0.0, 1.0).max() < 1
        assert pair.draw("uniform", 20_000, dtype, 1.0, 1.01).max() < 1.01


@pytest.mark.parametrize("dtype", (*REALS, *COMPLEX), ids=str)
@pytest.mark.parametrize("size", SIZES)
def test_randn_is_torch_randn(size: int, dtype: np.dtype) -> None:
    pair = Pair()
    pair.draw("randn", size, dtype, exact=False)
    pair.draw("randn", (3, size), dtype, exact=False)
    pair.assert_in_step()


@pytest.mark.parametrize("dtype", (*REALS, *COMPLEX), ids=str)
def test_normal_is_tensor_normal_(dtype: np.dtype) -> None:
    pair = Pair()
    for size in SIZES:
        pair.draw("normal", size, dtype, 0.5, 0.02, exact=False)
        pair.draw("normal", size, dtype, -1.0, 0.0, exact=False)
    pair.assert_in_step()


def test_the_second_normal_of_a_pair_is_kept_for_the_next_small_draw() -> None:
    pair = Pair()
    for size in (1, 1, 3, 2, 16, 1, 15, 1, 1):
        pair.draw("randn", size, np.float64, exact=False)
        pair.draw("log_normal", size, np.float64, 0.1, 0.3, exact=False)
        pair.draw("rand", size, np.float32)
    pair.draw("randn", 1, np.float32, exact=False)
    pair.assert_in_step()
    pair.host.manual_seed(9)
    pair.other.manual_seed(9)
    pair.draw("randn", 1, np.float32, exact=False)


def test_normal_arrays_is_torch_normal_of_tensors() -> None:
    pair = Pair()
    rng = np.random.default_rng(0)
    for dtype in REALS:
        mean, std = rng.normal(size=(7, 5)).astype(dtype), rng.uniform(size=(7, 5)).astype(dtype)
        pair.draw("normal_arrays", mean, std, exact=False)
        pair.draw("normal_arrays", mean, 0.5, exact=False)
        pair.draw("normal_arrays", 0.5, std, exact=False)
        pair.draw("normal_arrays", mean, std[0], exact=False)
        pair.draw("normal_arrays", np.array(mean[0, 0]), std[0, :3], exact=False)
        pair.draw("normal_arrays", mean, np.array(1.1), exact=False)
        pair.draw("normal_arrays", np.array(mean[0, 0]), np.array(std[0, 0]), exact=False)
        pair.draw("normal_arrays", np.array(mean[0, 0]), 0.3, exact=False)
    single = rng.normal(size=20).astype(np.float32)
    pair.draw("normal_arrays", single, rng.uniform(size=20), exact=False)
    pair.assert_in_step()


@pytest.mark.parametrize("dtype", (*INTEGERS, np.dtype(bool), *REALS), ids=str)
def test_random_without_bounds_has_the_range_of_its_dtype(dtype: np.dtype) -> None:
    pair = Pair()
    for size in SIZES:
        pair.draw("random_", size, dtype)
    pair.assert_in_step()


@pytest.mark.filterwarnings("ignore:.*is out of bounds:UserWarning")
@pytest.mark.parametrize("dtype", (*INTEGERS, *REALS), ids=str)
@pytest.mark.parametrize("bounds", [(0, 10), (0, 1), (0, 64), (3, 117), (0, 2**28 - 1), (0, 2**28), (-5, 2**40)])
def test_randint_is_torch_randint(bounds: tuple[int, int], dtype: np.dtype) -> None:
    last = np.iinfo(dtype).max if dtype.kind in "iu" else 60_000 if dtype == np.float16 else 2**50
    low, high = max(bounds[0], np.iinfo(dtype).min if dtype.kind in "iu" else bounds[0]), min(bounds[1], last)
    pair = Pair()
    for size in SIZES:
        pair.draw("randint", size, low, high, dtype)
    pair.assert_in_step()


@pytest.mark.filterwarnings("ignore:.*is out of bounds:UserWarning")
@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("int64", -(2**63), 2**63 - 1),
        ("int64", -(2**63), None),
        ("int64", -(2**63) + 1, None),
        ("int64", 5, None),
        ("float64", -(2**63), None),
        ("float32", -(2**63), None),
        ("bfloat16", -(2**63), None),
        ("int32", -7, None),
        ("uint8", 250, None),
        ("bool", 0, 2),
        ("bool", 1, None),
        ("int16", None, 9),
        ("float16", 0, 65_504),
        ("float16", 2047, None),
        ("float16", -4099, 4099),
        ("bfloat16", 257, 300),
        ("float32", 2**25, 2**25 + 1),
        ("float32", -(2**26) - 1, 2**26 + 1),
        ("float32", 2**24 - 3, None),
        ("float64", 2**60 + 1, 2**60 + 4096),
    ],
)
def test_random_within_bounds_is_tensor_random_(dtype: str, low: int | None, high: int | None) -> None:
    dtype = BFLOAT16 if dtype == "bfloat16" else np.dtype(dtype)
    pair = Pair()
    for size in (0, 1, 17, 1000):
        pair.draw("random_", size, dtype, low, high)
    pair.assert_in_step()


@pytest.mark.parametrize("size", (*SIZES, 511, 512, 513, 60_000))
def test_randperm_is_torch_randperm(size: int) -> None:
    pair = Pair()
    pair.draw("randperm", size, np.int64)
    pair.draw("randperm", size, np.int32)
    pair.draw("randperm", min(size, 256), np.uint8)
    pair.draw("randperm", min(size, 2049), np.float16)
    pair.draw("randperm", size, BFLOAT16)
    pair.draw("randperm", size, np.float64)
    pair.assert_in_step()


@pytest.mark.parametrize("dtype", (*REALS, np.dtype(bool), np.dtype(np.int64)), ids=str)
@pytest.mark.parametrize("p", (0.0, 0.3, 0.5, 0.999, 1.0))
def test_bernoulli_with_a_number_is_tensor_bernoulli_(p: float, dtype: np.dtype) -> None:
    pair = Pair()
    for size in SIZES:
        pair.draw("bernoulli", p, size, dtype)
    pair.assert_in_step()


@pytest.mark.parametrize("dtype", (*REALS, np.dtype(bool)), ids=str)
@pytest.mark.parametrize("chances", REALS, ids=str)
def test_bernoulli_with_an_array_draws_in_the_precision_of_the_array(chances: np.dtype, dtype: np.dtype) -> None:
    pair = Pair()
    p = np.random.default_rng(0).uniform(size=(40, 1, 30)).astype(chances)
    pair.draw("bernoulli", p, (40, 7, 30), dtype)
    pair.draw("bernoulli", p[0, 0], (30,), dtype)
    pair.draw("bernoulli", np.array(p[0, 0, 0]), (), dtype)
    pair.assert_in_step()


@pytest.mark.parametrize("dtype", REALS, ids=str)
def test_dropout_mask_is_what_dropout_keeps(dtype: np.dtype) -> None:
    pair = Pair()
    for size, p in itertools.product(SIZES, (0.0, 0.1, 0.5, 0.9, 1.0)):
        pair.draw("dropout_mask", size, p, dtype)
    pair.draw("dropout_mask", (8, 3, 1, 1), 0.5, dtype)
    pair.assert_in_step()


@pytest.mark.parametrize("dtype", REALS, ids=str)
def test_multinomial_is_torch_multinomial(dtype: np.dtype) -> None:
    pair = Pair()
    rng = np.random.default_rng(0)
    for categories in (1, 2, 10, 300):
        for weights in (rng.uniform(0.1, 1.0, categories), rng.uniform(0.1, 9.0, (6, categories))):
            for samples, replacement in ((1, False), (categories, False), (1, True), (50, True)):
                # Equal priorities come in no promised order in PyTorch, and 16-bit floats are often equal.
                if dtype.itemsize > 2 or replacement or samples == 1:
                    pair.draw("multinomial", weights.astype(dtype), samples, replacement)
    pair.draw("multinomial", np.zeros((0, 3), dtype), 2, False)
    pair.draw("multinomial", np.array([0, 0, 1, 0], dtype), 1, False)
    pair.draw("multinomial", np.array([0, 3, 0, 1, 0], dtype), 20, True)
    pair.draw("multinomial", rng.uniform(0.1, 1.0, 2000).astype(dtype), 20_000, True)
    pair.draw("multinomial", np.full(2, np.finfo(np.float32).max, np.float32), 5, True)
    pair.assert_in_step()


@pytest.mark.parametrize("dtype", REALS, ids=str)
@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("exponential", (1.0,)),
        ("exponential", (0.03,)),
        ("cauchy", (0.0, 1.0)),
        ("cauchy", (-2.0, 0.5)),
        ("log_normal", (0.0, 0.25)),
        ("log_normal", (1.0, 0.5)),
    ],
)
def test_continuous_distributions_are_those_of_torch(method: str, parameters: tuple, dtype: np.dtype) -> None:
    pair = Pair()
    for size in (*SIZES, (3, 5)):
        pair.draw(method, size, dtype, *parameters, exact=False)
    pair.assert_in_step()


@pytest.mark.parametrize("dtype", (*REALS, *INTEGERS), ids=str)
@pytest.mark.parametrize("p", (0.15, 0.5, 0.9))
def test_geometric_is_tensor_geometric_(p: float, dtype: np.dtype) -> None:
    pair = Pair()
    for size in SIZES:
        pair.draw("geometric", size, dtype, p)
    pair.assert_in_step()


@pytest.mark.parametrize("dtype", REALS, ids=str)
def test_poisson_is_torch_poisson(dtype: np.dtype) -> None:
    pair = Pair()
    rates = np.random.default_rng(0).exponential(size=(100, 6)) * [0.0, 0.1, 1.0, 9.9, 20.0, 500.0]
    pair.draw("poisson", rates.astype(dtype))
    pair.draw("poisson", np.linspace(10.0, 200.0, 4000).astype(dtype))
    pair.draw("poisson", np.full((), 12.0, dtype))
    pair.draw("poisson", np.zeros((0, 2), dtype))
    pair.assert_in_step()


CALLS: list[tuple[str, tuple]] = [
    *(("rand", (size, dtype)) for size in (1, 7, 40) for dtype in (*REALS, np.dtype(np.complex64))),
    *(("randn", (size, dtype)) for size in (1, 3, 8, 15, 16, 23, 50) for dtype in (np.float32, np.float64, *HALVES)),
    *(("normal", (size, np.complex64, 0.5, 2.0)) for size in (3, 5, 8, 9)),
    *(("randint", (size, 0, high, np.int64)) for size in (1, 30) for high in (5, 2**35)),
    *(("random_", (size, dtype)) for size in ((), 4) for dtype in (np.int64, np.uint8, np.float64)),
    *(("randperm", (n, np.int64)) for n in (0, 1, 2, 50, 700)),
    ("bernoulli", (0.4, 21, np.float32)),
    ("bernoulli", (np.linspace(0, 1, 9, dtype=np.float32), 9, np.float32)),
    ("bernoulli", (np.linspace(0, 1, 9), 9, np.float64)),
    ("dropout_mask", ((3, 4), 0.25, np.float32)),
    ("exponential", (5, np.float32, 2.0)),
    ("log_normal", (3, np.float32, 0.0, 0.5)),
    ("log_normal", (20, np.float64, 0.0, 0.5)),
    ("geometric", (6, np.int64, 0.3)),
    ("cauchy", (4, np.float64, 0.0, 1.0)),
    ("poisson", (np.array([0.5, 3.0, 11.0, 80.0], np.float32),)),
    ("multinomial", (np.array([0.2, 0.5, 0.3], np.float32), 8, True)),
    ("multinomial", (np.array([[0.2, 0.5, 0.3]], np.float64), 2, False)),
]


@pytest.mark.parametrize("seed", range(5))
def test_any_sequence_of_draws_stays_in_step(seed: int) -> None:
    pair = Pair(seed)
    for choice in np.random.default_rng(seed).integers(0, len(CALLS), 400):
        method, args = CALLS[choice]
        pair.draw(method, *args, exact=False)
    pair.assert_in_step()


def test_every_sequence_of_draws_takes_the_same_number_of_words_at_every_length() -> None:
    pair = Pair()
    for size in range(70):
        for method, args in (("randn", (np.float32,)), ("randn", (np.float64,)), ("randn", (BFLOAT16,))):
            pair.draw(method, size, *args, exact=False)
            pair.assert_in_step()


@pytest.mark.parametrize("method", ("rand", "randn", "exponential", "cauchy", "log_normal", "geometric", "random_"))
def test_a_draw_without_dimensions_is_an_array(method: str) -> None:
    drawn = getattr(HostGenerator(), method)((), np.float32)
    assert isinstance(drawn, np.ndarray) and drawn.shape == () and drawn.dtype == np.float32
