"""Writes of values into tensors: copy_, fill_, zero_, set_, resize_."""

from __future__ import annotations

from typing import Any

import numpy as np

from torchplug._core.elementwise import broadcast_shapes, convert
from torchplug._core.inplace import assign, check_writable
from torchplug._core.modes import grad_enabled
from torchplug._core.numbers import stored
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import MIRROR_LIMIT, Tensor, array_of, shape_of, write
from torchplug_spec import DType

__all__ = ["copy_", "fill_", "zero_"]

COPY = Op(
    "copy_slices",
    ("input", "source"),
    tensors=("input", "source"),
    kernel="overwrite",
    forward=lambda F, x, y: y,
    joint=lambda F, g: (None, g),
    node="CopyBackwards",
)
FILL = Op(
    "fill",
    ("input", "value"),
    tensors=("input",),
    kernel="fill",
    forward=lambda F, x, value: F.full_of(x, tuple(x.shape), value),
    joint=lambda F, g: (None,),
    node="FillBackward0",
)


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Writes `src` (broadcast, converted, moved) into self; returns self."""
    if not isinstance(src, Tensor):
        raise TypeError(f"copy_(): argument 'other' must be Tensor, not {type(src).__name__}")
    records = grad_enabled() and (self._node is not None or src._node is not None)
    check_writable(self, records)
    shape = shape_of(self)
    source_shape = shape_of(src)
    if source_shape != shape and broadcast_shapes(shape, source_shape) != shape:
        raise RuntimeError(
            f"output with shape {list(shape)} doesn't match the broadcast shape {list(broadcast_shapes(shape, source_shape))}"
        )
    if src._kind is not self._kind:
        src = _like(src, self)
    if source_shape != shape:
        src = TENSOR_SPACE.broadcast_to(src, shape)
    if not records:
        write(self, array_of(src))
        return self
    from torchplug._core.inplace import shadow

    return assign(self, COPY(shadow(self), src))


def _like(src: Tensor, target: Tensor) -> Tensor:
    if src._kind.engine is not target._kind.engine or src._kind.native_device != target._kind.native_device:
        src = src.to(target.device)
    return convert(src, target._kind.dtype)


def fill_(self: Tensor, value: Any) -> Tensor:
    """Writes a number (or 0-d tensor) into every element; returns self."""
    if isinstance(value, Tensor):
        if shape_of(value):
            raise RuntimeError(
                f"fill_ only supports 0-dimension value tensor but got tensor with {len(shape_of(value))} dimensions."
            )
        if value._node is not None and grad_enabled():
            return copy_(self, value)
        value = value.item()
    check_writable(self, grad_enabled() and self._node is not None)
    kind = self._kind
    value = _number(value, kind.dtype)
    if self._node is not None and grad_enabled():
        from torchplug._core.inplace import shadow

        return assign(self, FILL(shadow(self), value))
    if (
        kind.mutable
        or not shape_of(self)
        or self.numel() <= MIRROR_LIMIT
        and self._cell is not None
        and self._view is not None
    ):
        scalar = kind.scalar(value)
        if not kind.engine.is_tracing(scalar) and not (not kind.mutable and _traced(self)):
            write(self, None, np.asarray(value).astype(kind.dtype.numpy))
            return self
    write(self, kind.F.full(shape_of(self), value, kind.dtype, kind.native_device))
    return self


def _traced(x: Tensor) -> bool:
    cell = x._cell
    return cell is not None and cell.array is not None and x._kind.engine.is_tracing(cell.array)


def _number(value: Any, dtype: DType) -> Any:
    if not isinstance(value, (bool, int, float, complex, np.generic)):
        raise TypeError(f"fill_(): argument 'value' must be Number, not {type(value).__name__}")
    return stored(value.item() if isinstance(value, np.generic) else value, dtype)


def zero_(self: Tensor) -> Tensor:
    """Writes zeros; returns self."""
    return fill_(self, 0)


for _function in (copy_, fill_, zero_):
    setattr(Tensor, _function.__name__, _function)
