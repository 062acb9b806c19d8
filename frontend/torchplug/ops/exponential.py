"""Exponentials and logarithms, elementwise, with compositions that stay accurate near 0 and at the ends of the range."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import binary, convert, need_tensor, promote, unary
from torchplug._core.inplace import write_out
from torchplug._core.kernels import composition
from torchplug._core.modes import default_dtype
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import Op
from torchplug._core.promotion import result_type
from torchplug._core.tensor import Tensor

__all__ = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logaddexp2",
    "logit",
    "sigmoid",
    "xlogy",
]

_LN2 = math.log(2)
_LN10 = math.log(10)


# ---- compositions ----------------------------------------------------------------------------------------------------


@composition
def expm1_(F: Any, x: Any) -> Any:
    """Returns exp(x) - 1.

    (u - 1) * x / log(u) with u = exp(x): the rounding errors of u and log(u) cancel (Kahan 1982; Higham 2002, section 1.14.1).
    """
    if F.dtype_of(x).is_complex:
        return _expm1_of_complex(F, x)
    u = F.exp(x)
    below = F.subtract(u, 1)
    plain = F.bitwise_or(F.equal(below, -1), F.equal(u, math.inf))
    tiny = F.equal(below, 0)
    log = F.log(F.where(F.bitwise_or(plain, tiny), F.full_of(u, (), 2), u))
    careful = F.multiply(below, F.divide(F.where(plain, F.full_of(x, (), 1), x), log))
    return F.where(tiny, x, F.where(plain, below, careful))


def _expm1_of_complex(F: Any, x: Any) -> Any:
    """expm1(a + bi) = expm1(a) cos(b) - 2 sin(b/2)^2 + i exp(a) sin(b)."""
    a, b = F.real(x), F.imag(x)
    half = F.sin(F.multiply(b, 0.5))
    real = F.subtract(F.multiply(F.expm1(a), F.cos(b)), F.multiply(F.multiply(half, half), 2))
    return F.complex(real, F.multiply(F.exp(a), F.sin(b)))


@composition
def log1p_(F: Any, x: Any) -> Any:
    """Returns log(1 + x).

    log(u) * x / (u - 1) with u = 1 + x: what rounding u lost is put back by the quotient (Kahan; Goldberg 1991, theorem 4).
    """
    if F.dtype_of(x).is_complex:
        return F.complex(_log1p_modulus(F, x), F.imag(F.log(F.add(x, 1))))
    u = F.add(x, 1)
    above = F.subtract(u, 1)
    tiny = F.equal(above, 0)
    plain = F.equal(u, math.inf)
    ratio = F.divide(
        F.where(plain, F.full_of(x, (), 1), x), F.where(F.bitwise_or(tiny, plain), F.full_of(x, (), 1), above)
    )
    return F.where(tiny, x, F.multiply(F.log(u), ratio))


def _log1p_modulus(F: Any, x: Any) -> Any:
    """log|1 + a + bi| = log1p(a (2 + a) + b^2) / 2."""
    a, b = F.real(x), F.imag(x)
    return F.multiply(F.log1p(F.add(F.multiply(a, F.add(a, 2)), F.multiply(b, b))), 0.5)


def _log_of_base(F: Any, x: Any, base: int, log_base: float) -> Any:
    """log(x) / log(base), exact at the integer powers of the base."""
    quotient = F.divide(F.log(x), log_base)
    if F.dtype_of(x).is_complex:
        return quotient
    whole = F.round(quotient)
    return F.where(F.equal(F.pow(F.full_of(x, (), base), whole), x), whole, quotient)


@composition
def log2_(F: Any, x: Any) -> Any:
    """Returns the base 2 logarithm."""
    return _log_of_base(F, x, 2, _LN2)


@composition
def log10_(F: Any, x: Any) -> Any:
    """Returns the base 10 logarithm."""
    return _log_of_base(F, x, 10, _LN10)


@composition
def exp2_(F: Any, x: Any) -> Any:
    """Returns 2 ** x."""
    return F.pow(F.full_of(x, (), 2), x)


@composition
def sigmoid_(F: Any, x: Any) -> Any:
    """Returns 1 / (1 + exp(-x)); a large exp(-x) is inf, whose reciprocal is the right 0."""
    return F.divide(1, F.add(F.exp(F.negative(x)), 1))


def _smooth_maximum(F: Any, x: Any, y: Any, exp: Any, log1p: Any) -> Any:
    """max + log(1 + exp(-|x - y|)): nothing overflows; equal infinities are their own maximum."""
    high = F.maximum(x, y)
    gap = F.abs(F.subtract(x, y))
    endless = F.bitwise_and(F.equal(x, y), F.equal(F.abs(x), math.inf))
    gap = F.where(endless, F.full_of(gap, (), math.inf), gap)
    return F.add(high, log1p(exp(F.negative(gap))))


@composition
def logaddexp_(F: Any, x: Any, y: Any) -> Any:
    """Returns log(exp(x) + exp(y))."""
    return _smooth_maximum(F, x, y, F.exp, F.log1p)


@composition
def logaddexp2_(F: Any, x: Any, y: Any) -> Any:
    """Returns log2(2 ** x + 2 ** y)."""
    return _smooth_maximum(F, x, y, F.exp2, lambda z: F.multiply(F.log1p(z), 1 / _LN2))


# ---- functions -------------------------------------------------------------------------------------------------------


def _positive_samples(make: Any) -> Iterable[Sample]:
    yield Sample(abs(make(3, 4)) + 1)
    yield Sample(abs(make()) + 1)
    yield Sample(make(2, 0, 3))


exp = unary(
    "exp", lambda F, g, out: F.multiply(g, F.conj_of(out)), """Returns e to the power of each element.""", floats=True,
    dtypes=("float", "complex", "int", "bool"),
)  # fmt: skip
exp2 = unary(
    "exp2", lambda F, g, out: F.multiply(g, F.conj_of(F.multiply(out, _LN2))), """Returns 2 to the power of each element.""",
    floats=True, dtypes=("float", "int"),
)  # fmt: skip
expm1 = unary(
    "expm1", lambda F, g, out: F.multiply(g, F.conj_of(F.add(out, 1))), """Returns exp(input) - 1, accurate near 0.""",
    floats=True, dtypes=("float", "complex", "int"),
)  # fmt: skip
log = unary(
    "log", lambda F, g, input: F.divide(g, F.conj_of(input)), """Returns the natural logarithm; NaN for negative numbers.""",
    floats=True, samples=_positive_samples, dtypes=("float", "complex", "int"),
)  # fmt: skip
log2 = unary(
    "log2", lambda F, g, input: F.divide(g, F.conj_of(F.multiply(input, _LN2))), """Returns the base 2 logarithm.""",
    floats=True, samples=_positive_samples, dtypes=("float", "complex", "int"),
)  # fmt: skip
log10 = unary(
    "log10", lambda F, g, input: F.divide(g, F.conj_of(F.multiply(input, _LN10))), """Returns the base 10 logarithm.""",
    floats=True, samples=_positive_samples, dtypes=("float", "complex", "int"),
)  # fmt: skip
log1p = unary(
    "log1p", lambda F, g, input: F.divide(g, F.conj_of(F.add(input, 1))), """Returns log(1 + input), accurate near 0.""",
    floats=True, samples=_positive_samples, dtypes=("float", "complex", "int"),
)  # fmt: skip


def _sigmoid_rule(F: Any, g: Any, out: Any) -> Any:
    if F.dtype_of(out).is_complex:
        return F.multiply(g, F.conj_of(F.multiply(F.subtract(1, out), out)))
    return F.sigmoid_backward(g, out)


Op(
    "sigmoid_backward", ("g", "out"), tensors=("g", "out"),
    forward=lambda F, g, out: F.multiply(F.multiply(g, F.subtract(1, out)), out),
    rules={
        "g": lambda F, gg, out: F.sigmoid_backward(gg, out),
        "out": lambda F, gg, g, out: F.multiply(F.multiply(gg, g), F.subtract(1, F.multiply(out, 2))),
    },
)  # fmt: skip

sigmoid = unary(
    "sigmoid", _sigmoid_rule, """Returns 1 / (1 + exp(-input)).""", floats=True, dtypes=("float", "complex", "int", "bool"),
)  # fmt: skip


def _share(F: Any, mine: Any, theirs: Any) -> Any:
    """exp(mine) / (exp(mine) + exp(theirs)), 1/2 for equal infinities (their difference is NaN)."""
    gap = F.where(F.equal(mine, theirs), F.zeros_of(mine, ()), F.subtract(mine, theirs))
    return F.sigmoid(gap)


logaddexp = binary(
    "logaddexp",
    {
        "input": lambda F, g, input, other: F.multiply(g, _share(F, input, other)),
        "other": lambda F, g, input, other: F.multiply(g, _share(F, other, input)),
    },
    """Returns log(exp(input) + exp(other)), without overflow.""",
    inplace=False,
    numbers=False,
    refuse={"int": "logaddexp_cpu", "uint": "logaddexp_cpu", "bool": "logaddexp_cpu"},
)

logaddexp2 = binary(
    "logaddexp2",
    {
        "input": lambda F, g, input, other: F.multiply(g, _share(F, F.multiply(input, _LN2), F.multiply(other, _LN2))),
        "other": lambda F, g, input, other: F.multiply(g, _share(F, F.multiply(other, _LN2), F.multiply(input, _LN2))),
    },
    """Returns log2(2 ** input + 2 ** other), without overflow.""",
    inplace=False,
    numbers=False,
    refuse={"int": "logaddexp2_cpu", "uint": "logaddexp2_cpu", "bool": "logaddexp2_cpu"},
)


def _logit(F: Any, x: Any, eps: float | None) -> Any:
    if eps is not None:
        x = F.minimum(F.maximum(x, eps), 1 - eps)
    return F.log(F.divide(x, F.subtract(1, x)))


def _logit_rule(F: Any, g: Any, input: Any, eps: float | None) -> Any:
    slope = F.divide(g, F.multiply(input, F.subtract(1, input)))
    low, high = (0.0, 1.0) if eps is None else (eps, 1 - eps)
    outside = F.bitwise_or(F.less(input, low), F.less(F.negative(input), -high))
    return F.where(outside, F.full_of(g, (), math.nan if eps is None else 0), slope)


LOGIT = Op("logit", ("input", "eps"), tensors=("input",), forward=_logit, rules={"input": _logit_rule})


def _logit_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    unit = abs(x) / (1 + abs(x))
    yield Sample(unit * 0.8 + 0.1)
    yield Sample(unit * 0.8 + 0.1, eps=0.2)


def _logit_errors() -> Iterable[Sample]:
    yield Sample(np.ones(2, np.complex64), error=(NotImplementedError, "not implemented for 'ComplexFloat'"))


@declare(op=LOGIT, samples=_logit_samples, errors=_logit_errors, inplace=True)
def logit(input: Tensor, eps: float | None = None, *, out: Tensor | None = None) -> Tensor:
    """Returns log(input / (1 - input)); `eps` clamps the input to [eps, 1 - eps] first."""
    need_tensor("logit", input)
    if input._kind.dtype.is_complex:
        raise NotImplementedError(f"\"logit_cpu\" not implemented for '{scalar_type_name(input._kind.dtype)}'")
    if not input._kind.inexact:
        input = convert(input, default_dtype())
    result = LOGIT(input, eps)
    return result if out is None else write_out(out, result, "logit")


def _xlogy(F: Any, x: Any, y: Any) -> Any:
    """x * log(y), and 0 where x is 0, unless y is NaN."""
    quiet = F.bitwise_and(F.equal(x, 0), F.equal(y, y))
    return F.where(quiet, F.zeros_of(x, ()), F.multiply(x, F.log(y)))


def _xlogy_rule(F: Any, g: Any, input: Any, other: Any) -> Any:
    """g * log(other), and 0 where the input is 0 and other is not positive."""
    flat = F.bitwise_and(F.equal(input, 0), F.bitwise_invert(F.less(F.zeros_of(other, ()), other)))
    return F.where(flat, F.zeros_of(g, ()), F.multiply(g, F.log(other)))


XLOGY = Op("xlogy", ("input", "other"), tensors=("input", "other"), forward=_xlogy, broadcasts=True, rules={
    "input": _xlogy_rule,
    "other": lambda F, g, input, other: F.divide(F.multiply(g, input), other),
})  # fmt: skip


def _xlogy_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), abs(make(4)) + 1)
    yield Sample(make(3, 4) * 0, abs(make(4)) + 1)
    yield Sample(make(3, 4), 2)


@declare(op=XLOGY, samples=_xlogy_samples, inplace=True, dtypes=("float", "int"))
def xlogy(input: Tensor | complex, other: Tensor | complex, *, out: Tensor | None = None) -> Tensor:
    """Returns `input * log(other)`, 0 where the input is 0."""
    common = result_type(input, other)
    x, y = promote("xlogy", input, other, dtype=common if common.is_floating_point else default_dtype())
    result = XLOGY(x, y)
    return result if out is None else write_out(out, result, "xlogy")
