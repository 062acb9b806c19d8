"""Operands of elementwise functions: their types, shapes and devices, brought together as PyTorch does, and its errors."""

from __future__ import annotations

from typing import Any

from torchplug._core.modes import grad_enabled
from torchplug._core.op import TENSOR_SPACE, device_error
from torchplug._core.promotion import result_type
from torchplug._core.tensor import Tensor, array_of, shape_of, wrap
from torchplug_spec import DType

__all__ = [
    "Number", "argument_error", "as_number", "broadcast_shapes", "convert", "need_tensor", "promote", "promote_pair",
]  # fmt: skip

Number = (bool, int, float, complex)


def convert(x: Tensor, dtype: DType) -> Tensor:
    """Returns `x` as another dtype, with history; `x` itself when it has that dtype."""
    if x._kind.dtype is dtype:
        return x
    kind = x._kind.to(dtype)  # refused by name where the engine has no such type
    if x._node is not None and grad_enabled() and (dtype.is_floating_point or dtype.is_complex):
        return TENSOR_SPACE.astype(x, dtype)
    return wrap(x._kind.F.astype(array_of(x), dtype), kind)


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape all shapes broadcast to; PyTorch's error if there is none."""
    result: list[int] = []
    longest = max((len(shape) for shape in shapes), default=0)
    for dim in range(-longest, 0):
        length = 1
        for shape in shapes:
            if len(shape) >= -dim and shape[dim] != 1:
                if length not in (1, shape[dim]):
                    raise RuntimeError(
                        f"The size of tensor a ({length}) must match the size of tensor b ({shape[dim]}) at non-singleton "
                        f"dimension {longest + dim}"
                    )
                length = shape[dim]
        result.append(length)
    return tuple(result)


def argument_error(function: str, name: str, expected: str, got: Any, position: int | None = None) -> TypeError:
    """Returns PyTorch's error for an argument of the wrong type; positions count from 1."""
    where = f" (position {position})" if position else ""
    return TypeError(f"{function}(): argument '{name}'{where} must be {expected}, not {type(got).__name__}")


def need_tensor(function: str, value: Any, name: str = "input", position: int = 1) -> None:
    """Raises PyTorch's TypeError unless an argument is a tensor."""
    if not isinstance(value, Tensor):
        raise argument_error(function, name, "Tensor", value, position)


def as_number(name: str, value: Any, argument: str = "other") -> Any:
    """Returns a Python number for a NumPy scalar or 0-d array; PyTorch's error for anything else."""
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "ndim", None) == 0:
        number = item()
        if isinstance(number, Number):
            return number
    raise argument_error(name, argument, "Tensor", value, 2)


def promote(name: str, *operands: Any, dtype: DType | None = None) -> list[Tensor]:
    """Returns tensors and numbers as tensors of one dtype (the promoted one unless given) on one device."""
    if not any(isinstance(x, Tensor) for x in operands) or any(not isinstance(x, (Tensor, *Number)) for x in operands):
        got = ", ".join(type(x).__name__ for x in operands)
        raise TypeError(f"{name}() received an invalid combination of arguments - got ({got}), but expected Tensors")
    common = dtype or result_type(*operands)
    leader = next(
        x
        for x in operands
        if isinstance(x, Tensor)
        and (shape_of(x) or not any(isinstance(other, Tensor) and shape_of(other) for other in operands))
    )
    return [
        leader if x is leader and x._kind.dtype is common else promote_pair(name, leader, x, common)[1]
        for x in operands
    ]


def promote_pair(name: str, input: Tensor, other: Any, common: DType) -> tuple[Tensor, Tensor]:
    """Returns both operands as tensors of dtype `common` on one device (0-d host tensors follow the other operand)."""
    if not isinstance(other, Tensor):
        kind = input._kind.to(common)
        return convert(input, common), wrap(kind.scalar(other), kind)
    if input._kind.native_device != other._kind.native_device or input._kind.engine is not other._kind.engine:
        if not shape_of(other):
            other = _follow(other, input)
        elif not shape_of(input):
            input = _follow(input, other)
        else:
            raise device_error(name, (input, other))
    return convert(input, common), convert(other, common)


def _follow(x: Tensor, leader: Tensor) -> Tensor:
    if x._kind.device.type != "cpu":
        raise device_error("an elementwise operation", (x, leader))
    if x._kind.engine is not leader._kind.engine:
        raise device_error("an elementwise operation", (x, leader))
    return TENSOR_SPACE.to_device(x, leader._kind.native_device)
