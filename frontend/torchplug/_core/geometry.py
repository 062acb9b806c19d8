"""Size, stride and offset arithmetic: what each movement does to the place of an element in its storage.

A geometry is `(size, stride, offset)`, all in elements; element i lies at offset + sum(i[k] * stride[k]).
"""

from __future__ import annotations

import functools
import math

import numpy as np

__all__ = [
    "Geometry",
    "contiguous",
    "contiguous_strides",
    "dense_strides",
    "diagonal",
    "expand",
    "index",
    "index_map",
    "is_contiguous",
    "memory_order",
    "overlaps",
    "permute",
    "reshape",
    "unfold",
    "view_strides",
]

Shape = tuple[int, ...]
Geometry = tuple[Shape, Shape, int]


def contiguous_strides(size: Shape) -> Shape:
    """Returns the strides of a C-ordered tensor; sizes below 1 count as 1, as in PyTorch."""
    strides = []
    step = 1
    for length in reversed(size):
        strides.append(step)
        step *= length if length > 1 else 1
    return tuple(reversed(strides))


def contiguous(size: Shape) -> Geometry:
    """Returns the geometry of a fresh tensor."""
    return size, contiguous_strides(size), 0


def is_contiguous(size: Shape, stride: Shape) -> bool:
    """Says whether the elements lie in C order without gaps (dimensions of length 1 may have any stride)."""
    if 0 in size:
        return True
    step = 1
    for length, place in zip(reversed(size), reversed(stride), strict=True):
        if length != 1:
            if place != step:
                return False
            step *= length
    return True


def overlaps(size: Shape, stride: Shape) -> bool:
    """Says whether two indices surely share a place: a dimension longer than 1 with stride 0."""
    return 0 not in size and any(length > 1 and place == 0 for length, place in zip(size, stride, strict=True))


def memory_order(size: Shape, stride: Shape) -> Shape:
    """Returns the dimensions from the largest step in memory to the smallest, the order in which PyTorch fills a tensor.

    A stride of 0 says nothing of its dimension, which then stays behind those after it; so do equal strides, unless the
    dimension is longer.
    """
    order = list(range(len(size) - 1, -1, -1))
    for start in range(1, len(order)):
        place = start
        for before in range(start - 1, -1, -1):
            inner, outer = order[before], order[place]
            step, other = stride[inner], stride[outer]
            if step == 0 or other == 0 or (step == other and size[inner] <= size[outer]):
                continue
            if step < other:
                break
            order[before], order[place] = outer, inner
            place = before
    return tuple(reversed(order))


def dense_strides(size: Shape, stride: Shape) -> Shape:
    """Returns the strides of a fresh tensor made like another: without gaps, in the order of its memory."""
    order = memory_order(size, stride)
    packed = contiguous_strides(tuple(size[dim] for dim in order))
    return tuple(packed[order.index(dim)] for dim in range(len(size)))


def index(geometry: Geometry, key: tuple[int | slice | None, ...]) -> Geometry:
    """Returns the geometry after basic indexing; slices carry start, stop and step; dimensions beyond the key stay whole."""
    size, stride, offset = geometry
    new_size, new_stride = [], []
    dim = 0
    for item in key:
        if item is None:
            new_size.append(1)
            new_stride.append(size[dim] * stride[dim] if dim < len(size) else 1)
            continue
        if isinstance(item, slice):
            offset += item.start * stride[dim]
            new_size.append(max(0, -(-(item.stop - item.start) // item.step)))
            new_stride.append(stride[dim] * item.step)
        else:
            offset += item * stride[dim]
        dim += 1
    return (*new_size, *size[dim:]), (*new_stride, *stride[dim:]), offset


def permute(geometry: Geometry, axes: Shape) -> Geometry:
    """Returns the geometry with dimensions reordered."""
    size, stride, offset = geometry
    return tuple(size[axis] for axis in axes), tuple(stride[axis] for axis in axes), offset


def expand(geometry: Geometry, shape: Shape) -> Geometry:
    """Returns the geometry broadcast to `shape`: new and stretched dimensions have stride 0."""
    size, stride, offset = geometry
    lead = len(shape) - len(size)
    new_stride = [0] * lead
    for old, new, place in zip(size, shape[lead:], stride, strict=True):
        new_stride.append(place if old == new else 0)
    return shape, tuple(new_stride), offset


def view_strides(size: Shape, stride: Shape, shape: Shape) -> Shape | None:
    """Returns the strides that show the same elements as `shape`, or None when no strides can.

    Old dimensions are merged into chunks that are contiguous within themselves; a new shape fits if each chunk is
    covered by whole new dimensions.
    """
    if 0 in size:
        return contiguous_strides(shape)
    new_stride = [0] * len(shape)
    target = len(shape) - 1
    chunk, base = 1, stride[-1] if stride else 1
    for dim in range(len(size) - 1, -1, -1):
        chunk *= size[dim]
        if dim == 0 or (size[dim - 1] != 1 and stride[dim - 1] != chunk * base):
            covered = 1
            while target >= 0 and (covered < chunk or shape[target] == 1):
                new_stride[target] = covered * base
                covered *= shape[target]
                target -= 1
            if covered != chunk:
                return None
            if dim > 0:
                chunk, base = 1, stride[dim - 1]
    if not size:
        return contiguous_strides(shape) if math.prod(shape) == 1 else None
    return tuple(new_stride) if target == -1 else None


def reshape(geometry: Geometry, shape: Shape) -> Geometry:
    """Returns the geometry of a view of another shape; the caller has made sure that there is one."""
    size, stride, offset = geometry
    strides = view_strides(size, stride, shape)
    if strides is None:
        raise ValueError(f"no view of size {list(size)} and stride {list(stride)} has shape {list(shape)}")
    return shape, strides, offset


def diagonal(geometry: Geometry, shift: int, dim1: int, dim2: int) -> Geometry:
    """Returns the geometry of the diagonal of dimensions dim1 and dim2, appended as the last dimension."""
    size, stride, offset = geometry
    if shift >= 0:
        length = max(0, min(size[dim1], size[dim2] - shift))
        offset += shift * stride[dim2] if length else 0
    else:
        length = max(0, min(size[dim1] + shift, size[dim2]))
        offset -= shift * stride[dim1] if length else 0
    kept = [dim for dim in range(len(size)) if dim not in (dim1, dim2)]
    return (
        (*(size[dim] for dim in kept), length),
        (*(stride[dim] for dim in kept), stride[dim1] + stride[dim2]),
        offset,
    )


def unfold(geometry: Geometry, dim: int, length: int, step: int) -> Geometry:
    """Returns the geometry of all windows of `length` along `dim`, every `step`; the window is the last dimension."""
    size, stride, offset = geometry
    if not size:
        return (length,), (1,), offset
    windows = (size[dim] - length) // step + 1
    return (
        (*size[:dim], windows, *size[dim + 1 :], length),
        (*stride[:dim], stride[dim] * step, *stride[dim + 1 :], stride[dim]),
        offset,
    )


@functools.lru_cache(maxsize=256)
def index_map(size: Shape, stride: Shape, offset: int) -> np.ndarray:
    """Returns the place in the storage of every element, int64, of shape `size` (read-only, cached)."""
    places = np.full(size, offset, dtype=np.int64)
    for dim, (length, step) in enumerate(zip(size, stride, strict=True)):
        line = np.arange(length, dtype=np.int64) * step
        places += line.reshape((length,) + (1,) * (len(size) - dim - 1))
    places.flags.writeable = False
    return places
