"""x[...] and assignment through it: views, index tensors, masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import broadcast_shapes, convert
from torchplug._core.host import host_array
from torchplug._core.inplace import assign, check_writable, shadow
from torchplug._core.keys import INTEGER_KEYS, basic_key, read_key
from torchplug._core.kind import Kind
from torchplug._core.modes import grad_enabled
from torchplug._core.naming import scalar_type_name, type_string
from torchplug._core.numbers import rounded, stored
from torchplug._core.op import TENSOR_SPACE
from torchplug._core.tensor import Tensor, array_of, shape_of, wrap, write_slice
from torchplug.ops.filling import copy_, fill_
from torchplug.ops.from_data import tensor
from torchplug.ops.gathering import ADVANCED, MASKED_FILL, PUT, landing
from torchplug.ops.views import INDEX, PICK, SELECT
from torchplug_spec import dtypes as dt

__all__ = ["as_value", "column", "gather_by", "index_put", "index_put_", "places_of"]

Shape = tuple[int, ...]


def __getitem__(self: Tensor, key: Any) -> Tensor:
    array = self._array
    size = array.shape if array is not None else self._geometry[0]
    if type(key) is int:
        return SELECT.call(self, INTEGER_KEYS.get((key, size)) or basic_key(key, size))
    canonical = basic_key(key, size)
    if canonical is not None:  # as long as the size when it has no new dimensions
        return (PICK if len(canonical) == len(size) else INDEX).call(self, canonical)
    canonical, tensors = read_key(key, self, tensor)
    view = INDEX(self, canonical)
    return gather_by(view, tensors) if tensors else view


def gather_by(view: Tensor, tensors: Sequence[tuple[int, Tensor]]) -> Tensor:
    """Returns the elements of `view` at index tensors given with the dimensions they index."""
    index, dims = linear_index(view, tensors)
    return ADVANCED(view, array_of(index), dims)


def linear_index(view: Tensor, tensors: Sequence[tuple[int, Tensor]]) -> tuple[Tensor, Shape]:
    """Returns one int64 index into the rows over the indexed dimensions, and those dimensions."""
    size = shape_of(view)
    places: list[tuple[int, Tensor]] = []
    for dim, index in tensors:
        if index._kind.engine is not view._kind.engine or index._kind.native_device != view._kind.native_device:
            index = _bring(index, view)
        places += _unmask(index, dim, size) if index._kind.dtype in (dt.bool_, dt.uint8) else [(dim, index)]
    shapes = [shape_of(index) for _, index in places]
    try:
        shape = broadcast_shapes(*shapes)
    except RuntimeError:
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {', '.join(str(list(s)) for s in shapes)}"
        ) from None
    F = view._kind.F
    linear = None
    for dim, index in places:
        wrapped = F.wrap_index(array_of(index), size[dim], dim)
        linear = wrapped if linear is None else F.add(F.multiply(linear, size[dim]), wrapped)
    kind = view._kind.to(dt.int64)
    return wrap(F.broadcast_to(linear, shape), kind), tuple(dim for dim, _ in places)


def _bring(index: Tensor, view: Tensor) -> Tensor:
    if index._kind.device.type != "cpu":
        raise RuntimeError(
            f"indices should be either on cpu or on the same device as the indexed tensor ({view._kind.device})"
        )
    return index.to(view.device)


def _unmask(mask: Tensor, dim: int, size: Shape) -> list[tuple[int, Tensor]]:
    shape = shape_of(mask)
    for place, length in enumerate(shape):
        if length != size[dim + place]:
            raise IndexError(
                f"The shape of the mask {list(shape)} at index {place} does not match the shape of the indexed tensor {list(size)} "
                f"at index {dim + place}"
            )
    return [(dim + place, column(mask, found)) for place, found in enumerate(places_of(mask))]


def places_of(x: Tensor) -> tuple[np.ndarray, ...]:
    """Returns the indices of the non-zero elements on the host, a vector per dimension (0-d counts as one dimension)."""
    return np.atleast_1d(host_array(x)).nonzero()


def column(x: Tensor, places: np.ndarray) -> Tensor:
    """Returns host indices as an int64 tensor beside `x`."""
    kind = x._kind.to(dt.int64)
    return wrap(kind.F.from_numpy(np.ascontiguousarray(places), kind.native_device), kind)


def __setitem__(self: Tensor, key: Any, value: Any) -> None:
    if key is False:
        return
    array = self._array
    size = array.shape if array is not None else self._geometry[0]
    canonical = basic_key(key, size)
    number = type(value) in (float, int, bool)
    if canonical is not None:
        if number and self._node is None and (self._cell is None or self._view is None):
            if self._kind.inexact or type(value) is not float:
                if not 0 <= value < 128:  # what lies between fits every type
                    value = rounded(value, self._kind.dtype)
                if write_slice(self, canonical, value):
                    return
        _write_view(INDEX(self, canonical), _element(value, self._kind))
        return
    canonical, tensors = read_key(key, self, tensor)
    view = INDEX(self, canonical)
    value = _element(value, self._kind)
    if not tensors:
        _write_view(view, value)
        return
    value = as_value(value, view)
    if (
        len(tensors) == 1
        and tensors[0][1]._kind.dtype in (dt.bool_, dt.uint8)
        and not shape_of(value)
        and value._node is None
    ):
        mask = tensors[0][1]
        _check_mask(mask, tensors[0][0], shape_of(view))
        _masked_write(view, mask, tensors[0][0], value)
        return
    index, dims = linear_index(view, tensors)
    put_at(view, index, dims, value, False)


def _element(value: Any, kind: Kind) -> Any:
    """Returns a number as a 0-d tensor of a kind, anything else as it is."""
    number = isinstance(value, (bool, int, float, complex))
    return wrap(kind.scalar(rounded(value, kind.dtype)), kind) if number else value


def _check_mask(mask: Tensor, dim: int, size: Shape) -> None:
    for place, length in enumerate(shape_of(mask)):
        if dim + place >= len(size) or length != size[dim + place]:
            raise IndexError(
                f"The shape of the mask {list(shape_of(mask))} at index {place} does not match the shape of the indexed tensor "
                f"{list(size)} at index {dim + place}"
            )


def _masked_write(view: Tensor, mask: Tensor, dim: int, value: Tensor) -> None:
    rest = len(shape_of(view)) - dim - len(shape_of(mask))
    mask = mask.to(view.device).bool().reshape(*shape_of(mask), *(1,) * rest)
    check_writable(view, grad_enabled() and view._node is not None)
    assign(view, MASKED_FILL(shadow(view), array_of(mask), value))


def as_value(value: Any, view: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        if value._kind.engine is not view._kind.engine or value._kind.native_device != view._kind.native_device:
            if shape_of(value):
                from torchplug._core.op import device_error

                raise device_error("index_put_", (view, value))
            value = value.to(view.device)
        return convert(value, view._kind.dtype)
    if isinstance(value, (bool, int, float, complex, np.generic)):
        number = stored(value.item() if isinstance(value, np.generic) else value, view._kind.dtype)
        return wrap(view._kind.scalar(number), view._kind)
    raise TypeError(f"can't assign a {type(value).__name__} to a {type_string(view)}")


def _write_view(view: Tensor, value: Any) -> None:
    if isinstance(value, Tensor):
        shape, target = shape_of(value), shape_of(view)
        # Leading dimensions of length 1 that the target lacks are dropped, as NumPy and PyTorch allow.
        while len(shape) > len(target) and shape[0] == 1:
            value = value.select(0, 0)
            shape = shape[1:]
        if shape != target and (len(shape) > len(target) or not _fits(shape, target)):
            raise RuntimeError(
                f"The expanded size of the tensor ({_first_misfit(shape, target)[0]}) must match the existing size "
                f"({_first_misfit(shape, target)[1]}) at non-singleton dimension {_first_misfit(shape, target)[2]}.  Target sizes: "
                f"{list(target)}.  Tensor sizes: {list(shape)}"
                if len(shape) <= len(target)
                else f"shape mismatch: value tensor of shape {list(shape)} cannot be broadcast to indexing result of shape {list(target)}"
            )
        copy_(view, value)
    else:
        fill_(view, array_of(as_value(value, view)).item() if isinstance(value, np.generic) else _number(value, view))


def _number(value: Any, view: Tensor) -> Any:
    if not isinstance(value, (bool, int, float, complex)):
        from torchplug._core.naming import type_string

        raise TypeError(f"can't assign a {type(value).__name__} to a {type_string(view)}")
    return value


def _fits(shape: Shape, target: Shape) -> bool:
    return all(have in (1, want) for have, want in zip(reversed(shape), reversed(target), strict=False))


def _first_misfit(shape: Shape, target: Shape) -> tuple[int, int, int]:
    lead = len(target) - len(shape)
    for dim, (have, want) in enumerate(zip(shape, target[lead:], strict=True)):
        if have not in (1, want):
            return want, have, dim + lead
    return 0, 0, 0


def put_at(target: Tensor, index: Tensor, dims: Shape, value: Tensor, accumulate: bool) -> Tensor:
    """Writes (or adds) a value broadcast to the indexed result into `target`, in place."""
    size = shape_of(target)
    rest = tuple(length for dim, length in enumerate(size) if dim not in dims)
    place = landing(dims)
    result = (*rest[:place], *shape_of(index), *rest[place:])
    shape = shape_of(value)
    if shape != result:
        while len(shape) > len(result) and shape[0] == 1:
            value, shape = value.select(0, 0), shape[1:]
        if len(shape) > len(result) or not _fits(shape, result):
            raise RuntimeError(
                f"shape mismatch: value tensor of shape {list(shape)} cannot be broadcast to indexing result of shape {list(result)}"
            )
        value = TENSOR_SPACE.broadcast_to(value, result)
    check_writable(target, grad_enabled() and (target._node is not None or value._node is not None))
    return assign(target, PUT(shadow(target), value, array_of(index), dims, accumulate))


def index_put_(self: Tensor, indices: Sequence[Any], values: Tensor, accumulate: bool = False) -> Tensor:
    """Writes (or adds) `values` at the places the index tensors name, None for a whole dimension; returns self."""
    key = tuple(slice(None) if index is None else index for index in indices)
    canonical, tensors = read_key(key, self, tensor)
    if values._kind.dtype is not self._kind.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {_type(self)} for the destination and "
            f"{_type(values)} for the source."
        )
    index, dims = linear_index(self, tensors)
    return put_at(self, index, dims, values, accumulate)


def _type(x: Tensor) -> str:

    return scalar_type_name(x._kind.dtype)


def _put_samples(make: Any) -> Iterable[Sample]:
    rows = np.array([2, 0])
    yield Sample(make(3, 4), (rows,), make(2, 4))
    yield Sample(make(3, 4), (rows, np.array([1, 3])), make(2), accumulate=True)
    yield Sample(make(3, 4), (np.array([1, 1]),), make(2, 4), True)
    yield Sample(make(2, 3, 4), (np.array([[0], [1]]), rows), make(4))
    yield Sample(make(3, 4), (np.array([True, False, True]),), make(()))


@declare(samples=_put_samples, dtypes=("float", "complex", "int"), differentiable=True)
def index_put(input: Tensor, indices: Sequence[Any], values: Tensor, accumulate: bool = False) -> Tensor:
    """Returns a copy of `input` with `values` written (or added) at the places the index tensors name."""
    return index_put_(input.clone(), indices, values, accumulate)


for _method in (__getitem__, __setitem__, index_put_):
    setattr(Tensor, _method.__name__, _method)
