"""Functions beyond the contract, offered under the standard's names: the same meaning wherever they exist."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from engines_under_test import ENGINES, FLOATS, Bench, bench_of, is_installed, reference, tolerance

from torchplug_spec import DType
from torchplug_spec import dtypes as dt

_X = np.array([[3.0, -1.5, 0.0], [0.5, 2.5, -3.0]], np.float32)
_UNIT = np.array([-0.9, -0.5, 0.0, 0.25, 0.75], np.float32)
_ABOVE_ONE = np.array([1.0, 1.5, 20.0], np.float32)
_I = np.array([1, 2, 5, 12], np.int32)
_J = np.array([3, 1, 2, 1], np.int32)
_B = np.array([True, True, False, False])
_C = np.array([True, False, True, False])

_CASES: dict[str, tuple[Any, ...]] = {
    "negative": (_X,), "positive": (_X,), "square": (_X,), "reciprocal": (_X + 10,), "expm1": (_X,), "tan": (_X,),
    "log1p": (abs(_X),), "log2": (abs(_X) + 1,), "log10": (abs(_X) + 1,), "asin": (_UNIT,), "acos": (_UNIT,),
    "sinh": (_X,), "cosh": (_X,), "tanh": (_X,), "asinh": (_X,), "acosh": (_ABOVE_ONE,), "atanh": (_UNIT,),
    "ceil": (_X,), "trunc": (_X,), "atan2": (_X, _X[::-1].copy()), "hypot": (_X, _X[::-1].copy()),
    "copysign": (_X, -_X), "logaddexp": (_X, _X[::-1].copy()), "nextafter": (_X, _X + 1), "signbit": (_X,),
    "isnan": (_X,), "isinf": (_X,), "isfinite": (_X,),
    "less_equal": (_I, _J), "greater": (_I, _J), "greater_equal": (_I, _J), "not_equal": (_I, _J),
    "bitwise_xor": (_I, _J), "bitwise_left_shift": (_I, _J), "bitwise_right_shift": (_I, _J),
    "logical_and": (_B, _C), "logical_or": (_B, _C), "logical_xor": (_B, _C), "logical_not": (_B,),
    "tril": (_X,), "triu": (_X,), "zeros_like": (_X,), "ones_like": (_X,),
}  # fmt: skip


@pytest.fixture(params=[name for name in ENGINES if is_installed(name) and name != "strict"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return bench_of(request.param)


def offered(bench: Bench, name: str) -> None:
    if name not in bench.backend.extra_kernels():  # type: ignore[attr-defined]
        pytest.skip(f"{bench.name} leaves {name} to the default composition")
    assert callable(getattr(bench.backend, name))


def test_the_strict_engine_offers_nothing_beyond_the_contract() -> None:
    backend = bench_of("strict").backend
    assert not any(hasattr(backend, name) for name in ("extra_kernels", *_CASES, *_ARRANGED, "min", "sort"))


@pytest.mark.parametrize("name", _CASES)
def test_functions_mean_what_numpy_s_mean(bench: Bench, name: str) -> None:
    offered(bench, name)
    arguments = _CASES[name]
    function = getattr(np, name)
    got = bench.run(name, *arguments)
    if arguments[0].dtype != np.float32 or name == "nextafter":
        np.testing.assert_array_equal(got, function(*arguments))
    else:
        np.testing.assert_allclose(got, reference(function, *arguments), rtol=4e-6)
    assert got.dtype == function(*arguments).dtype


@pytest.mark.parametrize("dtype", FLOATS, ids=repr)
@pytest.mark.parametrize("name", ["tanh", "expm1", "log1p", "negative", "isnan", "isinf", "isfinite", "ceil", "trunc"])
def test_functions_of_every_float_type_at_special_values(bench: Bench, name: str, dtype: DType) -> None:
    offered(bench, name)
    if not bench.holds(dtype):
        pytest.skip(f"{bench.name} does not declare {dtype}")
    x = np.array([0.0, -0.0, 1.0, -0.5, math.inf, math.nan]).astype(dtype.numpy)
    got, expected = bench.run(name, x), reference(getattr(np, name), x)
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got.astype(float), expected.astype(float), rtol=tolerance(dtype.numpy))


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1)], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_take_axis_and_keepdims(bench: Bench, axis: Any, keepdims: bool) -> None:
    for name in ("min", "all", "any"):
        offered(bench, name)
        x = _X if name == "min" else _X > 0
        np.testing.assert_array_equal(bench.run(name, x, axis, keepdims), getattr(np, name)(x, axis, keepdims=keepdims))
    if axis in (0, 1, -1):
        got = bench.run("argmin", _X, axis, keepdims)
        np.testing.assert_array_equal(got, _X.argmin(axis, keepdims=keepdims))
        assert got.dtype == np.int64


def test_the_smallest_is_nan_if_any_is_and_argmin_finds_it(bench: Bench) -> None:
    offered(bench, "min")
    x = np.array([[1.0, math.nan, -math.inf], [2.0, 1.0, 1.0]], np.float32)
    smallest = bench.run("min", x, 1, False)
    assert math.isnan(smallest[0]) and smallest[1] == 1.0
    assert bench.run("argmin", x, 1, False).tolist() == [1, 1]
    assert bench.run("min", np.array([True, False]), 0, False).tolist() is False


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("descending", [False, True])
def test_sort_puts_nan_last_or_first(bench: Bench, axis: int, descending: bool) -> None:
    offered(bench, "sort")
    x = np.array([[3.0, math.nan, 1.0], [2.0, 0.5, math.inf], [-1.0, 7.0, 7.0]], np.float32)
    expected = np.sort(x, axis)
    expected = np.flip(expected, axis) if descending else expected
    np.testing.assert_array_equal(bench.run("sort", x, axis, descending), expected)


@pytest.mark.parametrize("dtype", [dt.int32, dt.float16, dt.float32, dt.float64], ids=repr)
def test_running_sums_and_products_keep_the_type(bench: Bench, dtype: DType) -> None:
    x = np.array([[1, 2, 3], [2, 2, 2]]).astype(dtype.numpy)
    for name in ("cumulative_sum", "cumulative_prod"):
        offered(bench, name)
        for axis in (0, 1, -1):
            got = bench.run(name, x, axis)
            assert got.dtype == dtype.numpy
            np.testing.assert_array_equal(got, getattr(np, name)(x, axis=axis, dtype=x.dtype))


def test_a_running_sum_of_half_precision_accumulates_in_float32(bench: Bench) -> None:
    offered(bench, "cumulative_sum")
    if bench.name == "generic":
        pytest.skip("the standard leaves the accumulator to the library")
    x = np.full(10_000, 0.1, np.float16)
    last = bench.run("cumulative_sum", x, 0)[-1]
    assert last == np.float16(10_000 * float(np.float16(0.1)))


_ARRANGED: dict[str, list[tuple[tuple[Any, ...], Any]]] = {
    "flip": [((_X, 0), _X[::-1]), ((_X, (0, 1)), _X[::-1, ::-1]), ((_X, -1), _X[:, ::-1])],
    "roll": [((_X, 1, 0), np.roll(_X, 1, 0)), ((_X, (1, -1), (0, 1)), np.roll(_X, (1, -1), (0, 1)))],
    "expand_dims": [((_X, 0), _X[None]), ((_X, 1), _X[:, None]), ((_X, -1), _X[..., None])],
    "squeeze": [((_X[:1], 0), _X[0]), ((_X[:1, :1], (0, 1)), _X[0, 0])],
    "stack": [(([_X, -_X], axis), np.stack([_X, -_X], axis)) for axis in (0, 1, -1)],
    "take_along_axis": [((_X, _X.argsort(1), 1), np.sort(_X, 1)), ((_X, _X.argsort(0), 0), np.sort(_X, 0))],
    "searchsorted": [((np.array([1.0, 2, 2, 5]), np.array([2.0, 0, 9])), np.array([1, 0, 4])),
                     ((np.array([1.0, 2, 2, 5]), np.array([2.0, 0, 9]), "right"), np.array([3, 0, 4]))],
}  # fmt: skip


@pytest.mark.parametrize("name", _ARRANGED)
def test_functions_of_shape_take_positional_arguments(bench: Bench, name: str) -> None:
    offered(bench, name)
    for arguments, expected in _ARRANGED[name]:
        got = bench.run(name, *arguments)
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype
