"""Powers and roots, elementwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import Number, argument_error, as_number, broadcast_shapes, convert, promote, unary
from torchplug._core.inplace import inplace_twin, write_out
from torchplug._core.kernels import composition
from torchplug._core.naming import scalar_type_name
from torchplug._core.numbers import stored
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.promotion import result_type
from torchplug._core.tensor import Tensor, shape_of, wrap
from torchplug_spec import dtypes as dt

__all__ = ["float_power", "pow", "reciprocal", "rsqrt", "sqrt", "square"]


@composition
def reciprocal_(F: Any, x: Any) -> Any:
    """Returns 1 / x."""
    return F.divide(1, x)


@composition
def square_(F: Any, x: Any) -> Any:
    """Returns x * x."""
    return F.multiply(x, x)


# ---- pow -------------------------------------------------------------------------------------------------------------


def _base_rule_number(F: Any, g: Any, input: Any, exponent: Any) -> Any:
    if exponent == 0:
        return F.zeros_of(g, tuple(g.shape))
    if exponent == 2:
        return F.multiply(g, F.multiply(F.conj_of(input), 2))
    return F.multiply(g, F.conj_of(F.multiply(F.pow(input, exponent - 1), exponent)))


def _base_rule(F: Any, g: Any, input: Any, exponent: Any) -> Any:
    """g * exponent * input ** (exponent - 1), and 0 where the exponent is 0, whatever the base."""
    less = F.subtract(exponent, 1)
    slope = F.multiply(exponent, F.pow(input, less))
    return F.where(F.equal(exponent, 0), F.zeros_of(g, ()), F.multiply(g, F.conj_of(slope)))


def _exponent_rule(F: Any, g: Any, input: Any, exponent: Any) -> Any:
    """g * out * log(input), and 0 where 0 is raised to a power that is not negative.

    The power is computed anew, so that the rule can be differentiated with respect to both operands.
    """
    slope = F.multiply(F.pow(input, exponent), F.log(input))
    if F.dtype_of(exponent).is_complex:
        flat = F.bitwise_and(F.equal(input, 0), F.bitwise_invert(F.less(F.real(exponent), 0)))
    else:
        flat = F.bitwise_and(F.equal(input, 0), F.bitwise_invert(F.less(exponent, 0)))
    return F.where(flat, F.zeros_of(g, ()), F.multiply(g, F.conj_of(slope)))


POW_NUMBER = Op("pow", ("input", "exponent"), tensors=("input",), kernel="pow", rules={"input": _base_rule_number})
POW = Op(
    "pow",
    ("input", "exponent"),
    tensors=("input", "exponent"),
    node="PowBackward1",
    broadcasts=True,
    rules={"input": _base_rule, "exponent": _exponent_rule},
)
POW_BASE = Op(
    "pow",
    ("input", "exponent"),
    tensors=("exponent",),
    kernel="pow",
    node="PowBackward2",
    rules={"exponent": _exponent_rule},
)


TENSOR_SPACE.pow = lambda x, y: POW(x, y) if isinstance(y, Tensor) else POW_NUMBER(x, y)


def pow_plain(input: Tensor, exponent: Tensor | complex) -> Tensor:
    """Returns `input ** exponent` for a tensor base: what the operator calls."""
    if CASTING and (cast := casting("pow")) is not None:
        return cast(pow_plain, input, exponent)
    cls = type(exponent)
    if (cls is int or cls is float) and input._kind.inexact:
        return POW_NUMBER(input, exponent)
    return _pow(input, exponent)


def _pow(input: Any, exponent: Any) -> Tensor:
    if not isinstance(input, Tensor) and not isinstance(exponent, Tensor):
        raise TypeError(
            f"pow() received an invalid combination of arguments - got ({type(input).__name__}, {type(exponent).__name__}), but "
            "expected one of:\n * (Tensor input, Tensor exponent, *, Tensor out = None)\n * (Number self, Tensor exponent, *, "
            "Tensor out = None)\n * (Tensor input, Number exponent, *, Tensor out = None)\n"
        )
    if not isinstance(exponent, Tensor) and type(exponent) not in Number:
        exponent = as_number("pow", exponent, "exponent")
    if not isinstance(input, (Tensor, *Number)):
        raise argument_error("pow", "input", "Tensor", input, 1)
    common = result_type(input, exponent)
    if common is dt.bool_ and isinstance(exponent, Tensor):
        raise NotImplementedError("\"pow\" not implemented for 'Bool'")
    whole = not (common.is_floating_point or common.is_complex)
    if isinstance(exponent, Tensor):
        base, power = promote("pow", input, exponent, dtype=common)
        broadcast_shapes(shape_of(base), shape_of(power))
        return POW(base, power) if isinstance(input, Tensor) else POW_BASE(base, power)
    if whole and exponent < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    if common is dt.bool_:
        return _bool_power(input, exponent)  # type: ignore[arg-type]  # one of both is a tensor
    base = convert(input, common)  # type: ignore[arg-type]  # one of both is a tensor
    return POW_NUMBER(base, stored(exponent, common) if whole else exponent)


def _bool_power(input: Tensor, exponent: bool) -> Tensor:
    """Returns a bool tensor to the power of a bool: itself for True, all True for False."""
    kind = input._kind
    return input.clone() if exponent else wrap(kind.F.full(shape_of(input), True, kind.dtype, kind.native_device), kind)


def _pow_samples(make: Any) -> Iterable[Sample]:
    for exponent in (2, 3, 0, 1):
        yield Sample(make(3, 4), exponent)
    base = abs(make(3, 4)) + 1
    yield Sample(base, abs(make(4)) + 1)
    yield Sample(base, abs(make(3, 1)) + 1)
    yield Sample(make(2, 0), 2)
    yield Sample(base, make())
    yield Sample(base, base.reshape(-1)[0])
    yield Sample(2, abs(make(3)))
    if base.dtype.kind in "fc":
        for power in (0.5, -1, -0.5, -2, 2.5, 4):
            yield Sample(base, power)
        yield Sample(base * 0, base * 0)


def _pow_errors() -> Iterable[Sample]:
    import numpy as np

    n, b = np.ones(2, np.int64), np.ones(2, np.bool_)
    yield Sample(n, -1, error=(RuntimeError, "Integers to negative integer powers are not allowed."))
    yield Sample(b, b, error=(NotImplementedError, "not implemented for 'Bool'"))
    yield Sample(2, 3, error=(TypeError, "pow() received an invalid combination of arguments"))


@declare(
    op=POW,
    samples=_pow_samples,
    errors=_pow_errors,
    dtypes=("float", "complex", "int"),
    inplace=True,
    operator=pow_plain,
)
def pow(input: Tensor | complex, exponent: Tensor | complex, *, out: Tensor | None = None) -> Tensor:
    """Returns `input` to the power of `exponent`, broadcast and promoted; one of them may be a number.

    Raises RuntimeError for integers to a negative number.
    """
    if CASTING and (cast := casting("pow")) is not None:
        return cast(pow, input, exponent, out=out)
    result = _pow(input, exponent)
    return result if out is None else write_out(out, result, "pow")


def _float_power_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), 2)
    yield Sample(abs(make(3)) + 1, 1.5)
    yield Sample(abs(make(3)) + 1, make(2, 3))


@declare(samples=_float_power_samples, dtypes=("float", "int"), differentiable=True)
def float_power(input: Tensor | complex, exponent: Tensor | complex, *, out: Tensor | None = None) -> Tensor:
    """Returns `input ** exponent` computed in float64 (complex128 if either is complex)."""
    complex_operand = any(
        x._kind.dtype.is_complex if isinstance(x, Tensor) else isinstance(x, complex) for x in (input, exponent)
    )
    wide = dt.complex128 if complex_operand else dt.float64
    operands = [convert(x, wide) if isinstance(x, Tensor) else x for x in (input, exponent)]
    return pow(*operands, out=out)


def _float_power_in_place(input: Tensor, exponent: Any) -> Tensor:
    result = float_power(input, exponent)
    if result._kind.dtype is not input._kind.dtype:
        names = (scalar_type_name(x._kind.dtype) for x in (input, result))
        raise RuntimeError(
            "the base given to float_power_ has dtype {} but the operation's result requires dtype {}".format(*names)
        )
    return result


Tensor.float_power_ = inplace_twin(_float_power_in_place)  # type: ignore[method-assign]  # attached here


# ---- roots and squares -----------------------------------------------------------------------------------------------

sqrt = unary(
    "sqrt",
    lambda F, g, out: F.divide(g, F.conj_of(F.multiply(out, 2))),
    """Returns the square root; NaN for negative numbers.""",
    floats=True,
    dtypes=("float", "complex", "int"),
    samples=lambda make: [Sample(abs(make(3, 4)) + 1), Sample(abs(make()) + 1), Sample(make(2, 0))],
)

rsqrt = unary(
    "rsqrt",
    lambda F, g, out: F.multiply(g, F.conj_of(F.multiply(F.multiply(F.multiply(out, out), out), -0.5))),
    """Returns 1 / sqrt(input).""",
    forward=lambda F, x: F.reciprocal(F.sqrt(x)),
    floats=True,
    dtypes=("float", "int"),
    samples=lambda make: [Sample(abs(make(3, 4)) + 1), Sample(abs(make()) + 1), Sample(make(2, 0))],
)

reciprocal = unary(
    "reciprocal",
    lambda F, g, out: F.negative(F.multiply(g, F.conj_of(F.multiply(out, out)))),
    """Returns 1 / input.""",
    floats=True,
    dtypes=("float", "complex", "int"),
    samples=lambda make: [Sample(abs(make(3, 4)) + 1), Sample((-abs(make(1)) - 1).reshape(())), Sample(make(2, 0))],
)

_square = unary(
    "square",
    lambda F, g, input: F.multiply(g, F.conj_of(F.multiply(input, 2))),
    """Returns input * input; bool gives int64.""",
    dtypes=("float", "complex", "int"),
    node="PowBackward0",
)


@declare(
    samples=lambda make: [Sample(make(3, 4)), Sample(make())],
    dtypes=("float", "complex", "int", "bool"),
    inplace=True,
    differentiable=True,
)
def square(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns `input * input`; bool gives int64."""
    if isinstance(input, Tensor) and input._kind.dtype is dt.bool_:
        input = convert(input, dt.int64)
    return _square(input, out=out)
