"""Circular and hyperbolic functions, their inverses, and angles, elementwise."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample
from torchplug._core.elementwise import binary, unary
from torchplug._core.kernels import composition
from torchplug._core.op import Op

__all__ = ["acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "deg2rad", "hypot", "rad2deg", "sin", "sinc",
           "sinh", "tan", "tanh"]  # fmt: skip

_LN2 = math.log(2)
_HUGE = 1e8
"""Above this |x| the 1 in sqrt(x^2 + 1) is lost in float64, and x^2 would overflow long before x does."""


def _odd(F: Any, x: Any, positive: Any) -> Any:
    """Returns a function's value from its value at |x|: the sign of x, also of zeros, is put back."""
    return F.copysign(positive, x)


# ---- compositions ----------------------------------------------------------------------------------------------------


@composition
def signbit_(F: Any, x: Any) -> Any:
    """Returns where x is negative or -0.0: the reciprocal tells the two zeros apart."""
    if not F.dtype_of(x).is_floating_point:
        return F.less(x, F.zeros_of(x, ()))
    return F.bitwise_or(F.less(x, 0), F.bitwise_and(F.equal(x, 0), F.less(F.divide(1, x), 0)))


@composition
def copysign_(F: Any, x: Any, y: Any) -> Any:
    """Returns |x| with the sign of y."""
    size = F.abs(x)
    return F.where(F.signbit(y), F.negative(size), size)


@composition
def tan_(F: Any, x: Any) -> Any:
    """Returns sin(x) / cos(x); complex values through tanh, which does not overflow."""
    if F.dtype_of(x).is_complex:
        turned = F.tanh(F.complex(F.negative(F.imag(x)), F.real(x)))
        return F.complex(F.imag(turned), F.negative(F.real(turned)))
    return F.divide(F.sin(x), F.cos(x))


@composition
def asin_(F: Any, x: Any) -> Any:
    """Returns atan(x / sqrt((1 - x)(1 + x))); the product keeps its digits near 1 and -1."""
    if F.dtype_of(x).is_complex:
        turned = F.asinh(F.complex(F.negative(F.imag(x)), F.real(x)))
        return F.complex(F.imag(turned), F.negative(F.real(turned)))
    return F.atan(F.divide(x, F.sqrt(F.multiply(F.subtract(1, x), F.add(x, 1)))))


@composition
def acos_(F: Any, x: Any) -> Any:
    """Returns 2 atan(sqrt((1 - x) / (1 + x))); complex values as pi/2 - asin(x)."""
    if F.dtype_of(x).is_complex:
        return F.subtract(math.pi / 2, F.asin(x))
    return F.multiply(F.atan(F.sqrt(F.divide(F.subtract(1, x), F.add(x, 1)))), 2)


@composition
def atan2_(F: Any, y: Any, x: Any) -> Any:
    """Returns the angle of the point (x, y), from -pi to pi: atan of the smaller over the larger, moved to its octant."""
    ax, ay = F.abs(x), F.abs(y)
    steep = F.less(ax, ay)
    low, high = F.where(steep, ax, ay), F.where(steep, ay, ax)
    both_endless = F.bitwise_and(F.equal(low, math.inf), F.equal(high, math.inf))
    both_zero = F.equal(high, 0)
    ratio = F.divide(
        F.where(both_endless, F.full_of(low, (), 1), low),
        F.where(F.bitwise_or(both_endless, both_zero), F.full_of(high, (), 1), high),
    )
    angle = F.atan(ratio)
    angle = F.where(steep, F.subtract(math.pi / 2, angle), angle)
    angle = F.where(F.signbit(x), F.subtract(math.pi, angle), angle)
    nan = F.bitwise_invert(F.bitwise_and(F.equal(x, x), F.equal(y, y)))
    return F.where(nan, F.full_of(angle, (), math.nan), F.copysign(angle, y))


@composition
def hypot_(F: Any, x: Any, y: Any) -> Any:
    """Returns sqrt(x^2 + y^2), scaled by the larger so that neither square overflows."""
    ax, ay = F.abs(x), F.abs(y)
    high, low = F.maximum(ax, ay), F.minimum(ax, ay)
    plain = F.bitwise_or(F.equal(high, 0), F.equal(low, math.inf))
    ratio = F.divide(F.where(plain, F.zeros_of(low, ()), low), F.where(plain, F.full_of(high, (), 1), high))
    size = F.multiply(high, F.sqrt(F.add(F.multiply(ratio, ratio), 1)))
    endless = F.bitwise_or(F.equal(ax, math.inf), F.equal(ay, math.inf))
    return F.where(endless, F.full_of(size, (), math.inf), size)


@composition
def sinh_(F: Any, x: Any) -> Any:
    """Returns (u + u / (u + 1)) / 2 with u = expm1(|x|); large values as the square of exp(|x| / 2), which overflows later."""
    if F.dtype_of(x).is_complex:
        a, b = F.real(x), F.imag(x)
        return F.complex(F.multiply(F.sinh(a), F.cos(b)), F.multiply(F.cosh(a), F.sin(b)))
    size = F.abs(x)
    large = F.less(20, size)
    u = F.expm1(F.where(large, F.zeros_of(size, ()), size))
    small = F.multiply(F.add(u, F.divide(u, F.add(u, 1))), 0.5)
    root = F.exp(F.multiply(size, 0.5))
    return _odd(F, x, F.where(large, F.multiply(F.multiply(root, 0.5), root), small))


@composition
def cosh_(F: Any, x: Any) -> Any:
    """Returns (exp(x) + exp(-x)) / 2; large values as the square of exp(|x| / 2), which overflows later."""
    if F.dtype_of(x).is_complex:
        a, b = F.real(x), F.imag(x)
        return F.complex(F.multiply(F.cosh(a), F.cos(b)), F.multiply(F.sinh(a), F.sin(b)))
    size = F.abs(x)
    large = F.less(20, size)
    e = F.exp(F.where(large, F.zeros_of(size, ()), size))
    small = F.multiply(F.add(e, F.divide(1, e)), 0.5)
    root = F.exp(F.multiply(size, 0.5))
    return F.where(large, F.multiply(F.multiply(root, 0.5), root), small)


@composition
def tanh_(F: Any, x: Any) -> Any:
    """Returns -u / (u + 2) with u = expm1(-2|x|), with the sign of x."""
    if F.dtype_of(x).is_complex:
        return _tanh_of_complex(F, x)
    u = F.expm1(F.multiply(F.abs(x), -2))
    return _odd(F, x, F.divide(u, F.add(u, 2)))


def _tanh_of_complex(F: Any, x: Any) -> Any:
    """(sinh(2a) + i sin(2b)) / (cosh(2a) + cos(2b)), in the form divided by cosh(a)^2, which does not overflow."""
    a, t = F.tanh(F.real(x)), F.tan(F.imag(x))
    below = F.add(F.multiply(F.multiply(a, t), F.multiply(a, t)), 1)
    real = F.divide(F.multiply(a, F.add(F.multiply(t, t), 1)), below)
    return F.complex(real, F.divide(F.multiply(t, F.subtract(1, F.multiply(a, a))), below))


@composition
def asinh_(F: Any, x: Any) -> Any:
    """Returns log1p(|x| + x^2 / (1 + sqrt(1 + x^2))), large values as log|x| + log 2, with the sign of x."""
    if F.dtype_of(x).is_complex:
        return F.log(F.add(x, F.sqrt(F.add(F.multiply(x, x), 1))))
    size = F.abs(x)
    large = F.less(_HUGE, size)
    z = F.where(large, F.zeros_of(size, ()), size)
    squared = F.multiply(z, z)
    small = F.log1p(F.add(z, F.divide(squared, F.add(F.sqrt(F.add(squared, 1)), 1))))
    return _odd(F, x, F.where(large, F.add(F.log(size), _LN2), small))


@composition
def acosh_(F: Any, x: Any) -> Any:
    """Returns log1p(t + sqrt(t (t + 2))) with t = x - 1, large values as log x + log 2."""
    if F.dtype_of(x).is_complex:
        root = F.multiply(F.sqrt(F.add(x, 1)), F.sqrt(F.subtract(x, 1)))
        return F.log(F.add(x, root))
    large = F.less(_HUGE, x)
    t = F.subtract(F.where(large, F.full_of(x, (), 1), x), 1)
    small = F.log1p(F.add(t, F.sqrt(F.multiply(t, F.add(t, 2)))))
    return F.where(large, F.add(F.log(x), _LN2), small)


@composition
def atanh_(F: Any, x: Any) -> Any:
    """Returns log1p(2|x| / (1 - |x|)) / 2 with the sign of x."""
    if F.dtype_of(x).is_complex:
        return F.multiply(F.subtract(F.log1p(x), F.log1p(F.negative(x))), 0.5)
    size = F.abs(x)
    return _odd(F, x, F.multiply(F.log1p(F.divide(F.multiply(size, 2), F.subtract(1, size))), 0.5))


@composition
def sinc_(F: Any, x: Any) -> Any:
    """Returns sin(pi x) / (pi x), 1 at 0."""
    angle = F.multiply(x, math.pi)
    zero = F.equal(angle, 0)
    ratio = F.divide(F.sin(angle), F.where(zero, F.full_of(angle, (), 1), angle))
    return F.where(zero, F.full_of(ratio, (), 1), ratio)


Op(
    "tanh_backward", ("g", "out"), tensors=("g", "out"),
    forward=lambda F, g, out: F.multiply(g, F.conj_of(F.subtract(1, F.multiply(out, out)))),
    rules={
        "g": lambda F, gg, out: F.tanh_backward(gg, out),
        "out": lambda F, gg, g, out: F.multiply(F.multiply(F.multiply(F.conj_of(gg), g), F.conj_of(out)), -2),
    },
)  # fmt: skip


# ---- functions -------------------------------------------------------------------------------------------------------

_ALL = ("float", "complex", "int", "bool")


def _unit(make: Any) -> Iterable[Sample]:
    """Inputs strictly between -1 and 1 (integers stay what they are)."""
    x = make(3, 4)
    inside = x / (1 + abs(x)) if x.dtype.kind in "fc" else x * 0
    yield Sample(inside.astype(x.dtype))
    yield Sample(inside.astype(x.dtype)[0, 0:0])


def _above_one(make: Any) -> Iterable[Sample]:
    yield Sample(abs(make(3, 4)) + 2)
    yield Sample(abs(make()) + 2)


sin = unary(
    "sin",
    lambda F, g, input: F.multiply(g, F.conj_of(F.cos(input))),
    """Returns the sine of radians.""",
    floats=True,
    dtypes=_ALL,
)
cos = unary(
    "cos",
    lambda F, g, input: F.negative(F.multiply(g, F.conj_of(F.sin(input)))),
    """Returns the cosine of radians.""",
    floats=True,
    dtypes=_ALL,
)
tan = unary(
    "tan",
    lambda F, g, out: F.multiply(g, F.conj_of(F.add(F.multiply(out, out), 1))),
    """Returns the tangent of radians.""",
    floats=True,
    dtypes=_ALL,
)
asin = unary(
    "asin", lambda F, g, input: F.multiply(g, F.conj_of(F.rsqrt(F.subtract(1, F.multiply(input, input))))),
    """Returns the angle in radians with this sine.""", floats=True, dtypes=("float", "complex", "int"), samples=_unit, aliases=("arcsin",),
)  # fmt: skip
acos = unary(
    "acos", lambda F, g, input: F.negative(F.multiply(g, F.conj_of(F.rsqrt(F.subtract(1, F.multiply(input, input)))))),
    """Returns the angle in radians with this cosine.""", floats=True, dtypes=("float", "complex", "int"), samples=_unit, aliases=("arccos",),
)  # fmt: skip
atan = unary(
    "atan", lambda F, g, input: F.divide(g, F.conj_of(F.add(F.multiply(input, input), 1))),
    """Returns the angle in radians with this tangent.""", floats=True, dtypes=("float", "int"), aliases=("arctan",),
)  # fmt: skip
sinh = unary(
    "sinh",
    lambda F, g, input: F.multiply(g, F.conj_of(F.cosh(input))),
    """Returns the hyperbolic sine.""",
    floats=True,
    dtypes=_ALL,
)
cosh = unary(
    "cosh",
    lambda F, g, input: F.multiply(g, F.conj_of(F.sinh(input))),
    """Returns the hyperbolic cosine.""",
    floats=True,
    dtypes=_ALL,
)
tanh = unary(
    "tanh", lambda F, g, out: F.tanh_backward(g, out), """Returns the hyperbolic tangent.""", floats=True, dtypes=_ALL
)
asinh = unary(
    "asinh", lambda F, g, input: F.multiply(g, F.conj_of(F.rsqrt(F.add(F.multiply(input, input), 1)))),
    """Returns the number with this hyperbolic sine.""", floats=True, dtypes=("float", "int"), aliases=("arcsinh",),
)  # fmt: skip
acosh = unary(
    "acosh",
    lambda F, g, input: F.multiply(g, F.conj_of(F.multiply(F.rsqrt(F.subtract(input, 1)), F.rsqrt(F.add(input, 1))))),
    """Returns the positive number with this hyperbolic cosine.""", floats=True, dtypes=("float", "int"), samples=_above_one,
    aliases=("arccosh",),
)  # fmt: skip
atanh = unary(
    "atanh", lambda F, g, input: F.divide(g, F.conj_of(F.subtract(1, F.multiply(input, input)))),
    """Returns the number with this hyperbolic tangent.""", floats=True, samples=_unit, dtypes=("float", "int"), aliases=("arctanh",),
)  # fmt: skip


def _sinc_rule(F: Any, g: Any, input: Any) -> Any:
    """g * (cos(pi x) - sinc(x)) / x, 0 at 0."""
    zero = F.equal(input, 0)
    below = F.where(zero, F.full_of(input, (), 1), input)
    slope = F.divide(F.subtract(F.cos(F.multiply(input, math.pi)), F.sinc(input)), below)
    return F.multiply(g, F.where(zero, F.zeros_of(slope, ()), slope))


sinc = unary(
    "sinc", _sinc_rule, """Returns sin(pi x) / (pi x), 1 at 0.""", floats=True, dtypes=("float", "int"),
)  # fmt: skip


def _no_angle(name: str) -> dict[str, Any]:
    """Returns what `unary` takes of a function that refuses complex numbers, and a sample of that error."""
    said = f"{name} is not supported for complex tensors."
    errors = [Sample(np.ones(2, np.complex64), error=(RuntimeError, said))]
    return {"refuse": {"complex": RuntimeError(said)}, "errors": lambda: errors}


deg2rad = unary(
    "deg2rad", lambda F, g: F.multiply(g, math.pi / 180), """Returns degrees in radians.""", floats=True,
    forward=lambda F, x: F.multiply(x, math.pi / 180), dtypes=("float", "int"),
    **_no_angle("deg2rad"),
)  # fmt: skip
rad2deg = unary(
    "rad2deg", lambda F, g: F.multiply(g, 180 / math.pi), """Returns radians in degrees.""", floats=True,
    forward=lambda F, x: F.multiply(x, 180 / math.pi), dtypes=("float", "int"),
    **_no_angle("rad2deg"),
)  # fmt: skip


def _nonzero_pairs(make: Any) -> Iterable[Sample]:
    x, y = make(3, 4), make(3, 4)
    yield Sample(x, y + (y >= 0) - (y < 0))
    yield Sample(x, abs(make(4)) + 1)
    yield Sample(make(3, 1), -abs(make(1, 4)) - 1)
    yield Sample(make(), abs(make(2)) + 1)


def _over_square(F: Any, g: Any, above: Any, x: Any, y: Any) -> Any:
    """g * above / (x^2 + y^2), 0 at the origin."""
    squares = F.add(F.multiply(x, x), F.multiply(y, y))
    origin = F.equal(squares, 0)
    ratio = F.divide(above, F.where(origin, F.full_of(squares, (), 1), squares))
    return F.multiply(g, F.where(origin, F.zeros_of(ratio, ()), ratio))


atan2 = binary(
    "atan2",
    {
        "input": lambda F, g, input, other: _over_square(F, g, other, input, other),
        "other": lambda F, g, input, other: _over_square(F, g, F.negative(input), input, other),
    },
    """Returns the angle in radians of the point (x = other, y = input), from -pi to pi.""",
    floats=True, numbers=False, samples=_nonzero_pairs, dtypes=("float", "int"), aliases=("arctan2",), refuse={"complex": "atan2_cpu"},
)  # fmt: skip
hypot = binary(
    "hypot",
    {
        "input": lambda F, g, input, other: F.multiply(g, F.divide(input, F.hypot(input, other))),
        "other": lambda F, g, input, other: F.multiply(g, F.divide(other, F.hypot(input, other))),
    },
    """Returns the length of the hypotenuse, sqrt(input^2 + other^2), without overflow.""",
    numbers=False, samples=_nonzero_pairs,
    refuse={"int": "hypot_cpu", "uint": "hypot_cpu", "bool": "hypot_cpu", "complex": "hypot_cpu"},
)  # fmt: skip
