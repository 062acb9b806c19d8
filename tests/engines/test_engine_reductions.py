"""Reductions and products: types kept, NaN first, and accuracy worth the number of elements."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from engines_under_test import FLOATS, INTEGERS, Bench, tolerance

from torchplug_spec import DType
from torchplug_spec import dtypes as dt

_SHAPES = [(), (4,), (3, 5), (2, 3, 4), (2, 1, 3, 2)]
_AXES = [
    (shape, axes)
    for shape in _SHAPES
    for count in range(len(shape) + 1)
    for axes in itertools.combinations(range(len(shape)), count)
]


def need(bench: Bench, *dtypes: DType) -> None:
    for dtype in dtypes:
        if not bench.holds(dtype):
            pytest.skip(f"{bench.name} does not declare {dtype}")


@pytest.mark.parametrize(("shape", "axes"), _AXES, ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("function", ["sum", "prod", "max"])
def test_reductions_over_any_axes(
    bench: Bench, function: str, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool
) -> None:
    x = np.random.default_rng(0).uniform(0.5, 2.0, shape).astype(np.float32)
    expected = getattr(np, function)(x.astype(np.float64), axis=axes, keepdims=keepdims).astype(np.float32)
    spellings: list[Any] = [axes]
    if len(axes) == 1:
        spellings += [axes[0], axes[0] - len(shape)]
    if len(axes) == len(shape):
        spellings.append(None)
    for axis in spellings:
        got = bench.run(function, x, axis, keepdims)
        assert (got.shape, got.dtype) == (expected.shape, np.float32)
        np.testing.assert_allclose(got, expected, rtol=1.3e-6)


@pytest.mark.parametrize("function", ["sum", "prod", "max"])
@pytest.mark.parametrize("layout", ["transposed", "reversed", "sliced", "expanded"])
def test_reductions_of_views(bench: Bench, function: str, layout: str) -> None:
    x = np.random.default_rng(1).uniform(0.5, 2.0, (3, 4, 5)).astype(np.float32)
    array = bench.put(x)
    if layout == "transposed":
        x, array = x.transpose(2, 0, 1), bench.backend.permute_dims(array, (2, 0, 1))
    elif layout == "reversed":
        x, array = x[::-1, :, ::-1], array[::-1, :, ::-1]
    elif layout == "sliced":
        x, array = x[1:, ::2], array[1:, ::2, :]
    else:
        x, array = np.broadcast_to(x[:1], (6, 4, 5)), bench.backend.broadcast_to(array[:1, ...], (6, 4, 5))
    for axis in (None, 0, 1, 2, (0, 2)):
        got = bench.get(getattr(bench.backend, function)(array, axis, False))
        np.testing.assert_allclose(got, getattr(np, function)(x.astype(np.float64), axis=axis), rtol=2e-6)


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS, dt.complex64, dt.complex128], ids=repr)
@pytest.mark.parametrize("function", ["sum", "prod"])
def test_sums_and_products_keep_the_type(bench: Bench, function: str, dtype: DType) -> None:
    need(bench, dtype)
    x = np.array([[1, 2, 3], [1, 1, 2]]).astype(dtype.numpy)
    got = bench.run(function, x, 1, False)
    assert got.dtype == dtype.numpy
    assert got.astype(complex).tolist() == ([6, 4] if function == "sum" else [6, 2])


def test_integer_sums_wrap(bench: Bench) -> None:
    assert bench.run("sum", np.array([127, 1, 1], np.int8), None, False).tolist() == -127


def test_a_sum_over_nothing_is_zero_and_a_product_one(bench: Bench) -> None:
    x = np.zeros((3, 0), np.float32)
    assert bench.run("sum", x, 1, False).tolist() == [0, 0, 0]
    assert bench.run("sum", x, 0, False).shape == (0,)
    assert bench.run("prod", x, None, False).tolist() == 1


@pytest.mark.parametrize(
    ("shape", "axis"), [((1_000_000,), None), ((200_000, 3), 0), ((3, 200_000), 1), ((2, 50_000, 2), 1)]
)
def test_long_sums_of_float32_are_right_to_the_last_digits(
    bench: Bench, shape: tuple[int, ...], axis: int | None
) -> None:
    if bench.name in ("generic", "strict", "cupy-over-numpy"):
        pytest.skip("NumPy's own sum over rows is less accurate")
    x = np.random.default_rng(0).random(shape, np.float32)
    np.testing.assert_allclose(bench.run("sum", x, axis, False), x.sum(axis, np.float64), rtol=1.3e-6)


@pytest.mark.parametrize("dtype", [dt.float16, dt.bfloat16], ids=repr)
def test_the_half_types_accumulate_in_float32(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    if bench.name == "generic":
        pytest.skip("the standard leaves the accumulator to the library")
    x = np.full((4096, 2), 0.1).astype(dtype.numpy)
    expected = (x.astype(np.float32).sum(0, np.float64)).astype(dtype.numpy)
    assert (bench.run("sum", x, 0, False) == expected).all()
    ones = np.ones((1, 4096), dtype.numpy)
    np.testing.assert_allclose(bench.run("matmul", ones, x).astype(float), [expected.astype(float)], rtol=4e-3)
    assert bench.run("matmul", ones, x).dtype == dtype.numpy


@pytest.mark.parametrize("dtype", [dt.bool_, *INTEGERS, *FLOATS], ids=repr)
def test_the_greatest_of_every_type(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    x = np.array([[0, 1, 0], [0, 0, 0]]).astype(dtype.numpy)
    got = bench.run("max", x, 1, False)
    assert got.dtype == dtype.numpy
    assert got.astype(int).tolist() == [1, 0]


@pytest.mark.parametrize("dtype", FLOATS, ids=repr)
def test_the_greatest_is_nan_if_any_is(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    x = np.array([[1.0, math.nan, 2.0], [1.0, math.inf, 2.0]]).astype(dtype.numpy)
    got = bench.run("max", x, 1, False).astype(float)
    assert math.isnan(got[0]) and got[1] == math.inf


@pytest.mark.parametrize("dtype", [dt.bool_, *INTEGERS, *FLOATS], ids=repr)
def test_argmax_gives_the_first_place_as_int64(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    if dtype is dt.bfloat16 and bench.name == "generic":
        pytest.skip("NumPy's isdtype does not know bfloat16")
    x = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype.numpy)
    got = bench.run("argmax", x, 1, False)
    assert (got.dtype, got.tolist()) == (np.int64, [1, 0])
    assert bench.run("argmax", x, 0, True).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("dtype", FLOATS, ids=repr)
def test_argmax_counts_nan_as_the_greatest(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    x = np.array([[1.0, math.inf, 3.0], [math.inf, math.nan, math.nan]]).astype(dtype.numpy)
    assert bench.run("argmax", x, 1, False).tolist() == [1, 1]


# ---- products --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((5, 2, 3), (5, 3, 4)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((0, 3), (3, 4)),
        ((2, 0), (0, 4)),
        ((5, 2, 0), (0, 4)),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [dt.uint8, dt.int64, *FLOATS, dt.complex64], ids=repr)
def test_matrix_products_broadcast_leading_axes(
    bench: Bench, left: tuple[int, ...], right: tuple[int, ...], dtype: DType
) -> None:
    need(bench, dtype)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, left).astype(dtype.numpy), rng.integers(0, 4, right).astype(dtype.numpy)
    got = bench.run("matmul", x, y)
    expected = np.matmul(x.astype(np.complex128), y.astype(np.complex128))
    assert (got.dtype, got.shape) == (dtype.numpy, expected.shape)
    assert (got.astype(np.complex128) == expected).all()


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=repr)
def test_matrix_products_of_views_are_precise(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 64, 5)).astype(dtype.numpy), rng.normal(size=(64, 6)).astype(dtype.numpy)
    got = bench.get(bench.backend.matmul(bench.backend.permute_dims(bench.put(x), (0, 2, 1)), bench.put(y)))
    expected = np.matmul(x.transpose(0, 2, 1).astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(got, expected, rtol=100 * tolerance(dtype.numpy), atol=100 * tolerance(dtype.numpy))
