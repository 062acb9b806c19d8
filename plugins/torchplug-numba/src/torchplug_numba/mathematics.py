"""The exponential function and its kin for compiled loops: plain arithmetic, so that loops over them become vectors.

A call into the C library would keep a loop from that. Each function is written for both types; `exp(x)` in compiled
code means the one for the type of `x`. NaN and the infinities are what they are in NumPy, and results are within 2
units in the last place where nothing else is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.extending import overload

from torchplug_numba.compiling import CONTRACTED, compiled, number

__all__ = ["exp", "expm1", "log1p_of_fraction", "normal", "sigmoid"]

_f = np.float32


def exp(x: Any) -> Any:
    """Returns e to the power of x."""


def expm1(x: Any) -> Any:
    """Returns exp(x) - 1, exact for small x too; of -0 it is +0."""


def log1p_of_fraction(y: Any) -> Any:
    """Returns log(1 + y) for 0 <= y <= 1."""


def normal(x: Any) -> Any:
    """Returns the distribution function of the normal distribution, of float32 to 1e-7 (absolute)."""


def _by_type(name: Callable[..., Any], single: Any, double: Any) -> None:
    """Makes `name(x)` in compiled code mean the function for the type of x."""

    @overload(name, strict=False)
    def choose(x: Any) -> Any:
        if x == numba.types.float32:
            return lambda x: single(x)
        return lambda x: double(x)


# ---- exp: 2^n e^r with |r| <= log(2) / 2, and e^r a Taylor series --------------------------------------------------
# log(2) is split in two: n times the first part, 12 or 40 bits of it, is exact. Adding 3/4 of the least power of two
# whose neighbours are integers leaves the integer nearest to a float in its last bits: vectors find it there on any
# processor.

_LOG2E_S, _LOG2E_D = _f(1 / math.log(2)), 1 / math.log(2)
_HIGH_S, _LOW_S = _f(2839 / 2**12), _f(math.log(2) - 2839 / 2**12)
_HIGH_D, _LOW_D = 762123384785 / 2**40, 7.371002565167799e-13
_ROUND_S, _ROUND_D = _f(3 * 2**22), 3.0 * 2**51
_BITS_S, _BITS_D = np.int32(_ROUND_S.view(np.int32)), np.int64(np.float64(_ROUND_D).view(np.int64))
_LEAST_S, _GREATEST_S, _LEAST_D, _GREATEST_D = _f(-104), _f(89), -746.0, 710.0  # beyond: 0 and infinity
_S1, _SHALF, _S3, _S4, _S5, _S6, _S7 = _f(1), *(_f(1 / math.factorial(n)) for n in range(2, 8))
_D3, _D4, _D5, _D6, _D7, _D8, _D9, _D10, _D11, _D12, _D13 = (1 / math.factorial(n) for n in range(3, 14))


@compiled(CONTRACTED)
def _reduced_single(x: Any) -> Any:
    """Returns e^r - 1 and the n of e^x = 2^n e^r; of NaN any two numbers."""
    near = x if x > _LEAST_S else _LEAST_S
    near = near if near < _GREATEST_S else _GREATEST_S
    shifted = near * _LOG2E_S + _ROUND_S
    n = shifted - _ROUND_S
    r = (near - n * _HIGH_S) - n * _LOW_S
    series = _SHALF + r * (_S3 + r * (_S4 + r * (_S5 + r * (_S6 + r * _S7))))
    return r + r * r * series, np.int32(_f(shifted).view(np.int32) - _BITS_S)


@compiled(CONTRACTED)
def _reduced_double(x: Any) -> Any:
    near = x if x > _LEAST_D else _LEAST_D
    near = near if near < _GREATEST_D else _GREATEST_D
    shifted = near * _LOG2E_D + _ROUND_D
    n = shifted - _ROUND_D
    r = (near - n * _HIGH_D) - n * _LOW_D
    series = _D8 + r * (_D9 + r * (_D10 + r * (_D11 + r * (_D12 + r * _D13))))
    series = 0.5 + r * (_D3 + r * (_D4 + r * (_D5 + r * (_D6 + r * (_D7 + r * series)))))
    return r + r * r * series, np.int64(np.float64(shifted).view(np.int64) - _BITS_D)


@compiled()
def _power_single(n: Any) -> Any:
    """Returns 2^n for -126 <= n <= 127, written as the bits of its exponent."""
    return np.int32((n + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled()
def _power_double(n: Any) -> Any:
    return np.int64((n + 1023) << 52).view(np.float64)


# 2^n is made of two powers: n may lie outside what one can hold where the product with e^r does not.


@compiled()
def _exp_single(x: Any) -> Any:
    rise, n = _reduced_single(x)
    half = np.int32(n >> np.int32(1))
    out = (rise + _S1) * _power_single(half) * _power_single(np.int32(n - half))
    return out if x == x else x


@compiled()
def _exp_double(x: Any) -> Any:
    rise, n = _reduced_double(x)
    half = n >> 1
    out = (rise + 1.0) * _power_double(half) * _power_double(n - half)
    return out if x == x else x


@compiled()
def _expm1_single(x: Any) -> Any:
    rise, n = _reduced_single(x)
    half = np.int32(n >> np.int32(1))
    first, rest = _power_single(half), np.int32(n - half)
    out = (rise * first + (first - _power_single(np.int32(-rest)))) * _power_single(rest)
    return out if x == x else x


@compiled()
def _expm1_double(x: Any) -> Any:
    rise, n = _reduced_double(x)
    half = n >> 1
    first, rest = _power_double(half), n - half
    out = (rise * first + (first - _power_double(-rest))) * _power_double(rest)
    return out if x == x else x


_by_type(exp, _exp_single, _exp_double)
_by_type(expm1, _expm1_single, _expm1_double)


@compiled()
def sigmoid(x: Any) -> Any:
    """Returns 1 / (1 + exp(-x)); a large exp(-x) is infinity, whose reciprocal is the right 0."""
    one = number(1.0, x)
    return one / (exp(-x) + one)


# ---- log(1 + y) = 2 atanh(s) with s = y / (2 + y) <= 1/3, as its series of odd powers ------------------------------

_A3, _A5, _A7, _A9, _A11, _A13, _A15 = (_f(1 / n) for n in range(3, 16, 2))


@compiled(CONTRACTED)
def _log1p_single(y: Any) -> Any:
    s = y / (y + _f(2))
    q = s * s
    tail = _A3 + q * (_A5 + q * (_A7 + q * (_A9 + q * (_A11 + q * (_A13 + q * _A15)))))
    return (s + s) + (s + s) * q * tail


@compiled(CONTRACTED)
def _log1p_double(y: Any) -> Any:
    s = y / (y + 2.0)
    q = s * s
    tail = 1 / 19 + q * (1 / 21 + q * (1 / 23 + q * (1 / 25 + q * (1 / 27 + q * (1 / 29 + q * (1 / 31 + q / 33))))))
    tail = 1 / 11 + q * (1 / 13 + q * (1 / 15 + q * (1 / 17 + q * tail)))
    tail = 1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * tail)))
    return (s + s) + (s + s) * q * tail


_by_type(log1p_of_fraction, _log1p_single, _log1p_double)


# ---- the normal distribution: 1/2 + x P(x^2) / Q(x^2) for |x| <= 5.5, to 7e-9, as on the NumPy engine --------------
# P and Q come from iteratively reweighted least squares on 3,000 Chebyshev points, the residual weighted by x / Q.

_P0, _P1, _P2, _P3, _P4, _P5 = map(_f, (
    0.3989422346276913, 0.03385254199709559, 0.004677254154119926, 0.0001688246493522814, 6.35211430905852e-06,
    2.274950066594084e-08,
))  # fmt: skip
_Q1, _Q2, _Q3, _Q4, _Q5 = map(_f, (
    0.25152165733333567, 0.028645811629251252, 0.0018844388484267878, 7.364719778951169e-05, 1.1975076909910122e-06,
))  # fmt: skip
_EDGE, _ROOT_HALF = _f(5.5), math.sqrt(0.5)


@compiled(CONTRACTED)
def _normal_single(x: Any) -> Any:
    t = x * x
    above = _P0 + t * (_P1 + t * (_P2 + t * (_P3 + t * (_P4 + t * _P5))))
    below = _S1 + t * (_Q1 + t * (_Q2 + t * (_Q3 + t * (_Q4 + t * _Q5))))
    out = _SHALF + x * above / below
    out = out if x < _EDGE or x != x else _S1
    return _f(0) if x < -_EDGE else out


@compiled()
def _normal_double(x: Any) -> Any:
    return (math.erf(x * _ROOT_HALF) + 1.0) * 0.5


_by_type(normal, _normal_single, _normal_double)
