"""The numpy and jax engines against PyTorch's CPU, over every pair of special values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from engines_under_test import FLOATS, INTEGERS, Bench, bench_of, is_installed, tolerance

from torchplug_spec import DType
from torchplug_spec import dtypes as dt

torch = pytest.importorskip("torch")

_FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, -3.0, 7.0, 1e-3, 88.0, 100.0, -100.0, 6e4]
_FLOATS += [1e30, -1e30, math.inf, -math.inf, math.nan]
_INTEGERS = [0, 1, -1, 2, -2, 3, -3, 5, 7, -7, 100, -100, 127]
_TORCH_NAMES = {
    "bitwise_invert": "bitwise_not", "equal": "eq", "less": "lt", "not_equal": "ne", "less_equal": "le",
    "greater": "gt", "greater_equal": "ge",
}  # fmt: skip
_FLOAT_UNARY = (
    "exp", "log", "sin", "cos", "atan", "sqrt", "floor", "round", "tan", "asin", "acos", "sinh", "cosh", "tanh",
    "asinh", "acosh", "atanh", "expm1", "log1p", "log2", "log10", "ceil", "trunc", "reciprocal",
)  # fmt: skip
_UNARY = ("abs", "isnan", "isinf", "isfinite", "negative", "square", "signbit", "logical_not")
_FLOAT_BINARY = ("divide", "atan2", "hypot", "copysign", "logaddexp")
_BINARY = (
    "add", "subtract", "multiply", "floor_divide", "remainder", "pow", "maximum", "minimum", "equal", "less",
    "less_equal", "greater", "greater_equal", "not_equal", "logical_and", "logical_or", "logical_xor",
)  # fmt: skip
_BITS = ("bitwise_and", "bitwise_or", "bitwise_xor")


@pytest.fixture(params=[name for name in ("numpy", "jax", "cupy") if is_installed(name)])
def bench(request: pytest.FixtureRequest) -> Bench:
    return bench_of(request.param)


def values_of(dtype: DType) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.array(_FLOATS if dtype.is_floating_point else _INTEGERS).astype(dtype.numpy)


def to_torch(x: np.ndarray) -> Any:
    if x.dtype == dt.bfloat16.numpy:
        return torch.from_numpy(x.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(x.copy())


def from_torch(x: Any) -> np.ndarray:
    return x.view(torch.int16).numpy().view(dt.bfloat16.numpy) if x.dtype == torch.bfloat16 else x.numpy()


def compare(bench: Bench, function: str, *operands: np.ndarray) -> None:
    expected = from_torch(getattr(torch, _TORCH_NAMES.get(function, function))(*[to_torch(x) for x in operands]))
    got = bench.run(function, *operands)
    assert got.dtype == expected.dtype
    if got.dtype.kind in "biu":
        np.testing.assert_array_equal(got, expected)
        return
    wide = got.astype(np.float64), expected.astype(np.float64)
    # XLA flushes subnormal numbers to zero.
    least = float(np.finfo(np.float32).tiny) if bench.name == "jax" and got.dtype.itemsize < 8 else 1e-40
    if function in ("sin", "cos", "tan"):
        least = tolerance(got.dtype)  # near a root the error is absolute
    np.testing.assert_allclose(*wide, rtol=2 * tolerance(got.dtype), atol=least)
    if function not in ("maximum", "minimum"):  # which zero is greater is nobody's business
        zeros = (wide[0] == 0) & (wide[1] == 0)
        np.testing.assert_array_equal(np.signbit(wide[0][zeros]), np.signbit(wide[1][zeros]))


@pytest.mark.parametrize("dtype", FLOATS, ids=repr)
@pytest.mark.parametrize("function", (*_FLOAT_UNARY, *_UNARY))
def test_functions_of_one_float(bench: Bench, function: str, dtype: DType) -> None:
    compare(bench, function, np.tile(values_of(dtype), 3))  # long enough for vector instructions and a rest


@pytest.mark.parametrize("dtype", INTEGERS, ids=repr)
@pytest.mark.parametrize("function", ["abs", "negative", "square", "signbit", "logical_not", "bitwise_invert"])
def test_functions_of_one_integer(bench: Bench, function: str, dtype: DType) -> None:
    compare(bench, function, values_of(dtype))


@pytest.mark.parametrize("dtype", FLOATS, ids=repr)
@pytest.mark.parametrize("function", (*_FLOAT_BINARY, *_BINARY))
def test_functions_of_two_floats(bench: Bench, function: str, dtype: DType) -> None:
    x, y = np.meshgrid(values_of(dtype), values_of(dtype))
    compare(bench, function, x.ravel(), y.ravel())


@pytest.mark.parametrize("dtype", (*INTEGERS, dt.bool_), ids=repr)
@pytest.mark.parametrize("function", (*_BINARY, *_BITS))
def test_functions_of_two_integers(bench: Bench, function: str, dtype: DType) -> None:
    if dtype is dt.bool_ and function in ("subtract", "floor_divide", "remainder", "pow"):
        pytest.skip("the front end refuses or promotes truth values here")
    x = y = values_of(dtype)
    if function in ("floor_divide", "remainder"):
        y = y[y != 0]
    elif function == "pow":
        y = y[abs(y.astype(int)) < 100]
    left, right = np.meshgrid(x, y)
    compare(bench, function, left.ravel(), right.ravel())


@pytest.mark.parametrize("exponent", [0.5, -0.5, -1, -2, 0, 1, 2, 3, 4, 2.5, -3])
@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=repr)
def test_powers_with_a_number(bench: Bench, dtype: DType, exponent: float) -> None:
    x = values_of(dtype)
    expected = from_torch(to_torch(x) ** exponent)
    np.testing.assert_allclose(bench.run("pow", x, exponent), expected, rtol=tolerance(dtype.numpy), atol=1e-37)


@pytest.mark.parametrize("source", FLOATS, ids=repr)
@pytest.mark.parametrize("target", dt.ALL, ids=repr)
def test_casts_from_floats(bench: Bench, source: DType, target: DType) -> None:
    x = np.tile(values_of(source), 3)
    expected = from_torch(to_torch(x).to(getattr(torch, target.name)))
    got = bench.get(bench.backend.astype(bench.put(x), target))
    np.testing.assert_array_equal(got.astype(complex), expected.astype(complex))
    assert got.dtype == expected.dtype


@pytest.mark.parametrize("function", ["argsort", "sort", "cumulative_sum", "cumulative_prod", "flip"])
def test_functions_along_an_axis(bench: Bench, function: str) -> None:
    x = np.array([[3.0, math.nan, 1.0, 1.0], [2.0, 0.5, math.inf, -0.0]], np.float32)
    host = to_torch(x)
    if function in ("argsort", "sort"):
        for descending in (False, True):
            expected = torch.sort(host, dim=1, descending=descending, stable=True)
            got = bench.run(function, x, 1, descending)
            np.testing.assert_array_equal(got, (expected.indices if function == "argsort" else expected.values).numpy())
    elif function == "flip":
        np.testing.assert_array_equal(bench.run("flip", x, (0, 1)), torch.flip(host, (0, 1)).numpy())
    else:
        whole = {"cumulative_sum": torch.cumsum, "cumulative_prod": torch.cumprod}[function](host, 1)
        np.testing.assert_allclose(bench.run(function, x, 1), whole.numpy(), rtol=1e-6)


@pytest.mark.parametrize("function", ["argmax", "argmin"])
def test_places_of_extremes(bench: Bench, function: str) -> None:
    x = np.array([[3.0, math.nan, 1.0, math.nan], [2.0, 2.0, -math.inf, -math.inf]], np.float32)
    for axis in (0, 1):
        np.testing.assert_array_equal(
            bench.run(function, x, axis, False), getattr(torch, function)(to_torch(x), axis).numpy()
        )
