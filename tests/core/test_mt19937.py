"""The host generator gives PyTorch's numbers, takes PyTorch's seeds and exchanges PyTorch's states."""

from __future__ import annotations

import itertools
import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from torchplug._core.mt19937 import DEFAULT_SEED, HostGenerator

SIZES = (0, 1, 2, 15, 16, 17, 31, 100, 1000, 4097)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
HALVES = (np.dtype(np.float16), BFLOAT16)
REALS = (np.dtype(np.float32), np.dtype(np.float64), *HALVES)
COMPLEX = (np.dtype(np.complex64), np.dtype(np.complex128))
INTEGERS = tuple(np.dtype(name) for name in ("uint8", "int8", "int16", "int32", "int64"))

# What two libraries' log, sin and cos may differ by, relative to 1 and to the number.
TOLERANCE = {4: 2.4e-7, 8: 1e-14, 2: 0.0}


class Pair:
    """A host generator and a PyTorch one that must stay in step."""

    def __init__(self, seed: int = 1) -> None:
        self.torch = pytest.importorskip("torch")
        self.draws = pytest.importorskip("torch_draws")
        self.host = HostGenerator(seed)
        self.other = self.torch.Generator().manual_seed(seed)

    def draw(self, method: str, *args: Any, exact: bool = True, **kwargs: Any) -> np.ndarray:
        ours = getattr(self.host, method)(*args, **kwargs)
        assert_same(ours, self.draws.draw(self.other, method, *args, **kwargs), exact)
        assert ours.flags.c_contiguous and ours.flags.writeable
        return ours

    def assert_in_step(self) -> None:
        theirs = self.other.get_state().numpy()
        ours = self.host.get_state()
        # The spare normal number may differ in its last bits.
        spare = slice(5016, 5040)
        np.testing.assert_array_equal(np.delete(ours, spare), np.delete(theirs, spare))
        np.testing.assert_allclose(ours[spare].view(np.float64), theirs[spare].view(np.float64), rtol=1e-14)


def assert_same(ours: np.ndarray, theirs: np.ndarray, exact: bool = True) -> None:
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    if exact:
        assert ours.tobytes() == theirs.tobytes()
        return
    wide = np.complex128 if ours.dtype.kind == "c" else np.float64
    tolerance = TOLERANCE[ours.dtype.itemsize // (2 if ours.dtype.kind == "c" else 1)]
    if not tolerance:  # One unit in the last place, where the float32 before rounding straddles a midpoint.
        tolerance = 2.0 ** -(7 if ours.dtype == BFLOAT16 else 10)
        assert (ours != theirs).sum() <= 1 + ours.size // 100
    np.testing.assert_allclose(ours.astype(wide), theirs.astype(wide), rtol=tolerance, atol=tolerance)


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
        pair.draw("normal_arrays", mean[:1, :1].reshape(()), std[0, :3], exact=False)
        pair.draw("normal_arrays", mean, np.float64(2.0).reshape(()), exact=False)
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
    pair.draw("poisson", np.full((), 12.0, dtype))
    pair.draw("poisson", np.zeros((0, 2), dtype))
    pair.assert_in_step()
