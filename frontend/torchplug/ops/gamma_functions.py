"""The logarithm of the gamma function and its derivatives, elementwise: lgamma, digamma, polygamma."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import convert, need_tensor, unary
from torchplug._core.inplace import inplace_twin, write_out
from torchplug._core.kernels import composition
from torchplug._core.modes import default_dtype
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor
from torchplug_spec import dtypes as dt

__all__ = ["digamma", "lgamma", "mvlgamma", "polygamma"]

_LGAMMA = (
    -2.489029529650396e-07, 5.236568534841362e-07, -8.247688082905913e-07, 1.749054030806819e-06,
    -3.854622136251583e-06, 8.23747667463625e-06, -1.7660586231652296e-05, 3.816660593339992e-05,
    -8.309522146915126e-05, 0.0001825528383907226, -0.00040570739285611585, 0.0009153769125087831,
    -0.002108130834069472, 0.0049986411649353725, -0.012384192193370211, 0.03296500062115359, -0.10031730167435392,
    0.42278433509846713,
)  # fmt: skip
"""lgamma(x) / ((x - 1) (x - 2)) in powers of x - 2, for 1.5 <= x <= 2.5: a Chebyshev fit of our own (mpmath, 50 digits)."""

_STIRLING = (1 / 156, -691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12)
"""B(2k) / (2k (2k - 1)), k = 7 ... 1: Stirling's series in powers of 1 / x^2."""

_DIGAMMA = (1 / 12, -691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12)
"""B(2k) / (2k), k = 7 ... 1: the asymptotic series of digamma in powers of 1 / x^2."""

_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)
"""B(2), B(4), ... for the Euler-Maclaurin sum of the Hurwitz zeta function."""

_SHIFT = 8
"""The recurrences carry arguments this far up, to where the asymptotic series are exact in float64."""


# ---- compositions ----------------------------------------------------------------------------------------------------


def _distance_to_whole(F: Any, x: Any) -> Any:
    return F.subtract(x, F.round(x))


def _lgamma_of_positive(F: Any, x: Any) -> Any:
    """lgamma(x), x > 0: the polynomial around 2 (from below by x gamma(x) = gamma(x + 1)), Stirling's series from 2.5."""
    low, lowest, far = F.less(x, 1.5), F.less(x, 0.5), F.less(2.5, x)
    up = F.where(low, F.add(x, 1), x)
    up = F.where(lowest, F.add(up, 1), up)
    base = F.where(far, F.full_of(x, (), 2), up)
    near = F.multiply(F.multiply(F.subtract(base, 1), F.subtract(base, 2)), F.polynomial(F.subtract(base, 2), _LGAMMA))
    near = F.subtract(near, F.log(F.where(low, F.where(lowest, F.multiply(x, F.add(x, 1)), x), F.full_of(x, (), 1))))
    return F.where(far, _stirling(F, F.where(far, x, F.full_of(x, (), 3))), near)


def _stirling(F: Any, x: Any) -> Any:
    small = F.less(x, 10)
    product = F.full_of(x, (), 1)
    for step in range(_SHIFT):
        product = F.multiply(F.add(F.where(small, x, F.full_of(x, (), 1)), step), product)
    z = F.where(small, F.add(x, _SHIFT), x)
    inverse = F.divide(1, z)
    series = F.multiply(inverse, F.polynomial(F.multiply(inverse, inverse), _STIRLING))
    main = F.add(F.subtract(F.multiply(F.subtract(z, 0.5), F.log(z)), z), 0.5 * math.log(2 * math.pi))
    out = F.add(main, series)
    out = F.where(small, F.subtract(out, F.log(product)), out)
    return F.where(F.equal(x, math.inf), x, out)


@composition
def lgamma_(F: Any, x: Any) -> Any:
    """Returns log|gamma(x)|; negative numbers by reflection, log(pi / |sin(pi x)|) - lgamma(1 - x); inf at the poles."""
    if F.dtype_of(x).itemsize == 2:  # the products of the recurrence leave the range of float16
        return F.astype(F.lgamma(F.astype(x, dt.float32)), F.dtype_of(x))
    left = F.less(x, 0.5)
    positive = F.where(left, F.subtract(1, x), x)
    right = _lgamma_of_positive(F, F.where(F.isnan(x), F.full_of(x, (), 1), positive))
    sine = F.abs(F.sin(F.multiply(_distance_to_whole(F, x), math.pi)))
    mirrored = F.subtract(math.log(math.pi), F.add(F.log(sine), right))
    out = F.where(left, mirrored, right)
    out = F.where(F.equal(F.abs(x), math.inf), F.full_of(out, (), math.inf), out)
    return F.where(F.isnan(x), x, out)


@composition
def digamma_(F: Any, x: Any) -> Any:
    """Returns the derivative of lgamma: the recurrence up to 8, the asymptotic series from there, reflection below 0."""
    left = F.less(x, 0)
    z = F.where(left, F.subtract(1, x), x)
    small = F.less(z, _SHIFT)
    total = F.zeros_of(z, tuple(z.shape))
    for step in range(_SHIFT):
        total = F.add(total, F.divide(1, F.add(F.where(small, z, F.full_of(z, (), 1)), step)))
    far = F.where(small, F.add(z, _SHIFT), z)
    inverse = F.divide(1, far)
    squared = F.multiply(inverse, inverse)
    series = F.multiply(squared, F.polynomial(squared, _DIGAMMA))
    out = F.subtract(F.subtract(F.log(far), F.multiply(inverse, 0.5)), series)
    out = F.where(small, F.subtract(out, total), out)
    turn = F.divide(math.pi, F.tan(F.multiply(_distance_to_whole(F, x), math.pi)))
    pole = F.bitwise_and(left, F.equal(x, F.round(x)))
    out = F.where(left, F.where(pole, F.full_of(out, (), math.nan), F.subtract(out, turn)), out)
    return F.where(F.equal(x, 0), F.copysign(F.full_of(out, (), math.inf), F.negative(x)), out)


@composition
def hurwitz_zeta(F: Any, s: float, q: Any) -> Any:
    """Returns the sum of (q + k)^-s over k = 0, 1, ..., q > 0: ten terms, then the Euler-Maclaurin formula for the rest."""
    total = F.zeros_of(q, tuple(q.shape))
    for step in range(10):
        total = F.add(total, F.pow(F.add(q, step), -s))
    far = F.add(q, 10)
    total = F.add(total, F.add(F.multiply(F.pow(far, 1 - s), 1 / (s - 1)), F.multiply(F.pow(far, -s), 0.5)))
    factor = s
    for place, bernoulli in enumerate(_BERNOULLI):
        order = 2 * place + 1
        total = F.add(total, F.multiply(F.pow(far, -s - order), bernoulli / math.factorial(order + 1) * factor))
        factor *= (s + order) * (s + order + 1)
    return total


def _cotangent_derivative(n: int) -> list[float]:
    """Returns the n-th derivative of cot(pi x) as a polynomial in cot(pi x), highest power first: c' = -pi (1 + c^2)."""
    rising = [0.0, 1.0]
    for _ in range(n):
        slope = [power * value for power, value in enumerate(rising)][1:]
        rising = [0.0] * (len(slope) + 2)
        for power, value in enumerate(slope):
            rising[power] -= math.pi * value
            rising[power + 2] -= math.pi * value
    return rising[::-1]


def _polygamma(F: Any, x: Any, n: int) -> Any:
    """(-1)^(n + 1) n! zeta(n + 1, x); below 0 by the reflection of digamma, differentiated n times."""
    sign = 1 if n % 2 else -1
    left = F.less(x, 0)
    z = F.where(left, F.subtract(1, x), x)
    out = F.multiply(F.hurwitz_zeta(float(n + 1), z), sign * math.factorial(n))
    cotangent = F.divide(1, F.tan(F.multiply(_distance_to_whole(F, x), math.pi)))
    turn = F.multiply(F.polynomial(cotangent, _cotangent_derivative(n)), math.pi)
    return F.where(left, F.subtract(F.multiply(out, -sign), turn), out)


POLYGAMMA = Op("polygamma", ("x", "n"), tensors=("x",), forward=_polygamma, rules={
    "x": lambda F, g, x, n: F.multiply(g, F.polygamma(x, n + 1)),
})  # fmt: skip


# ---- functions -------------------------------------------------------------------------------------------------------


def _samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    yield Sample(abs(x) * 10 + 40)  # the derivatives need PyTorch's trigamma, which has nine digits near 1
    yield Sample(make(2, 0))
    if x.dtype == np.float32:
        yield Sample(abs(x) * 3)
        yield Sample((abs(x) / (1 + abs(x)) - 3).astype(x.dtype))


lgamma = unary(
    "lgamma", lambda F, g, input: F.multiply(g, F.digamma(input)), """Returns the logarithm of the absolute gamma function.""",
    floats=True, dtypes=("float", "int"), samples=_samples, refuse={"complex": "lgamma_vml_cpu"},
)  # fmt: skip
digamma = unary(
    "digamma", lambda F, g, input: F.multiply(g, F.polygamma(input, 1)), """Returns the derivative of lgamma.""",
    floats=True, dtypes=("float", "int"), samples=_samples,
    refuse={"complex": "digamma"},
)  # fmt: skip


def _polygamma_samples(make: Any) -> Iterable[Sample]:
    for n in (2, 3):
        yield Sample(n, abs(make(3, 4)) * 3 + 1)
    for n in (0, 1):
        yield Sample(n, abs(make(3, 4)) * 10 + 40)  # PyTorch's trigamma has nine digits near 1


def _polygamma_errors() -> Iterable[Sample]:
    yield Sample(-1, np.ones(2, np.float32), error=(RuntimeError, "polygamma(n, x) does not support negative n."))


@declare(op=POLYGAMMA, samples=_polygamma_samples, errors=_polygamma_errors, method=False)
def polygamma(n: int, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the n-th derivative of digamma; for n > 1 of positive numbers."""
    need_tensor("polygamma", input, "input", 2)
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    x = input if input._kind.inexact else convert(input, default_dtype())
    result = digamma(x) if n == 0 else POLYGAMMA(x, n)
    return result if out is None else write_out(out, result, "polygamma")


def _polygamma_method(self: Tensor, n: int) -> Tensor:
    """Returns the n-th derivative of digamma."""
    return polygamma(n, self)


Tensor.polygamma = _polygamma_method  # type: ignore[method-assign, assignment]  # attached here
Tensor.polygamma_ = inplace_twin(_polygamma_method)  # type: ignore[method-assign]  # attached here


def _mvlgamma_errors() -> Iterable[Sample]:
    yield Sample(np.ones(2, np.float32), 0, error=(RuntimeError, "p has to be greater than or equal to 1"))


@declare(
    samples=lambda make: [Sample(abs(make(3)) * 10 + 40, 1), Sample(abs(make(3)) * 10 + 40, 3)],
    errors=_mvlgamma_errors,
    inplace=True,
    differentiable=True,
)
def mvlgamma(input: Tensor, p: int, *, out: Tensor | None = None) -> Tensor:
    """Returns the logarithm of the multivariate gamma function of dimension `p`."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    result = lgamma(input)
    for step in range(1, p):
        result = result + lgamma(input - step / 2)
    result = result + p * (p - 1) / 4 * math.log(math.pi)
    return result if out is None else write_out(out, result, "mvlgamma")
