"""Sums, differences, products and quotients, elementwise; powers are in `powers.py`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torchplug._core.declare import DECLARATIONS, Sample, declare
from torchplug._core.elementwise import binary, broadcast_shapes, need_tensor, promote, unary
from torchplug._core.inplace import write_out
from torchplug._core.kernels import composition
from torchplug._core.numbers import stored
from torchplug._core.op import Op
from torchplug._core.promotion import result_type
from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["add", "add_plain", "div", "divide", "floor_divide", "fmod", "mul", "neg", "positive", "remainder", "rsub", "sub",
           "subtract_plain", "zero_gradient"]  # fmt: skip


@composition
def conj_of(F: Any, x: Any) -> Any:
    """Returns the conjugate of a complex array, a real one as it is (Python numbers too)."""
    if isinstance(x, (int, float)):
        return x
    if isinstance(x, complex):
        return x.conjugate()
    return F.conj(x) if F.dtype_of(x).is_complex else x


@composition
def negative(F: Any, x: Any) -> Any:
    """Returns -x; multiplying keeps the sign of zero right. Unsigned integers wrap round."""
    if F.dtype_of(x).kind == "uint":
        return F.add(F.bitwise_invert(x), 1)
    return F.multiply(x, -1)


def zero_gradient(F: Any, g: Any) -> Any:
    """The rule of functions that are constant almost everywhere."""
    return F.zeros_of(g, tuple(g.shape))


# ---- sums and differences --------------------------------------------------------------------------------------------

add_plain = binary(
    "add",
    {"input": lambda F, g: g, "other": lambda F, g: g},
    """Returns `input + other`, broadcast and promoted.""",
    dtypes=("float", "complex", "int", "bool"),
    swap=True,
)

_TWO_BOOLS = "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead."
_ONE_BOOL = (
    "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the `~` or "
    "`logical_not()` operator instead."
)


def _is_bool(operand: Any) -> bool:
    return operand._kind.dtype is dt.bool_ if isinstance(operand, Tensor) else isinstance(operand, bool)


def _refuse_bools(input: Any, other: Any) -> None:
    count = _is_bool(input) + _is_bool(other)
    if count:
        raise RuntimeError(_TWO_BOOLS if count == 2 else _ONE_BOOL)


subtract_plain = binary(
    "sub",
    {"input": lambda F, g: g, "other": lambda F, g: F.negative(g)},
    """Returns `input - other`, broadcast and promoted.""",
    kernel="subtract",
    dtypes=("float", "complex", "int"),
    refuse={"bool": RuntimeError(_TWO_BOOLS)},
    guard=_refuse_bools,
    swap=True,
)

ADD_SCALED = Op(
    "add", ("input", "other", "alpha"), tensors=("input", "other"), kernel="add_scaled", broadcasts=True,
    forward=lambda F, x, y, alpha: F.add(x, F.multiply(y, alpha)),
    rules={"input": lambda F, g: g, "other": lambda F, g, alpha: F.multiply(g, F.conj_of(alpha))},
)  # fmt: skip
SUBTRACT_SCALED = Op(
    "sub", ("input", "other", "alpha"), tensors=("input", "other"), kernel="subtract_scaled", broadcasts=True,
    forward=lambda F, x, y, alpha: F.subtract(x, F.multiply(y, alpha)),
    rules={"input": lambda F, g: g, "other": lambda F, g, alpha: F.negative(F.multiply(g, F.conj_of(alpha)))},
)  # fmt: skip


def _check_alpha(alpha: Any, common: DType) -> None:
    """Raises PyTorch's error for a multiplier of another kind than the result."""
    if isinstance(alpha, bool) and common is not dt.bool_:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, (float, complex)) and not (common.is_floating_point or common.is_complex):
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if isinstance(alpha, complex) and not common.is_complex:
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")


def _scaled(op: Op, input: Any, other: Any, alpha: Any, out: Tensor | None) -> Tensor:
    if isinstance(alpha, Tensor):
        alpha = alpha.item()
    common = result_type(input, other)
    _check_alpha(alpha, common)
    x, y = promote(op.name, input, other, dtype=common)
    broadcast_shapes(shape_of(x), shape_of(y))
    result = op(x, y, stored(alpha, common))
    return result if out is None else write_out(out, result, op.name)


def _sum_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), make(3, 4))
    yield Sample(make(3, 4), make(4))
    yield Sample(make(3, 1), make(1, 4))
    yield Sample(make(), make(2))
    yield Sample(make(3), 2)
    yield Sample(make(3), make(2, 3), alpha=3)
    yield Sample(make(2, 0), make(1))


def _sum_errors() -> Iterable[Sample]:
    import numpy as np

    x, n, b = np.ones((2, 3), np.float32), np.ones(3, np.int64), np.ones(3, np.bool_)
    yield Sample(
        x,
        np.ones(4, np.float32),
        error=(RuntimeError, "must match the size of tensor b (4) at non-singleton dimension 1"),
    )
    yield Sample(n, n, alpha=0.5, error=(RuntimeError, "argument alpha must not be a floating point number"))
    yield Sample(x, x, alpha=1j, error=(RuntimeError, "argument alpha must not be a complex number"))
    yield Sample(n, n, alpha=True, error=(RuntimeError, "Boolean alpha only supported for Boolean results"))
    yield Sample(x, "a", error=(TypeError, "must be Tensor, not str"))
    yield Sample(b, x, alpha=True, error=(RuntimeError, "Boolean alpha only supported for Boolean results"))


def _difference_errors() -> Iterable[Sample]:
    import numpy as np

    b = np.ones(3, np.bool_)
    yield Sample(b, b, error=(RuntimeError, "with two bool tensors is not supported"))
    yield Sample(np.ones(3, np.float32), b, error=(RuntimeError, "with a bool tensor is not supported"))


@declare(
    op=ADD_SCALED,
    samples=_sum_samples,
    errors=_sum_errors,
    dtypes=("float", "complex", "int", "bool"),
    inplace=True,
    operator=add_plain,
)
def add(input: Tensor | complex, other: Tensor | complex, *, alpha: complex = 1, out: Tensor | None = None) -> Tensor:
    """Returns `input + alpha * other`, broadcast and promoted."""
    if type(alpha) is int and alpha == 1:
        return add_plain(input, other, out=out)
    return _scaled(ADD_SCALED, input, other, alpha, out)


@declare(
    op=SUBTRACT_SCALED,
    samples=_sum_samples,
    errors=_difference_errors,
    dtypes=("float", "complex", "int"),
    inplace=True,
    aliases=("subtract",),
    operator=subtract_plain,
)
def sub(input: Tensor | complex, other: Tensor | complex, *, alpha: complex = 1, out: Tensor | None = None) -> Tensor:
    """Returns `input - alpha * other`, broadcast and promoted; bool operands are refused."""
    if type(alpha) is int and alpha == 1:
        return subtract_plain(input, other, out=out)
    _refuse_bools(input, other)
    return _scaled(SUBTRACT_SCALED, input, other, alpha, out)


@declare(samples=_sum_samples, dtypes=("float", "complex", "int"), method=False, differentiable=True)
def rsub(input: Tensor, other: Tensor | complex, *, alpha: complex = 1) -> Tensor:
    """Returns `other - alpha * input`."""
    need_tensor("rsub", input)
    _refuse_bools(input, other)
    x, y = promote("rsub", input, other)
    return sub(y, x, alpha=alpha)


neg = unary(
    "neg", lambda F, g: F.negative(g), """Returns `-input`.""", kernel="negative", dtypes=("float", "complex", "int"),
    aliases=("negative",),
    refuse={"bool": RuntimeError(
        "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or "
        "`logical_not()` operator instead."
    )},
)  # fmt: skip


@declare(
    samples=lambda make: [Sample(make(3)), Sample(make())], dtypes=("float", "complex", "int"), differentiable=True
)
def positive(input: Tensor) -> Tensor:
    """Returns `input` itself; bool is refused."""
    need_tensor("positive", input)
    if input._kind.dtype is dt.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


# ---- products and quotients ------------------------------------------------------------------------------------------

mul = binary(
    "mul",
    {
        "input": lambda F, g, other: F.multiply(g, F.conj_of(other)),
        "other": lambda F, g, input: F.multiply(g, F.conj_of(input)),
    },
    """Returns `input * other`, broadcast and promoted.""",
    kernel="multiply",
    dtypes=("float", "complex", "int", "bool"),
    aliases=("multiply",),
    swap=True,
)


def _divisor_rule(F: Any, g: Any, input: Any, other: Any) -> Any:
    return F.negative(F.multiply(g, F.conj_of(F.divide(F.divide(input, other), other))))


def _quotient_samples(make: Any) -> Iterable[Sample]:
    def away(*shape: int) -> Any:
        x = make(*shape)
        return abs(x) + 1

    yield Sample(make(3, 4), away(3, 4))
    yield Sample(make(3, 4), away(4))
    yield Sample(make(3, 1), -away(1, 4))
    yield Sample(make(), away(2))
    yield Sample(make(3), 2)
    yield Sample(make(3), -1.5)
    yield Sample(make(0, 3), away(3))


divide = binary(
    "div",
    {"input": lambda F, g, other: F.divide(g, F.conj_of(other)), "other": _divisor_rule},
    """Returns `input / other`; integers are divided in the default dtype.""",
    kernel="divide",
    floats=True,
    dtypes=("float", "complex", "int"),
    samples=_quotient_samples,
    swap=True,
)


@composition
def trunc_divide(F: Any, x: Any, y: Any) -> Any:
    """Returns x / y rounded towards zero."""
    if F.dtype_of(x).is_floating_point:
        return F.trunc(F.divide(x, y))
    quotient = F.floor_divide(x, y)
    inexact = F.bitwise_invert(F.equal(F.multiply(quotient, y), x))
    rounded_down = F.bitwise_and(inexact, F.less(quotient, 0))
    return F.where(rounded_down, F.add(quotient, 1), quotient)


_ROUNDED = {
    "floor": Op("div", ("input", "other"), tensors=("input", "other"), kernel="floor_divide", node="DivBackward2",
                rules={"input": zero_gradient, "other": zero_gradient}, broadcasts=True),
    "trunc": Op("div", ("input", "other"), tensors=("input", "other"), kernel="trunc_divide", node="DivBackward2",
                rules={"input": zero_gradient, "other": zero_gradient}, broadcasts=True),
}  # fmt: skip
FLOOR_DIVIDE = Op("floor_divide", ("input", "other"), tensors=("input", "other"))


def _rounded(name: str, op: Op, input: Any, other: Any, out: Tensor | None) -> Tensor:
    common = result_type(input, other)
    if common.is_complex:
        raise NotImplementedError(
            f"\"div_floor_cpu\" not implemented for '{_scalar_name(common)}'"
            if op.kernel == "floor_divide"
            else f"\"div_trunc_cpu\" not implemented for '{_scalar_name(common)}'"
        )
    x, y = promote(name, input, other, dtype=dt.uint8 if common is dt.bool_ else common)
    broadcast_shapes(shape_of(x), shape_of(y))
    result = op(x, y)
    return result if out is None else write_out(out, result, name)


def _scalar_name(dtype: DType) -> str:
    from torchplug._core.naming import scalar_type_name

    return scalar_type_name(dtype)


def _div_samples(make: Any) -> Iterable[Sample]:
    yield from _quotient_samples(make)
    yield Sample(make(3, 4) * 3, abs(make(4)) + 1, rounding_mode="floor")
    yield Sample(make(3, 4) * 3, -abs(make(4)) - 1, rounding_mode="trunc")
    yield Sample(make(5) * 3, 2, rounding_mode="trunc")


def _div_errors() -> Iterable[Sample]:
    import numpy as np

    x = np.ones(2, np.float32)
    yield Sample(
        x, x, rounding_mode="up", error=(RuntimeError, "to be one of None, 'trunc', or 'floor' but found 'up'")
    )
    yield Sample(np.ones(2, np.int64), 0, rounding_mode="floor", error=(RuntimeError, "ZeroDivisionError"))


@declare(
    op=DECLARATIONS["div"].op,
    samples=_div_samples,
    errors=_div_errors,
    dtypes=("float", "int"),
    inplace=True,
    aliases=("divide",),
    operator=divide,
)
def div(
    input: Tensor | complex, other: Tensor | complex, *, rounding_mode: str | None = None, out: Tensor | None = None
) -> Tensor:
    """Returns `input / other`, of integers in the default dtype; `rounding_mode` "floor" or "trunc" keeps their type."""
    if rounding_mode is None:
        return divide(input, other, out=out)
    if rounding_mode not in _ROUNDED:
        raise RuntimeError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'"
        )
    return _rounded("div", _ROUNDED[rounding_mode], input, other, out)


@declare(samples=_quotient_samples, dtypes=("float", "complex", "int"), inplace=True, differentiable=True)
def true_divide(input: Tensor, other: Tensor | complex, *, out: Tensor | None = None) -> Tensor:
    """Returns `input / other`; integers are divided in the default dtype."""
    return divide(input, other, out=out)


def _zero_errors() -> Iterable[Sample]:
    import numpy as np

    yield Sample(np.ones(2, np.int64), 0, error=(RuntimeError, "ZeroDivisionError"))


@declare(op=FLOOR_DIVIDE, samples=_quotient_samples, errors=_zero_errors, dtypes=("float", "int"), inplace=True)
def floor_divide(input: Tensor | complex, other: Tensor | complex, *, out: Tensor | None = None) -> Tensor:
    """Returns `input / other` rounded down, in the promoted dtype; not differentiable."""
    return _rounded("floor_divide", FLOOR_DIVIDE, input, other, out)


_REMAINDER_REFUSALS = {"complex": "remainder_cpu", "bool": "remainder_cpu"}

remainder = binary(
    "remainder",
    {
        "input": lambda F, g: g,
        "other": lambda F, g, input, other: F.negative(F.multiply(g, F.floor_divide(input, other))),
    },
    """Returns the remainder of `input / other` rounded down: it has the sign of `other`.""",
    dtypes=("float", "int"),
    samples=_quotient_samples,
    errors=_zero_errors,
    refuse=_REMAINDER_REFUSALS,
    swap=True,
)


@composition
def fmod_(F: Any, x: Any, y: Any) -> Any:
    """Returns C's fmod: the remainder of x / y rounded towards zero, with the sign of x (exact: both signs are put aside)."""
    size = F.remainder(F.abs(x), F.abs(y))
    if F.dtype_of(x).is_floating_point:
        return F.copysign(size, x)
    return F.where(F.less(x, 0), F.negative(size), size)


fmod = binary(
    "fmod",
    {
        "input": lambda F, g: g,
        "other": lambda F, g, input, other: F.negative(F.multiply(g, F.trunc_divide(input, other))),
    },
    """Returns the remainder of `input / other` rounded towards zero: it has the sign of `input`.""",
    dtypes=("float", "int"),
    samples=_quotient_samples,
    errors=_zero_errors,
    refuse={"complex": "fmod_cpu", "bool": "fmod_cpu"},
)
