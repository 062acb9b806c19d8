"""Kernels of gathering and putting rows by index arrays, and the ops that run them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from torchplug._core.kernels import composition
from torchplug._core.op import Op
from torchplug_spec import dtypes as dt

__all__ = ["ADVANCED", "MASKED_FILL", "PUT", "check_range", "landing"]

Shape = tuple[int, ...]


@composition
def wrap_index(F: Any, index: Any, length: int, dim: int) -> Any:
    """Returns an integer index as int64, counted from the front; IndexError out of range (where values can be read)."""
    index = F.astype(index, dt.int64)
    if not F.backend.is_tracer(index):
        check_range(F.to_numpy(index), length, dim)
    return F.where(F.less(index, F.full_of(index, (), 0)), F.add(index, length), index)


def check_range(index: np.ndarray, length: int, dim: int) -> None:
    """Raises PyTorch's error for the first index outside [-length, length)."""
    if index.size and (int(index.min()) < -length or int(index.max()) >= length):
        wrong = index[(index < -length) | (index >= length)].flat[0]
        raise IndexError(f"index {wrong} is out of bounds for dimension {dim} with size {length}")


def _front(ndim: int, dims: Shape) -> Shape:
    return (*dims, *(dim for dim in range(ndim) if dim not in dims))


def _rows(F: Any, x: Any, dims: Shape) -> tuple[Any, Shape, Shape]:
    """Returns `x` as rows over the indexed dimensions, the lengths of those, and of the rest."""
    shape = tuple(x.shape)
    led = tuple(shape[dim] for dim in dims)
    rest = tuple(length for dim, length in enumerate(shape) if dim not in dims)
    if dims != tuple(range(len(dims))):
        x = F.permute_dims(x, _front(len(shape), dims))
    return F.reshape(x, (math.prod(led), math.prod(rest))), led, rest


def landing(dims: Shape) -> int:
    """Returns where the indexed result lands: at the first indexed dimension if they are adjacent, else in front."""
    return dims[0] if dims == tuple(range(dims[0], dims[0] + len(dims))) else 0


def _unrow(F: Any, x: Any, index_shape: Shape, rest: Shape, place: int) -> Any:
    x = F.reshape(x, (*index_shape, *rest))
    if place == 0:
        return x
    count, ndim = len(index_shape), len(index_shape) + len(rest)
    axes = (*range(count, count + place), *range(count), *range(count + place, ndim))
    return F.permute_dims(x, axes)


def _to_rows(F: Any, value: Any, count: int, rest: Shape, place: int) -> Any:
    """The inverse of `_unrow`: brings the indexed dimensions of a result to the front, as rows."""
    shape = tuple(value.shape)
    if place:
        axes = (*range(place, place + count), *range(place), *range(place + count, len(shape)))
        value = F.permute_dims(value, axes)
    return F.reshape(value, (math.prod(value.shape[:count]), math.prod(rest)))


def _index(F: Any, x: Any, index: Any, dims: Shape) -> Any:
    rows, _, rest = _rows(F, x, dims)
    picked = F.take(rows, F.reshape(index, (math.prod(index.shape),)), 0)
    return _unrow(F, picked, tuple(index.shape), rest, landing(dims))


def _index_backward(F: Any, g: Any, index: Any, shape: Shape, dims: Shape) -> Any:
    rest = tuple(length for dim, length in enumerate(shape) if dim not in dims)
    led = tuple(shape[dim] for dim in dims)
    rows = _to_rows(F, g, len(index.shape), rest, landing(dims))
    flat = F.take_backward(rows, F.reshape(index, (math.prod(index.shape),)), (math.prod(led), math.prod(rest)), 0)
    return _from_front(F, F.reshape(flat, (*led, *rest)), dims)


def _from_front(F: Any, x: Any, dims: Shape) -> Any:
    if dims == tuple(range(len(dims))):
        return x
    order = _front(len(x.shape), dims)
    inverse = [0] * len(order)
    for place, axis in enumerate(order):
        inverse[axis] = place
    return F.permute_dims(x, tuple(inverse))


ADVANCED = Op("index", ("x", "index", "dims"), tensors=("x",), forward=_index, rules={
    "x": lambda F, g, x_shape, index, dims: F.index_backward(g, index, x_shape, dims),
})  # fmt: skip
Op("index_backward", ("g", "index", "shape", "dims"), tensors=("g",), forward=_index_backward, rules={
    "g": lambda F, g, index, dims: F.index(g, index, dims),
})  # fmt: skip


def _index_put(F: Any, x: Any, value: Any, index: Any, dims: Shape, accumulate: bool) -> Any:
    rows, led, rest = _rows(F, x, dims)
    width = math.prod(rest)
    flat_value = F.reshape(_to_rows(F, value, len(index.shape), rest, landing(dims)), (math.prod(index.shape) * width,))
    places = F.add(
        F.reshape(F.multiply(F.reshape(index, (math.prod(index.shape),)), width), (math.prod(index.shape), 1)),
        F.host(np.arange(width, dtype=np.int64).reshape(1, width), index),
    )
    places = F.reshape(places, (math.prod(index.shape) * width,))
    flat = F.reshape(rows, (math.prod(led) * width,))
    flat = F.scatter_add(flat, places, flat_value) if accumulate else F.scatter(flat, places, flat_value)
    return _from_front(F, F.reshape(flat, (*led, *rest)), dims)


def _put_rule_x(F: Any, g: Any, value_shape: Shape, index: Any, dims: Shape, accumulate: bool) -> Any:
    return g if accumulate else F.index_put(g, F.zeros_of(g, value_shape), index, dims, False)


PUT = Op("index_put", ("x", "value", "index", "dims", "accumulate"), tensors=("x", "value"), forward=_index_put, rules={
    "x": _put_rule_x,
    "value": lambda F, g, index, dims: F.index(g, index, dims),
})  # fmt: skip

MASKED_FILL = Op(
    "masked_fill", ("x", "mask", "value"), tensors=("x", "value"), broadcasts=True,
    forward=lambda F, x, mask, value: F.where(mask, value, x),
    rules={
        "x": lambda F, g, mask: F.where(mask, F.zeros_of(g, ()), g),
        "value": lambda F, g, mask: F.where(mask, g, F.zeros_of(g, ())),
    },
)  # fmt: skip
