"""The error function and its relatives, elementwise: erf, erfc, erfcx, erfinv, ndtr.

The polynomials are Chebyshev fits of our own (mpmath, 50 digits), each within a unit in the last place of its type.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torchplug._core.declare import Sample
from torchplug._core.elementwise import unary
from torchplug._core.kernels import composition
from torchplug.ops.polynomial import coefficients_for

__all__ = ["erf", "erfc", "erfinv"]

_SQRT_PI = math.sqrt(math.pi)

_ERF = (
    -7.795898827002142e-10, 1.3720064546777686e-08, -1.6208483801871705e-07, 1.6447424703317362e-06,
    -1.492473690741966e-05, 0.00012055294904839707, -0.0008548325975389692, 0.0052239776071164225,
    -0.02686617064323777, 0.11283791670945006, -0.37612638903183543, 1.1283791670955126,
)  # fmt: skip
_ERF_SHORT = (
    7.875875062685488e-05, -0.000801686428716587, 0.005189087423433974, -0.026854212010626412, 0.11283594715160218,
    -0.37612626666720334, 1.1283791658483509,
)  # fmt: skip
"""erf(x) / x in powers of x^2, for |x| <= 1."""

_ERFCX = (
    3.2052623379289157e-10, -2.618520156503145e-09, -3.798189797736207e-09, 3.195398612057818e-08,
    2.3398534313040898e-08, -2.4851108650210706e-07, -5.741076073013916e-08, 1.7419011945194367e-06,
    -9.733875167494142e-07, -1.1437980374495534e-05, 2.2384138525656757e-05, 5.164649341002877e-05,
    -0.00029015404203352704, 0.000293714390578856, 0.001755625843431864, -0.00974657968596217, 0.028362277420377335,
    -0.05869339857631061, 0.09230432116025894, -0.10880393014246645, 0.08227673849014977, 0.003585415485479575,
    -0.14024059858554702, 1.2375126308378275,
)  # fmt: skip
_ERFCX_SHORT = (
    2.3634820068462686e-05, -0.00022405204951954954, 0.0003253884645535187, 0.0016757342508064283,
    -0.009764690497787632, 0.02840943039147911, -0.05868825204940161, 0.09229069167207876, -0.10880456454860984,
    0.08227843390475284, 0.003585438016476337, -0.14024065901788993, 1.2375126308378275,
)  # fmt: skip
"""(1 + 2x) exp(x^2) erfc(x) in powers of (x - 3.75) / (x + 3.75), for x >= 0 (the variable of Shepherd and Laframboise 1981)."""


# ---- compositions ----------------------------------------------------------------------------------------------------


def _scaled_complement(F: Any, size: Any) -> Any:
    """exp(x^2) erfc(x) for x >= 0."""
    t = F.subtract(1, F.divide(7.5, F.add(size, 3.75)))
    return F.divide(F.polynomial(t, coefficients_for(F, size, _ERFCX, _ERFCX_SHORT)), F.add(F.multiply(size, 2), 1))


def _gaussian(F: Any, size: Any) -> Any:
    """exp(-x^2), with x split into a short number, whose square is exact, and a rest: rounding x^2 would be magnified."""
    size = F.minimum(size, 1e4)
    short = F.multiply(F.round(F.multiply(size, 16)), 1 / 16)
    rest = F.multiply(F.subtract(size, short), F.add(size, short))
    return F.multiply(F.exp(F.negative(F.multiply(short, short))), F.exp(F.negative(rest)))


def _complement(F: Any, size: Any) -> Any:
    """erfc(x) for x >= 0."""
    return F.multiply(_gaussian(F, size), _scaled_complement(F, size))


def _central(F: Any, x: Any) -> Any:
    """erf(x) for |x| <= 1."""
    return F.multiply(x, F.polynomial(F.multiply(x, x), coefficients_for(F, x, _ERF, _ERF_SHORT)))


@composition
def erf_(F: Any, x: Any) -> Any:
    size = F.abs(x)
    near = F.less(size, 1)
    inside = _central(F, F.where(near, x, F.zeros_of(x, ())))
    outside = F.copysign(F.subtract(1, _complement(F, size)), x)
    return F.where(F.isnan(x), x, F.where(near, inside, outside))


@composition
def erfc_(F: Any, x: Any) -> Any:
    size = F.abs(x)
    near = F.less(size, 0.5)
    inside = F.subtract(1, _central(F, F.where(near, x, F.zeros_of(x, ()))))
    tail = _complement(F, size)
    outside = F.where(F.less(x, 0), F.subtract(2, tail), tail)
    return F.where(F.isnan(x), x, F.where(near, inside, outside))


@composition
def erfcx_(F: Any, x: Any) -> Any:
    size = F.abs(x)
    tail = _scaled_complement(F, size)
    left = F.subtract(F.divide(2, _gaussian(F, size)), tail)
    return F.where(F.isnan(x), x, F.where(F.less(x, 0), left, tail))


@composition
def erfinv_(F: Any, x: Any) -> Any:
    """Returns y with erf(y) = x: a first guess (Winitzki 2008, right to 2e-3), then two steps of Halley's method.

    The steps compare erfc(y) with 1 - |x|, which keeps its digits as |x| nears 1.
    """
    size = F.abs(x)
    inside = F.less(size, 1)
    p = F.where(inside, size, F.zeros_of(size, ()))
    a = 0.147
    w = F.log(F.multiply(F.subtract(1, p), F.add(p, 1)))
    b = F.add(F.multiply(w, 0.5), 2 / (math.pi * a))
    y = F.sqrt(F.maximum(F.subtract(F.sqrt(F.subtract(F.multiply(b, b), F.divide(w, a))), b), 0))
    for _ in range(2):
        miss = F.where(F.less(p, 0.5), F.subtract(F.erf(y), p), F.subtract(F.subtract(1, p), F.erfc(y)))
        step = F.multiply(F.divide(miss, _gaussian(F, y)), _SQRT_PI / 2)
        y = F.subtract(y, F.divide(step, F.add(F.multiply(y, step), 1)))
    y = F.where(inside, y, F.where(F.equal(size, 1), F.full_of(y, (), math.inf), F.full_of(y, (), math.nan)))
    return F.copysign(y, x)


# ---- functions -------------------------------------------------------------------------------------------------------

_REFUSALS: dict[str, Any] = {"complex": "erf_vml_cpu"}


def _bell(F: Any, g: Any, input: Any, factor: float) -> Any:
    """g * factor * exp(-input^2)."""
    return F.multiply(g, F.multiply(F.exp(F.negative(F.multiply(input, input))), factor))


def _far_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))
    yield Sample(make(3, 4) * 3)
    yield Sample(make())
    yield Sample(make(2, 0))


def _unit_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    yield Sample((x / (1 + abs(x))).astype(x.dtype))


erf = unary(
    "erf", lambda F, g, input: _bell(F, g, input, 2 / _SQRT_PI), """Returns the error function.""", floats=True,
    dtypes=("float", "int"), samples=_far_samples, refuse=_REFUSALS,
)  # fmt: skip
erfc = unary(
    "erfc", lambda F, g, input: _bell(F, g, input, -2 / _SQRT_PI), """Returns 1 - erf(input), accurate for large numbers.""",
    floats=True, dtypes=("float", "int"), samples=_far_samples, refuse={"complex": "erfc_vml_cpu"},
)  # fmt: skip
erfinv = unary(
    "erfinv", lambda F, g, out: F.multiply(g, F.multiply(F.exp(F.multiply(out, out)), _SQRT_PI / 2)),
    """Returns the number whose error function is the input.""", floats=True, samples=_unit_samples,
    refuse={"complex": "erfinv_vml_cpu"},
)  # fmt: skip
