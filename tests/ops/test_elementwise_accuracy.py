"""Default compositions beside correctly rounded references: near 0, near poles and roots, at the ends of the range."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import torchplug

ENGINE = "strict"
"""Has the required functions alone, so that every other function runs its composition."""

NEAR_ZERO = [1e-300, 1e-20, 1e-9, 1e-5, 0.001, 0.01, 0.1]
MIDDLE = [0.3, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.5, 7.0, 9.75]
LARGE = [15.0, 25.5, 100.0, 350.0, 700.0]
HUGE = [1e5, 1e10, 1e100, 1e300]
UNIT = [*NEAR_ZERO, 0.3, 0.5, 0.75, 0.9, 0.99, 0.9999, 1 - 1e-9]


def both_signs(values: list[float]) -> list[float]:
    return [*values, *(-value for value in values)]


def reference(function: Callable[..., float]) -> Callable[..., float]:
    """Returns a function of the math module that gives inf where it raises OverflowError, as arrays do."""

    def careful(*args: float) -> float:
        try:
            return function(*args)
        except OverflowError:
            return math.copysign(math.inf, args[0])

    return careful


CASES: dict[str, tuple[Callable[..., float], list[float], int]] = {
    "expm1": (math.expm1, both_signs([*NEAR_ZERO, *MIDDLE, *LARGE]), 4),
    "log1p": (math.log1p, [*both_signs(NEAR_ZERO), *MIDDLE, *LARGE, *HUGE, -0.5, -0.999], 4),
    "log2": (math.log2, [*NEAR_ZERO, *MIDDLE, *HUGE, *(2.0**power for power in range(-30, 60))], 2),
    "log10": (math.log10, [*NEAR_ZERO, *MIDDLE, *HUGE, *(10.0**power for power in range(0, 23))], 2),
    "exp2": (lambda x: 2.0**x, both_signs(MIDDLE), 2),
    "tanh": (math.tanh, both_signs([*NEAR_ZERO, *MIDDLE, *LARGE]), 6),
    "sinh": (math.sinh, both_signs([*NEAR_ZERO, *MIDDLE, *LARGE]), 6),
    "cosh": (math.cosh, both_signs([*NEAR_ZERO, *MIDDLE, *LARGE]), 6),
    "asinh": (math.asinh, both_signs([*NEAR_ZERO, *MIDDLE, *LARGE, *HUGE]), 6),
    "acosh": (math.acosh, [1.0, 1 + 1e-12, 1.0001, 1.5, *LARGE, *HUGE], 8),
    "atanh": (math.atanh, both_signs(UNIT), 6),
    "tan": (math.tan, both_signs([*NEAR_ZERO, 0.3, 0.5, 1.0, 1.5]), 4),
    "asin": (math.asin, both_signs([*UNIT, 1.0]), 4),
    "acos": (math.acos, both_signs([*UNIT, 1.0]), 4),
    "erf": (math.erf, both_signs([*NEAR_ZERO, *MIDDLE]), 4),
    "erfc": (math.erfc, [*both_signs(NEAR_ZERO), *MIDDLE, 15.0, 25.5, -0.3, -1.0, -3.0], 8),
    "sigmoid": (lambda x: 1 / (1 + math.exp(-x)), both_signs([*NEAR_ZERO, *MIDDLE, 15.0, 25.5, 100.0]), 4),
    "lgamma": (math.lgamma, [*NEAR_ZERO, *MIDDLE, *LARGE, *HUGE, -0.5, -1.5, -2.25, -7.9], 64),
}


def evaluate(name: str, values: list[float], dtype: Any) -> np.ndarray:
    with torchplug.use_backend(ENGINE):
        return getattr(torchplug, name)(torchplug.tensor(values, dtype=dtype)).numpy()


@pytest.mark.parametrize("name", CASES)
def test_a_composition_keeps_its_digits_in_float64(name: str) -> None:
    function, values, units = CASES[name]
    expected = np.array([reference(function)(value) for value in values])
    got = evaluate(name, values, torchplug.float64)
    np.testing.assert_array_equal(np.isinf(got), np.isinf(expected))
    finite = np.isfinite(expected)
    np.testing.assert_allclose(got[finite], expected[finite], rtol=units * 2.0**-52, atol=2.0**-1070)


@pytest.mark.parametrize("name", CASES)
def test_a_composition_keeps_its_digits_in_float32(name: str) -> None:
    function, values, units = CASES[name]
    narrow = [float(np.float32(value)) for value in values if 1e-30 < abs(value) < 1e30]
    pairs = [(value, reference(function)(value)) for value in narrow if _defined(function, value)]
    pairs = [(value, out) for value, out in pairs if 1e-36 < abs(out) < 1e38]
    got = evaluate(name, [value for value, _ in pairs], torchplug.float32)
    np.testing.assert_allclose(got, [out for _, out in pairs], rtol=units * 2.0**-23)


def _defined(function: Callable[..., float], value: Any) -> bool:
    try:
        reference(function)(float(value))
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh", "sinh", "asinh", "atanh", "asin", "erf", "trunc", "tan"])
def test_an_odd_function_keeps_the_sign_of_zero(name: str) -> None:
    got = evaluate(name, [0.0, -0.0], torchplug.float64)
    assert got.tolist() == [0.0, 0.0]
    assert np.signbit(got).tolist() == [False, True]


LIMITS = {
    "exp": [math.inf, 0.0, math.nan],
    "expm1": [math.inf, -1.0, math.nan],
    "log1p": [math.inf, math.nan, math.nan],
    "log2": [math.inf, math.nan, math.nan],
    "tanh": [1.0, -1.0, math.nan],
    "sinh": [math.inf, -math.inf, math.nan],
    "cosh": [math.inf, math.inf, math.nan],
    "asinh": [math.inf, -math.inf, math.nan],
    "acosh": [math.inf, math.nan, math.nan],
    "sigmoid": [1.0, 0.0, math.nan],
    "erf": [1.0, -1.0, math.nan],
    "erfc": [0.0, 2.0, math.nan],
    "lgamma": [math.inf, math.inf, math.nan],
    "ceil": [math.inf, -math.inf, math.nan],
    "trunc": [math.inf, -math.inf, math.nan],
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_function_has_its_limits_at_infinity(name: str) -> None:
    got = evaluate(name, [math.inf, -math.inf, math.nan], torchplug.float64)
    np.testing.assert_array_equal(got, LIMITS[name])


PLACES = [0.0, -0.0, 1.0, -1.0, 2.5, -3.0, math.inf, -math.inf, math.nan]


@pytest.mark.parametrize(("name", "function"), [("atan2", np.arctan2), ("hypot", np.hypot), ("copysign", np.copysign),
                                                ("logaddexp", np.logaddexp), ("fmod", np.fmod)])  # fmt: skip
def test_a_function_of_two_numbers_is_right_at_every_pair_of_extremes(name: str, function: Any) -> None:
    x, y = (np.array(part).reshape(-1) for part in np.meshgrid(PLACES, PLACES))
    with np.errstate(all="ignore"):
        expected = function(x, y)
    with torchplug.use_backend(ENGINE):
        got = getattr(torchplug, name)(torchplug.tensor(x), torchplug.tensor(y)).numpy()
    np.testing.assert_allclose(got, expected, rtol=4 * 2.0**-52)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(expected[numbers]))


@pytest.mark.parametrize("dtype", [torchplug.float32, torchplug.float64])
def test_nextafter_steps_by_one_unit_in_the_last_place(dtype: Any) -> None:
    values = np.array([0.0, 1.0, 1.5, 2.0, 3.0, 1e-3, 1e20, -1.0, -2.0, -0.7], dtype.numpy)
    for target in (-np.inf, np.inf, 0.0):
        with torchplug.use_backend(ENGINE):
            towards = torchplug.full((len(values),), target, dtype=dtype)
            got = torchplug.nextafter(torchplug.tensor(values), towards).numpy()
        np.testing.assert_array_equal(got, np.nextafter(values, values.dtype.type(target)))


def test_digamma_and_its_derivatives_agree_with_high_precision() -> None:
    mpmath = pytest.importorskip("mpmath")
    values = [0.01, 0.3, 1.0, 1.4616, 2.0, 3.7, 9.0, 40.0, 1e6, -0.5, -1.25, -6.6]
    for order in range(4):
        expected = np.array([float(mpmath.polygamma(order, mpmath.mpf(value))) for value in values])
        with torchplug.use_backend(ENGINE):
            got = torchplug.polygamma(order, torchplug.tensor(values, dtype=torchplug.float64)).numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)


def test_bessel_functions_agree_with_high_precision() -> None:
    mpmath = pytest.importorskip("mpmath")
    values = both_signs([1e-8, 0.1, 1.0, 3.3, 7.99, 8.01, 20.0, 300.0])
    with torchplug.use_backend(ENGINE):
        x = torchplug.tensor(values, dtype=torchplug.float64)
        for order, function in ((0, torchplug.special.i0), (1, torchplug.special.i1)):
            expected = np.array([float(mpmath.besseli(order, value)) for value in values])
            np.testing.assert_allclose(function(x).numpy(), expected, rtol=1e-14)


def test_erfinv_returns_what_erf_came_from() -> None:
    values = both_signs([1e-10, 0.01, 0.4, 0.5, 0.6, 0.9, 0.999, 1 - 1e-12])
    with torchplug.use_backend(ENGINE):
        x = torchplug.tensor(values, dtype=torchplug.float64)
        np.testing.assert_allclose(torchplug.erf(torchplug.erfinv(x)).numpy(), values, rtol=1e-15)
        ends = torchplug.erfinv(torchplug.tensor([1.0, -1.0, 1.5])).numpy()
    np.testing.assert_array_equal(ends, [math.inf, -math.inf, math.nan])
