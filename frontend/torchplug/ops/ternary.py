"""Elementwise functions of three tensors: addcmul, addcdiv, lerp."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import Number, broadcast_shapes, need_tensor, promote
from torchplug._core.inplace import write_out
from torchplug._core.numbers import rounded
from torchplug._core.op import Op
from torchplug._core.promotion import result_type
from torchplug._core.tensor import Tensor, shape_of

__all__ = ["addcdiv", "addcmul", "lerp"]

ADDCMUL = Op(
    "addcmul", ("input", "tensor1", "tensor2", "value"), tensors=("input", "tensor1", "tensor2"), broadcasts=True,
    forward=lambda F, x, a, b, value: F.add(x, F.multiply(F.multiply(a, b), value)),
    rules={
        "input": lambda F, g: g,
        "tensor1": lambda F, g, tensor2, value: F.multiply(g, F.conj_of(F.multiply(tensor2, value))),
        "tensor2": lambda F, g, tensor1, value: F.multiply(g, F.conj_of(F.multiply(tensor1, value))),
    },
)  # fmt: skip


def _addcdiv_rule2(F: Any, g: Any, tensor1: Any, tensor2: Any, value: Any) -> Any:
    return F.negative(F.multiply(g, F.conj_of(F.divide(F.divide(F.multiply(tensor1, value), tensor2), tensor2))))


ADDCDIV = Op(
    "addcdiv", ("input", "tensor1", "tensor2", "value"), tensors=("input", "tensor1", "tensor2"), broadcasts=True,
    forward=lambda F, x, a, b, value: F.add(x, F.divide(F.multiply(a, value), b)),
    rules={
        "input": lambda F, g: g,
        "tensor1": lambda F, g, tensor2, value: F.multiply(g, F.conj_of(F.divide(value, tensor2))),
        "tensor2": _addcdiv_rule2,
    },
)  # fmt: skip


def _ternary(op: Op, operands: tuple[Any, ...], value: Any, out: Tensor | None) -> Tensor:
    common = result_type(*operands)
    tensors = promote(op.name, *operands, dtype=common)
    broadcast_shapes(*(shape_of(x) for x in tensors))
    if isinstance(value, Tensor):
        value = value.item()
    result = op(*tensors, rounded(value, common))
    return result if out is None else write_out(out, result, op.name)


def _addcmul_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), make(3, 4), make(3, 4))
    yield Sample(make(3, 4), make(4), make(3, 1), value=2)
    yield Sample(make(2, 3), make(), make(3), value=-1)


@declare(op=ADDCMUL, samples=_addcmul_samples, dtypes=("float", "complex", "int"), inplace=True)
def addcmul(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: complex = 1, out: Tensor | None = None
) -> Tensor:
    """Returns `input + value * tensor1 * tensor2`."""
    if CASTING and (cast := casting("addcmul")) is not None:
        return cast(addcmul, input, tensor1, tensor2, value=value, out=out)
    return _ternary(ADDCMUL, (input, tensor1, tensor2), value, out)


def _addcdiv_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), make(3, 4), abs(make(3, 4)) + 1)
    yield Sample(make(3, 4), make(4), abs(make(3, 1)) + 1, value=0.5)


def _addcdiv_errors() -> Iterable[Sample]:
    import numpy as np

    n = np.ones(2, np.int64)
    yield Sample(n, n, n, error=(RuntimeError, "Integer division with addcdiv is no longer supported"))


_INTEGER_ADDCDIV = (
    "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a true division of "
    "tensor1 and tensor2. The historic addcdiv behavior can be implemented as (input + value * torch.trunc(tensor1 / "
    "tensor2)).to(input.dtype) for integer inputs and as (input + value * tensor1 / tensor2) for float inputs. The future "
    "addcdiv behavior is just the latter implementation: (input + value * tensor1 / tensor2), for all dtypes."
)


@declare(op=ADDCDIV, samples=_addcdiv_samples, errors=_addcdiv_errors, dtypes=("float", "complex"), inplace=True)
def addcdiv(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: complex = 1, out: Tensor | None = None
) -> Tensor:
    """Returns `input + value * tensor1 / tensor2`."""
    if CASTING and (cast := casting("addcdiv")) is not None:
        return cast(addcdiv, input, tensor1, tensor2, value=value, out=out)
    need_tensor("addcdiv", tensor1, "tensor1", 2)
    need_tensor("addcdiv", tensor2, "tensor2", 3)
    if not tensor1._kind.inexact and not tensor2._kind.inexact:
        raise RuntimeError(_INTEGER_ADDCDIV)
    return _ternary(ADDCDIV, (input, tensor1, tensor2), value, out)


def _lerp(F: Any, start: Any, end: Any, weight: Any) -> Any:
    """Returns start + weight * (end - start), measured from the nearer end, so that weights 0 and 1 are exact."""
    span = F.subtract(end, start)
    if isinstance(weight, (int, float)):
        if abs(weight) < 0.5:
            return F.add(start, F.multiply(span, weight))
        return F.subtract(end, F.multiply(span, 1 - weight))
    near = F.less(F.abs(weight), 0.5)
    rest = F.subtract(1, weight)
    return F.where(near, F.add(start, F.multiply(span, weight)), F.subtract(end, F.multiply(span, rest)))


LERP_SCALAR = Op(
    "lerp", ("input", "end", "weight"), tensors=("input", "end"), forward=_lerp, broadcasts=True,
    rules={
        "input": lambda F, g, weight: F.multiply(g, 1 - weight),
        "end": lambda F, g, weight: F.multiply(g, weight),
    },
)  # fmt: skip
LERP = Op(
    "lerp", ("input", "end", "weight"), tensors=("input", "end", "weight"), kernel="lerp", node="LerpBackward1", broadcasts=True,
    rules={
        "input": lambda F, g, weight: F.multiply(g, F.conj_of(F.subtract(1, weight))),
        "end": lambda F, g, weight: F.multiply(g, F.conj_of(weight)),
        "weight": lambda F, g, input, end: F.multiply(g, F.conj_of(F.subtract(end, input))),
    },
)  # fmt: skip


def _lerp_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), make(3, 4), 0.3)
    yield Sample(make(3, 4), make(4), 0.8)
    yield Sample(make(3, 4), make(3, 4), make(3, 1))
    yield Sample(make(3), make(2, 3), make())


def _lerp_errors() -> Iterable[Sample]:
    import numpy as np

    x, wide = np.ones(2, np.float32), np.ones(2, np.float64)
    yield Sample(x, wide, 0.5, error=(RuntimeError, "expected dtype float for `end` but got dtype double"))
    yield Sample(x, x, wide, error=(RuntimeError, "expected dtype float for `weight` but got dtype double"))


@declare(op=LERP, samples=_lerp_samples, errors=_lerp_errors, inplace=True)
def lerp(input: Tensor, end: Tensor, weight: Tensor | float, *, out: Tensor | None = None) -> Tensor:
    """Returns `input + weight * (end - input)`; all tensors have one floating dtype."""
    need_tensor("lerp", input)
    need_tensor("lerp", end, "end", 2)
    if not isinstance(weight, Number):
        need_tensor("lerp", weight, "weight", 3)
    from torchplug._core.naming import scalar_type_name

    kind = input._kind
    for name, operand in (("end", end), ("weight", weight)):
        if isinstance(operand, Tensor) and operand._kind.dtype is not kind.dtype:
            wanted, got = scalar_type_name(kind.dtype).lower(), scalar_type_name(operand._kind.dtype).lower()
            raise RuntimeError(f"expected dtype {wanted} for `{name}` but got dtype {got}")
    if not kind.inexact:
        raise NotImplementedError(f"\"lerp_kernel_scalar\" not implemented for '{scalar_type_name(kind.dtype)}'")
    broadcast_shapes(*(shape_of(x) for x in (input, end, weight) if isinstance(x, Tensor)))
    result = LERP(input, end, weight) if isinstance(weight, Tensor) else LERP_SCALAR(input, end, float(weight))
    return result if out is None else write_out(out, result, "lerp")
