"""Signs, sizes and whole parts of numbers, elementwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import binary, broadcast_shapes, need_tensor, unary
from torchplug._core.inplace import inplace_twin, write_out
from torchplug._core.kernels import composition
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.arithmetic import zero_gradient
from torchplug_spec import dtypes as dt

__all__ = [
    "abs",
    "ceil",
    "copysign",
    "floor",
    "frac",
    "heaviside",
    "nextafter",
    "round",
    "sgn",
    "sign",
    "signbit",
    "trunc",
]

# ---- compositions ----------------------------------------------------------------------------------------------------


@composition
def ceil_(F: Any, x: Any) -> Any:
    """Returns x rounded up."""
    return F.negative(F.floor(F.negative(x)))


@composition
def trunc_(F: Any, x: Any) -> Any:
    """Returns x rounded towards 0, which keeps its sign."""
    return F.copysign(F.floor(F.abs(x)), x)


@composition
def sign_(F: Any, x: Any) -> Any:
    """Returns -1, 0 or 1; 0 for NaN."""
    dtype = F.dtype_of(x)
    if dtype is dt.bool_:
        return F.copy(x)
    return F.subtract(F.astype(F.less(F.zeros_of(x, ()), x), dtype), F.astype(F.less(x, 0), dtype))


@composition
def sgn_(F: Any, x: Any) -> Any:
    """Returns x / |x|, 0 at 0, of complex numbers; the sign of real ones."""
    if not F.dtype_of(x).is_complex:
        return F.sign(x)
    size = F.abs(x)
    zero = F.equal(size, 0)
    below = F.astype(F.where(zero, F.full_of(size, (), 1), size), F.dtype_of(x))
    return F.where(zero, F.zeros_of(x, ()), F.divide(x, below))


# ---- functions -------------------------------------------------------------------------------------------------------


def _unlike_whole(make: Any) -> Iterable[Sample]:
    """Values away from the jumps of rounding: gradients are 0 there and checked there."""
    yield Sample(make(3, 4) * 3)
    yield Sample(make())
    yield Sample(make(2, 0))


def _unrounded(name: str) -> dict[str, Any]:
    """Returns what `unary` takes of a function that rounds: the types it refuses, and samples of those errors."""

    def errors() -> Iterable[Sample]:
        yield Sample(
            np.ones(2, np.complex64), error=(NotImplementedError, f"{name} is not supported for complex inputs")
        )
        yield Sample(
            np.ones(2, np.bool_), error=(NotImplementedError, f"\"{name}_vml_cpu\" not implemented for 'Bool'")
        )

    complex_error = NotImplementedError(f"{name} is not supported for complex inputs")
    return {"refuse": {"complex": complex_error, "bool": f"{name}_vml_cpu"}, "errors": errors}


def _abs_rule(F: Any, g: Any, input: Any) -> Any:
    sign = F.sgn(input)
    return F.multiply(F.astype(g, F.dtype_of(sign)), sign)


abs = unary(
    "abs", _abs_rule, """Returns the absolute value, of complex numbers the modulus, real; the gradient at 0 is 0.""",
    result="real", dtypes=("float", "complex", "int"), aliases=("absolute",), refuse={"bool": "abs_cpu"},
)  # fmt: skip


def _abs_in_place(input: Tensor) -> Tensor:
    if input._kind.dtype.is_complex:
        raise RuntimeError("In-place abs is not supported for complex tensors.")
    return abs(input)


Tensor.abs_ = Tensor.absolute_ = inplace_twin(_abs_in_place)  # type: ignore[method-assign]  # attached here
floor = unary(
    "floor",
    zero_gradient,
    """Returns the largest integer that is not larger.""",
    dtypes=("float", "int"),
    samples=_unlike_whole,
    **_unrounded("floor"),
)
ceil = unary(
    "ceil",
    zero_gradient,
    """Returns the smallest integer that is not smaller.""",
    dtypes=("float", "int"),
    samples=_unlike_whole,
    **_unrounded("ceil"),
)
trunc = unary(
    "trunc",
    zero_gradient,
    """Returns the integer part.""",
    dtypes=("float", "int"),
    samples=_unlike_whole,
    aliases=("fix",),
    **_unrounded("trunc"),
)
frac = unary(
    "frac", lambda F, g: g, """Returns what the integer part leaves, with the sign of the input.""", samples=_unlike_whole,
    forward=lambda F, x: F.subtract(x, F.trunc(x)),
    refuse={"int": "frac_cpu", "uint": "frac_cpu", "bool": "frac_cpu", "complex": "frac_cpu"},
)  # fmt: skip
sign = unary(
    "sign", zero_gradient, """Returns -1, 0 or 1.""", dtypes=("float", "int", "bool"),
    refuse={"complex": NotImplementedError(
        "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead.")},
)  # fmt: skip


def _sgn_rule(F: Any, g: Any, input: Any, out: Any) -> Any:
    """(g / |x| - Re(g / x) * sgn) of complex numbers: only the change across the radius turns the direction."""
    if not F.dtype_of(g).is_complex:
        return zero_gradient(F, g)
    size = F.astype(F.abs(input), F.dtype_of(g))
    zero = F.equal(size, 0)
    size = F.where(zero, F.full_of(size, (), 1), size)
    along = F.astype(F.real(F.multiply(g, F.conj_of(out))), F.dtype_of(g))
    return F.where(zero, F.zeros_of(g, ()), F.divide(F.subtract(g, F.multiply(along, out)), size))


sgn = unary(
    "sgn",
    _sgn_rule,
    """Returns input / |input|, 0 at 0: `sign` for complex numbers too.""",
    dtypes=("float", "complex", "int"),
)
signbit = unary(
    "signbit", None, """Returns where the sign is negative, -0.0 included.""", result="bool", dtypes=("float", "int", "bool"),
    inplace=False, refuse={"complex": NotImplementedError("signbit is not implemented for complex tensors.")},
)  # fmt: skip

ROUND = Op("round", ("input",), tensors=("input",), rules={"input": zero_gradient})


def _round_decimals(F: Any, x: Any, decimals: int) -> Any:
    scale = 10.0 ** max(decimals, -decimals)
    if decimals < 0:
        return F.multiply(F.round(F.divide(x, scale)), scale)
    return F.divide(F.round(F.multiply(x, scale)), scale)


ROUND_DECIMALS = Op(
    "round",
    ("input", "decimals"),
    tensors=("input",),
    kernel="round_decimals",
    node="RoundBackward1",
    forward=_round_decimals,
    rules={"input": zero_gradient},
)


def _round_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4) * 3
    yield Sample(x)
    yield Sample(make())
    if x.dtype.kind == "f":
        yield Sample(x, decimals=2)
        yield Sample(x * 100, decimals=-1)
        yield Sample(x * 0 + 2.5)


def _round_errors() -> Iterable[Sample]:
    yield Sample(np.ones(2, np.int64), decimals=1, error=(NotImplementedError, "not implemented for 'Long'"))
    yield Sample(np.ones(2, np.complex64), error=(NotImplementedError, "not implemented for 'ComplexFloat'"))


@declare(op=ROUND, samples=_round_samples, errors=_round_errors, dtypes=("float", "int"), inplace=True)
def round(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """Returns the nearest integer, halves to the even one, or the nearest multiple of `10 ** -decimals`."""
    need_tensor("round", input)
    from torchplug._core.naming import scalar_type_name

    dtype = input._kind.dtype
    if dtype.is_complex or dtype is dt.bool_ or (decimals and not dtype.is_floating_point):
        kernel = "round_cpu" if decimals else "round_vml_cpu"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_type_name(dtype)}'")
    result = ROUND_DECIMALS(input, decimals) if decimals else ROUND(input)
    return result if out is None else write_out(out, result, "round")


def _copysign_rule(F: Any, g: Any, input: Any, other: Any) -> Any:
    """g times the change of sign, copysign(input, other) / input; 0 at 0."""
    zero = F.equal(input, 0)
    change = F.divide(F.copysign(input, other), F.where(zero, F.full_of(input, (), 1), input))
    return F.where(zero, F.zeros_of(g, ()), F.multiply(g, change))


def _sign_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), make(3, 4))
    yield Sample(make(3, 4), make(4))
    yield Sample(make(), make(2))
    yield Sample(make(3), -2)


copysign = binary(
    "copysign",
    {
        "input": _copysign_rule,
        "other": zero_gradient,
    },
    """Returns the size of `input` with the sign of `other`.""",
    samples=_sign_samples,
    floats=True,
    dtypes=("float", "int"),
    refuse={"complex": "copysign_cpu"},
)


def _heaviside(F: Any, x: Any, values: Any) -> Any:
    step = F.astype(F.less(F.zeros_of(x, ()), x), F.dtype_of(x))
    return F.where(F.equal(x, 0), values, step)


HEAVISIDE = Op(
    "heaviside",
    ("input", "values"),
    tensors=("input", "values"),
    forward=_heaviside,
    broadcasts=True,
    rules={"input": zero_gradient},
)


@declare(
    op=HEAVISIDE,
    samples=lambda make: [Sample(make(3, 4), make(4)), Sample(make(3) * 0, make(3))],
    dtypes=("float", "int"),
    inplace=True,
    differentiable=False,
)
def heaviside(input: Tensor, values: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns 0 below 0, 1 above, `values` at 0."""
    need_tensor("heaviside", input)
    need_tensor("heaviside", values, "values", 2)
    if input._kind.dtype is not values._kind.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    if input._kind.dtype.is_complex:
        raise RuntimeError("heaviside is not yet implemented for complex tensors.")
    broadcast_shapes(shape_of(input), shape_of(values))
    result = HEAVISIDE(input, values)
    return result if out is None else write_out(out, result, "heaviside")


_FRACTION_BITS = {dt.float16: (10, -14), dt.bfloat16: (7, -126), dt.float32: (23, -126), dt.float64: (52, -1022)}
"""Per float type: bits of the fraction, exponent of the smallest normal number."""


@composition
def nextafter_(F: Any, x: Any, y: Any) -> Any:
    """Returns the next float after x towards y: one unit in the last place away, half of one below a power of 2."""
    bits, lowest = _FRACTION_BITS[F.dtype_of(x)]
    size = F.abs(x)
    exponent = F.maximum(F.floor(F.log2(F.maximum(size, 2.0**lowest))), lowest)
    power = F.pow(F.full_of(x, (), 2), exponent)
    outward = F.equal(F.less(x, y), F.less(0, x))
    edge = F.bitwise_and(F.equal(size, power), F.less(lowest, exponent))
    step = F.multiply(power, 2.0**-bits)
    step = F.where(F.bitwise_and(edge, F.bitwise_invert(outward)), F.multiply(step, 0.5), step)
    moved = F.where(F.less(x, y), F.add(x, step), F.subtract(x, step))
    moved = F.where(F.equal(x, 0), F.copysign(F.full_of(x, (), 2.0 ** (lowest - bits)), y), moved)
    return F.where(F.equal(x, y), y, moved)


def _nextafter_rule(F: Any, g: Any, input: Any, other: Any) -> Any:
    return F.where(F.equal(input, other), F.zeros_of(g, ()), g)


nextafter = binary(
    "nextafter", {"input": _nextafter_rule, "other": zero_gradient}, """Returns the next representable number after `input` towards `other`.""", numbers=False,
    refuse={"int": "nextafter_cpu", "uint": "nextafter_cpu", "bool": "nextafter_cpu", "complex": "nextafter_cpu"},
)  # fmt: skip
