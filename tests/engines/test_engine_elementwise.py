"""Elementwise functions mean on every engine what the contract says: values, types, NaN, infinities, zeros."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from engines_under_test import FLOATS, INTEGERS, Bench, reference, tolerance

from torchplug_spec import DType
from torchplug_spec import dtypes as dt

every_float = pytest.mark.parametrize("dtype", FLOATS, ids=repr)
every_integer = pytest.mark.parametrize("dtype", INTEGERS, ids=repr)

_UNARY = {
    "abs": np.abs, "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos, "atan": np.arctan, "sqrt": np.sqrt,
    "floor": np.floor, "round": np.rint,
}  # fmt: skip
_BINARY = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "maximum": np.maximum,
    "minimum": np.minimum, "equal": np.equal, "less": np.less,
}  # fmt: skip
_SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 7.0, 100.0, -100.0, math.inf, -math.inf, math.nan]


def special(dtype: DType) -> np.ndarray:
    return np.array(_SPECIAL).astype(dtype.numpy)


def pairs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(values, values)
    return x.ravel().copy(), y.ravel().copy()


def need(bench: Bench, *dtypes: DType) -> None:
    for dtype in dtypes:
        if not bench.holds(dtype):
            pytest.skip(f"{bench.name} does not declare {dtype}")


def assert_equal_to(got: np.ndarray, expected: np.ndarray) -> None:
    assert got.dtype == expected.dtype
    if got.dtype == bool or got.dtype.kind in "iu":
        np.testing.assert_array_equal(got, expected)
        return
    least = 1e-37 if got.dtype.name in ("float32", "bfloat16") else 0  # XLA flushes subnormal numbers
    wide = got.astype(np.float64), expected.astype(np.float64)
    np.testing.assert_allclose(*wide, rtol=tolerance(got.dtype), atol=least)
    zeros = wide[1] == 0
    if got.dtype.name == "float64":
        np.testing.assert_array_equal(np.signbit(wide[0][zeros]), np.signbit(wide[1][zeros]))


@every_float
@pytest.mark.parametrize("function", _UNARY)
def test_functions_of_one_float_are_right_at_special_values(bench: Bench, function: str, dtype: DType) -> None:
    need(bench, dtype)
    x = special(dtype)
    assert_equal_to(bench.run(function, x), reference(_UNARY[function], x))


@every_float
@pytest.mark.parametrize("function", [name for name in _BINARY if name not in ("maximum", "minimum")])
def test_functions_of_two_floats_are_right_at_special_values(bench: Bench, function: str, dtype: DType) -> None:
    need(bench, dtype)
    x, y = pairs(special(dtype))
    assert_equal_to(bench.run(function, x, y), reference(_BINARY[function], x, y))


@every_float
@pytest.mark.parametrize("function", ["maximum", "minimum"])
def test_the_greater_and_the_smaller_are_nan_if_either_is(bench: Bench, function: str, dtype: DType) -> None:
    need(bench, dtype)
    x, y = pairs(special(dtype))
    got, expected = bench.run(function, x, y), reference(_BINARY[function], x, y)
    np.testing.assert_array_equal(got.astype(np.float64), expected.astype(np.float64))


@every_integer
@pytest.mark.parametrize("function", [name for name in _BINARY if name != "divide"])
def test_functions_of_two_integers_wrap_and_compare(bench: Bench, function: str, dtype: DType) -> None:
    info = np.iinfo(dtype.numpy)
    x, y = pairs(np.array([info.min, info.max, 0, 1, 2, 3, 100], dtype.numpy))
    with np.errstate(all="ignore"):
        expected = _BINARY[function](x, y)
    assert_equal_to(bench.run(function, x, y), expected)


@every_integer
@pytest.mark.parametrize("function", ["bitwise_and", "bitwise_or", "bitwise_invert", "abs"])
def test_bits_of_integers(bench: Bench, function: str, dtype: DType) -> None:
    x, y = pairs(np.array([0, 1, 2, 3, 85, 127]).astype(dtype.numpy))
    operands = (x, y) if function in ("bitwise_and", "bitwise_or") else (x,)
    assert_equal_to(bench.run(function, *operands), getattr(np, function)(*operands))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("add", [False, True, True, True]),
        ("multiply", [False, False, False, True]),
        ("bitwise_and", [False, False, False, True]),
        ("bitwise_or", [False, True, True, True]),
        ("maximum", [False, True, True, True]),
        ("minimum", [False, False, False, True]),
        ("equal", [True, False, False, True]),
        ("less", [False, True, False, False]),
    ],
)
def test_truth_values_are_logical(bench: Bench, function: str, expected: list[bool]) -> None:
    got = bench.run(function, np.array([False, False, True, True]), np.array([False, True, False, True]))
    assert got.dtype == bool
    assert got.tolist() == expected


def test_not_is_logical_on_truth_values(bench: Bench) -> None:
    assert bench.run("bitwise_invert", np.array([True, False])).tolist() == [False, True]


# ---- quotients and remainders ----------------------------------------------------------------------------------------


@every_integer
def test_integer_quotients_round_down_and_remainders_follow_the_divisor(bench: Bench, dtype: DType) -> None:
    x, y = pairs(np.array([1, 2, 3, 7, 100, -1, -2, -7, -100] if dtype.is_signed else [1, 2, 3, 7, 100], dtype.numpy))
    quotients = [a // b for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    remainders = [a % b for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert_equal_to(bench.run("floor_divide", x, y), np.array(quotients, dtype.numpy))
    assert_equal_to(bench.run("remainder", x, y), np.array(remainders, dtype.numpy))


@pytest.mark.parametrize("function", ["floor_divide", "remainder"])
@pytest.mark.parametrize("divisor", [np.array([1, 0, 2]), np.array(0), 0], ids=["array", "0-d", "number"])
def test_an_integer_division_by_zero_raises_pytorch_s_words_on_a_cpu(bench: Bench, function: str, divisor: Any) -> None:
    if not bench.device.startswith("cpu"):
        pytest.skip("PyTorch does not look on other devices")
    with pytest.raises(RuntimeError, match="^ZeroDivisionError$"):
        bench.run(function, np.array([1, 2, 3]), divisor)


def _floor_quotient(x: float, y: float) -> float:
    """Returns PyTorch's floor division of floats: Python's, with x / y where Python raises."""
    if y == 0:
        return math.nan if x == 0 or math.isnan(x) else math.copysign(math.inf, x) * math.copysign(1, y)
    if math.isinf(x):
        return math.nan
    return x // y


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=repr)
def test_float_quotients_round_down(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    x, y = pairs(special(dtype))
    expected = [_floor_quotient(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    np.testing.assert_array_equal(bench.run("floor_divide", x, y), np.array(expected, dtype.numpy))


@every_float
def test_a_float_remainder_has_the_sign_of_the_divisor_and_a_zero_that_of_the_dividend(
    bench: Bench, dtype: DType
) -> None:
    need(bench, dtype)
    x, y = pairs(np.array([0.0, -0.0, 1.0, -1.0, 1.5, -1.5, 3.0, -3.0, 7.25, -7.25]).astype(dtype.numpy))
    x, y = x[y != 0], y[y != 0]
    got = bench.run("remainder", x, y)
    expected = [math.copysign(0.0, a) if a % b == 0 else a % b for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert [repr(float(each)) for each in got] == [repr(each) for each in expected]


def test_a_float_remainder_by_zero_is_nan(bench: Bench) -> None:
    assert np.isnan(bench.run("remainder", np.array([1.0, 0.0], np.float32), np.zeros(2, np.float32))).all()


# ---- powers ----------------------------------------------------------------------------------------------------------


@every_integer
def test_integer_powers_are_exact_and_wrap(bench: Bench, dtype: DType) -> None:
    x, y = pairs(np.array([0, 1, 2, 3, 5, 7], dtype.numpy))
    bits = 8 * dtype.itemsize
    expected = np.array([pow(a, b, 1 << bits) for a, b in zip(x.tolist(), y.tolist(), strict=True)], np.uint64)
    assert_equal_to(bench.run("pow", x, y), expected.astype(f"u{dtype.itemsize}").view(dtype.numpy))


@pytest.mark.parametrize("dtype", [dt.int8, dt.int32, dt.int64], ids=repr)
def test_a_negative_integer_power_truncates_towards_zero(bench: Bench, dtype: DType) -> None:
    x = np.array([2, 1, -1, -1, -3, 5], dtype.numpy)
    got = bench.run("pow", x, np.array([-1, -3, -3, -2, -1, 0], dtype.numpy))
    assert got.dtype == dtype.numpy
    assert got.tolist() == [0, 1, -1, 1, 0, 1]
    assert bench.run("pow", x, -1).tolist() == [0, 1, -1, -1, 0, 0]


@every_float
@pytest.mark.parametrize("exponent", [2, 3, 0.5, -0.5, -1, -2, 0, 1, 2.5, -3.0])
def test_a_power_with_a_number_keeps_the_type(bench: Bench, dtype: DType, exponent: float) -> None:
    need(bench, dtype)
    x = np.array([0.25, 0.5, 1.0, 1.5, 2.0, 4.0]).astype(dtype.numpy)
    assert_equal_to(bench.run("pow", x, exponent), reference(lambda z: z**exponent, x))


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=repr)
def test_powers_of_special_floats_are_c_s(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    x, y = pairs(np.array([0.0, 1.0, -1.0, 2.0, -2.0, math.inf, -math.inf, math.nan], dtype.numpy))
    assert_equal_to(bench.run("pow", x, y), reference(np.power, x, y))


# ---- choice, numbers as operands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", dt.ALL, ids=repr)
def test_where_chooses_and_broadcasts(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    x, y = np.array([[1], [0]]).astype(dtype.numpy), np.array([0, 1, 1]).astype(dtype.numpy)
    condition = np.array([[True, False, True], [False, True, False]])
    got = bench.run("where", condition, x, y)
    assert got.dtype == dtype.numpy
    assert (got == np.where(condition, x, y)).all()


@every_float
@pytest.mark.parametrize("function", ["add", "subtract", "multiply", "divide", "maximum", "equal", "less", "pow"])
def test_a_python_number_does_not_change_the_type(bench: Bench, function: str, dtype: DType) -> None:
    need(bench, dtype)
    x = np.array([0.5, 1.0, 2.0], dtype.numpy)
    expected = bool if function in ("equal", "less") else dtype.numpy
    for number in (2, 2.5):
        assert bench.run(function, x, number).dtype == expected
        assert bench.run(function, number, x).dtype == expected


@every_float
def test_a_choice_between_an_array_and_a_number_keeps_the_type(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    x = np.array([0.5, 1.0]).astype(dtype.numpy)
    got = bench.run("where", np.array([True, False]), x, 0.25)
    assert (got.dtype, got.astype(float).tolist()) == (dtype.numpy, [0.5, 0.25])


@every_float
def test_zero_dimensional_operands_broadcast(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    x, number = np.array([1.0, 2.0]).astype(dtype.numpy), np.array(0.5).astype(dtype.numpy)
    got = bench.run("multiply", x, number)
    assert (got.dtype, got.astype(float).tolist()) == (dtype.numpy, [0.5, 1.0])


@pytest.mark.parametrize("function", [*_BINARY, "floor_divide", "remainder", "pow"])
def test_operands_broadcast_against_each_other(bench: Bench, function: str) -> None:
    x, y = np.array([[1.0], [2.0], [3.0]], np.float32), np.array([2.0, 3.0], np.float32)
    assert_equal_to(bench.run(function, x, y), getattr(np, "power" if function == "pow" else function)(x, y))


# ---- complex ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [dt.complex64, dt.complex128], ids=repr)
@pytest.mark.parametrize(
    "function", ["add", "subtract", "multiply", "divide", "exp", "log", "sin", "cos", "sqrt", "abs"]
)
def test_functions_of_complex_numbers(bench: Bench, function: str, dtype: DType) -> None:
    need(bench, dtype)
    x = np.array([1 + 2j, -3 + 0.5j, -1j, 2.0]).astype(dtype.numpy)
    operands = (x, x[::-1].copy()) if function in ("add", "subtract", "multiply", "divide") else (x,)
    got = bench.run(function, *operands)
    assert got.dtype == (dtype.to_real() if function == "abs" else dtype).numpy
    wide = [operand.astype(np.complex128) for operand in operands]
    np.testing.assert_allclose(got, getattr(np, function)(*wide), rtol=20 * tolerance(dtype.numpy))


@pytest.mark.parametrize("dtype", [dt.complex64, dt.complex128], ids=repr)
def test_parts_and_conjugate(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    x = np.array([[1 + 2j], [3 - 4j]]).astype(dtype.numpy)
    for function in ("real", "imag", "conj"):
        got = bench.run(function, x)
        assert got.dtype == getattr(np, function)(x).dtype
        np.testing.assert_array_equal(got, getattr(np, function)(x))


def test_parts_stay_apart_when_one_is_infinite(bench: Bench) -> None:
    need(bench, dt.complex64)
    if bench.name == "generic":
        pytest.skip("the standard has no constructor of complex numbers")
    x = bench.backend.complex(bench.put([1.0, math.inf], dt.float32), bench.put([math.inf, 0.0], dt.float32))
    assert bench.get(x).dtype == np.complex64
    assert bench.get(bench.backend.real(x)).tolist() == [1.0, math.inf]
    assert bench.get(bench.backend.imag(x)).tolist() == [math.inf, 0.0]
