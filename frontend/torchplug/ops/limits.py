"""Larger and smaller, bounds and choices, elementwise: maximum, clamp, where, nan_to_num."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torchplug._core.declare import DECLARATIONS, Sample, declare
from torchplug._core.elementwise import (
    Number,
    argument_error,
    binary,
    broadcast_shapes,
    convert,
    need_tensor,
    promote,
)
from torchplug._core.inplace import write_out
from torchplug._core.kernels import composition
from torchplug._core.numbers import rounded, stored
from torchplug._core.op import Op
from torchplug._core.promotion import result_type
from torchplug._core.tensor import Tensor, shape_of, wrap
from torchplug_spec import dtypes as dt

__all__ = ["clamp", "clamp_max", "clamp_min", "fmax", "fmin", "maximum", "minimum", "nan_to_num", "where"]


# ---- maximum and minimum ---------------------------------------------------------------------------------------------


def _winner_rule(mine: str, wins: Any) -> Any:
    """The gradient goes to the winner; equal operands share it."""

    def rule(F: Any, g: Any, input: Any, other: Any) -> Any:
        x, y = (input, other) if mine == "input" else (other, input)
        shared = F.where(F.equal(x, y), F.multiply(g, 0.5), g)
        return F.where(wins(F, y, x), F.zeros_of(g, ()), shared)

    return rule


def _greater(F: Any, x: Any, y: Any) -> Any:
    return F.less(y, x)


def _less(F: Any, x: Any, y: Any) -> Any:
    return F.less(x, y)


def _extreme(name: str, wins: Any, doc: str) -> Any:
    return binary(
        name, {"input": _winner_rule("input", wins), "other": _winner_rule("other", wins)}, doc, numbers=False, inplace=False,
        dtypes=("float", "int", "bool"), refuse={"complex": RuntimeError(f"{name} not implemented for complex tensors.")},
        samples=_pair_samples,
    )  # fmt: skip


def _pair_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    yield Sample(x, make(3, 4))
    yield Sample(x, x)
    yield Sample(x, make(4))
    yield Sample(make(2, 0), make(1))


maximum = _extreme("maximum", _greater, """Returns the larger of both; NaN if either is.""")
minimum = _extreme("minimum", _less, """Returns the smaller of both; NaN if either is.""")


@composition
def fmax_(F: Any, x: Any, y: Any) -> Any:
    """Returns the larger of both, the number where one is NaN."""
    return F.where(F.isnan(x), y, F.where(F.isnan(y), x, F.maximum(x, y)))


@composition
def fmin_(F: Any, x: Any, y: Any) -> Any:
    """Returns the smaller of both, the number where one is NaN."""
    return F.where(F.isnan(x), y, F.where(F.isnan(y), x, F.minimum(x, y)))


def _first_wins(F: Any, x: Any, y: Any, wins: Any) -> Any:
    return F.bitwise_or(F.bitwise_or(wins(F, x, y), F.equal(x, y)), F.isnan(y))


def _numeric_extreme(name: str, wins: Any, doc: str) -> Any:
    return binary(
        name,
        {
            "input": lambda F, g, input, other: F.where(_first_wins(F, input, other, wins), g, F.zeros_of(g, ())),
            "other": lambda F, g, input, other: F.where(_first_wins(F, input, other, wins), F.zeros_of(g, ()), g),
        },
        doc, numbers=False, inplace=False, dtypes=("float", "int"), samples=_pair_samples,
        refuse={"complex": RuntimeError(f"{name} not implemented for complex tensors.")},
    )  # fmt: skip


fmax = _numeric_extreme("fmax", _greater, """Returns the larger of both; a NaN gives way to a number.""")
fmin = _numeric_extreme("fmin", _less, """Returns the smaller of both; a NaN gives way to a number.""")


# ---- clamp -----------------------------------------------------------------------------------------------------------


def _clamp(F: Any, x: Any, low: Any, high: Any) -> Any:
    if low is not None:
        x = F.maximum(x, low)
    return x if high is None else F.minimum(x, high)


def _inside(F: Any, x: Any, low: Any, high: Any) -> Any:
    """Returns where low <= x <= high."""
    above = None if low is None else F.less_equal(low, x)
    below = None if high is None else F.less_equal(x, high)
    return below if above is None else above if below is None else F.bitwise_and(above, below)


def _clamp_rule(F: Any, g: Any, input: Any, min: Any, max: Any) -> Any:
    return F.where(_inside(F, input, min, max), g, F.zeros_of(g, ()))


def _min_rule(F: Any, g: Any, input: Any, min: Any, max: Any) -> Any:
    used = F.less(input, min)
    if max is not None:
        used = F.bitwise_and(used, F.less(min, max))
    return F.where(used, g, F.zeros_of(g, ()))


def _max_rule(F: Any, g: Any, input: Any, min: Any, max: Any) -> Any:
    used = F.less(max, input)
    if min is not None:
        used = F.bitwise_or(used, F.less(max, min))
    return F.where(used, g, F.zeros_of(g, ()))


CLAMP = Op(
    "clamp",
    ("input", "min", "max"),
    tensors=("input",),
    forward=_clamp,
    node="ClampBackward1",
    rules={"input": _clamp_rule},
)
CLAMP_TENSOR = Op(
    "clamp",
    ("input", "min", "max"),
    tensors=("input", "min", "max"),
    kernel="clamp_between",
    forward=_clamp,
    broadcasts=True,
    rules={"input": _clamp_rule, "min": _min_rule, "max": _max_rule},
)


_PLAIN = (float, int, type(None))


def _clamp_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4) * 2
    yield Sample(x, -1, 1)
    yield Sample(x, min=0)
    yield Sample(x, max=1)
    yield Sample(x, 1, -1)
    yield Sample(x, make(4), make(3, 1))
    yield Sample(x, min=make(3, 4))
    yield Sample(make(2, 0), 0, 1)
    if x.dtype.kind == "f":
        yield Sample(x, 0.5)


def _clamp_errors() -> Iterable[Sample]:
    import numpy as np

    x = np.ones(2, np.float32)
    yield Sample(x, error=(RuntimeError, "torch.clamp: At least one of 'min' or 'max' must not be None"))
    yield Sample(np.ones(2, np.complex64), 0, error=(NotImplementedError, "clamp is not supported for complex types"))
    yield Sample(x, 0, x, error=(TypeError, "clamp() received an invalid combination of arguments"))


@declare(
    op=CLAMP_TENSOR,
    samples=_clamp_samples,
    errors=_clamp_errors,
    dtypes=("float", "int"),
    inplace=True,
    aliases=("clip",),
)
def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Tensor | None = None) -> Tensor:
    """Returns the input with smaller elements raised to `min` and larger ones lowered to `max` (numbers or tensors)."""
    need_tensor("clamp", input)
    if (
        input._kind.dtype.is_floating_point
        and type(min) in _PLAIN
        and type(max) in _PLAIN
        and min is not max
        and out is None
    ):
        return CLAMP(input, min, max)
    for name, position, bound in (("min", 2, min), ("max", 3, max)):
        if bound is not None and not isinstance(bound, Number):
            need_tensor("clamp", bound, name, position)
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    bounds = [bound for bound in (min, max) if bound is not None]
    tensors = [isinstance(bound, Tensor) for bound in bounds]
    if any(tensors) and not all(tensors):
        if len(bounds) == 2 and any(isinstance(b, Tensor) and shape_of(b) for b in bounds):
            raise _mixed_bounds(input, min, max)
        min, max = (bound.item() if isinstance(bound, Tensor) else bound for bound in (min, max))
        tensors = [False]
    common = result_type(input, *bounds)
    if common.is_complex:
        raise NotImplementedError("clamp is not supported for complex types")
    if all(tensors):
        operands = promote("clamp", *(x for x in (input, min, max) if x is not None), dtype=common)
        broadcast_shapes(*(shape_of(x) for x in operands))
        rest = iter(operands[1:])
        result = CLAMP_TENSOR(operands[0], *(None if bound is None else next(rest) for bound in (min, max)))
    else:
        x = input if input._kind.dtype is common else convert(input, common)
        min, max = (bound if bound is None else stored(bound, common) for bound in (min, max))
        result = CLAMP(x, min, max)
    return result if out is None else write_out(out, result, "clamp")


def _mixed_bounds(input: Any, min: Any, max: Any) -> TypeError:
    got = ", ".join(type(x).__name__ for x in (input, min, max))
    return TypeError(
        f"clamp() received an invalid combination of arguments - got ({got}), but expected one of:\n * (Tensor input, Tensor min = "
        "None, Tensor max = None, *, Tensor out = None)\n * (Tensor input, Number min = None, Number max = None, *, Tensor out = "
        "None)\n"
    )


def _bound_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), 0)
    yield Sample(make(3, 4), make(4))


@declare(samples=_bound_samples, dtypes=("float", "int"), inplace=True, differentiable=True)
def clamp_min(input: Tensor, min: Any, *, out: Tensor | None = None) -> Tensor:
    """Returns the input with smaller elements raised to `min`."""
    return clamp(input, min, None, out=out)


@declare(samples=_bound_samples, dtypes=("float", "int"), inplace=True, differentiable=True)
def clamp_max(input: Tensor, max: Any, *, out: Tensor | None = None) -> Tensor:
    """Returns the input with larger elements lowered to `max`."""
    return clamp(input, None, max, out=out)


# ---- where -----------------------------------------------------------------------------------------------------------

WHERE = Op(
    "where", ("condition", "input", "other"), tensors=("input", "other"), broadcasts=True,
    rules={
        "input": lambda F, g, condition: F.where(condition, g, F.zeros_of(g, ())),
        "other": lambda F, g, condition: F.where(condition, F.zeros_of(g, ()), g),
    },
)  # fmt: skip


def _where_samples(make: Any) -> Iterable[Sample]:
    condition = make(3, 4) != 0 if make(1).dtype.kind == "b" else abs(make(3, 4)) > 0.5
    yield Sample(condition, make(3, 4), make(3, 4))
    yield Sample(condition, make(4), make(3, 1))
    yield Sample(condition, make(), 1)
    yield Sample(condition, 0, make(3, 4))
    yield Sample(condition[:, :1], make(4), make())
    yield Sample(condition, 1.0, 0)
    yield Sample(condition)


def _where_errors() -> Iterable[Sample]:
    import numpy as np

    x = np.ones(2, np.float32)
    yield Sample(
        x,
        x,
        x,
        error=(RuntimeError, "where expected condition to be a boolean tensor, but got a tensor with dtype Float"),
    )
    yield Sample(x > 0, x, np.ones(3, np.float32), error=(RuntimeError, "must match the size of tensor"))


@declare(
    op=WHERE, samples=_where_samples, errors=_where_errors, dtypes=("float", "complex", "int", "bool"), method=False
)
def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Tensor | None = None) -> Any:
    """Returns `input` where the condition holds, `other` elsewhere; with a condition alone, the indices where it holds.

    `input` and `other` may be numbers; the result is promoted and broadcast.
    """
    if type(input) is Tensor and type(other) is Tensor and type(condition) is Tensor and out is None:
        kind = input._kind
        if other._kind is kind and condition._kind is kind.to(dt.bool_):
            try:
                return WHERE(condition, input, other)
            except Exception:
                broadcast_shapes(shape_of(condition), shape_of(input), shape_of(other))
                raise
    if input is None and other is None:
        return DECLARATIONS["nonzero"].function(condition, as_tuple=True)
    for name, position, operand in (("input", 2, input), ("other", 3, other)):
        if not isinstance(operand, (Tensor, *Number)):
            raise argument_error("where", name, "Tensor", operand, position)
    condition = _as_condition(condition)
    common = result_type(input, other)
    if isinstance(input, Tensor) or isinstance(other, Tensor):
        sides = [side if isinstance(side, Tensor) else rounded(side, common) for side in (input, other)]
        x, y = promote("where", *sides, dtype=common)
    else:
        kind = condition._kind.to(common)
        x, y = wrap(kind.scalar(input), kind), wrap(kind.scalar(other), kind)
    broadcast_shapes(shape_of(condition), shape_of(x), shape_of(y))
    result = WHERE(condition, x, y)
    return result if out is None else write_out(out, result, "where")


def _as_condition(condition: Any) -> Tensor:
    if not isinstance(condition, Tensor):
        raise argument_error("where", "condition", "Tensor", condition, 1)
    dtype = condition._kind.dtype
    if dtype is dt.bool_:
        return condition
    if dtype is dt.uint8:
        import warnings

        warnings.warn(
            "where received a uint8 condition tensor. This behavior is deprecated and will be removed in a future version "
            "of PyTorch. Use a boolean condition instead.",
            stacklevel=3,
        )
        return convert(condition, dt.bool_)
    from torchplug._core.naming import scalar_type_name

    raise RuntimeError(
        f"where expected condition to be a boolean tensor, but got a tensor with dtype {scalar_type_name(dtype)}"
    )


def _where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """Returns self where the condition holds, `other` elsewhere."""
    return where(condition, self, other)


Tensor.where = _where_method  # type: ignore[method-assign, assignment]  # attached here


# ---- nan_to_num ------------------------------------------------------------------------------------------------------


def _nan_to_num(F: Any, x: Any, nan: float, posinf: float, neginf: float) -> Any:
    if F.dtype_of(x).is_complex:
        return F.complex(*(_nan_to_num(F, part, nan, posinf, neginf) for part in (F.real(x), F.imag(x))))
    x = F.where(F.isnan(x), F.full_of(x, (), nan), x)
    x = F.where(F.equal(x, float("inf")), F.full_of(x, (), posinf), x)
    return F.where(F.equal(x, float("-inf")), F.full_of(x, (), neginf), x)


NAN_TO_NUM = Op(
    "nan_to_num", ("input", "nan", "posinf", "neginf"), tensors=("input",), forward=_nan_to_num,
    rules={"input": lambda F, g, input: F.where(F.isfinite(input), g, F.zeros_of(g, ()))},
)  # fmt: skip


def _nan_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    if x.dtype.kind == "f":
        x[0, 0], x[1, 1], x[2, 2] = float("inf"), float("-inf"), float("nan")
    yield Sample(x)
    yield Sample(x, 1.0)
    yield Sample(x, nan=2.0, posinf=3.0, neginf=-4.0)


@declare(op=NAN_TO_NUM, samples=_nan_samples, dtypes=("float", "int"), inplace=True)
def nan_to_num(
    input: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Returns the input with NaN replaced by `nan` (0), inf and -inf by `posinf`, `neginf` (the type's largest, smallest)."""
    need_tensor("nan_to_num", input)
    import ml_dtypes

    dtype = input._kind.dtype
    if not input._kind.inexact:
        result = input.clone()
    else:
        limit = float(ml_dtypes.finfo(dtype.to_real().numpy).max)  # type: ignore[no-untyped-call]  # ml_dtypes says no types
        result = NAN_TO_NUM(
            input,
            0.0 if nan is None else float(nan),
            limit if posinf is None else float(posinf),
            -limit if neginf is None else float(neginf),
        )
    return result if out is None else write_out(out, result, "nan_to_num")
