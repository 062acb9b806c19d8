"""Dimension and shape arguments: wrapping negative dimensions, reading sizes given one by one or as a sequence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["as_shape", "index_error", "infer_shape", "reduction_axes", "wrap_dim", "wrap_dims"]


def index_error(dim: int, ndim: int) -> IndexError:
    """Returns PyTorch's error for a dimension that does not exist."""
    bound = max(ndim, 1)
    return IndexError(f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})")


def wrap_dim(dim: int, ndim: int) -> int:
    """Returns a dimension counted from the front; 0-d tensors count as having one."""
    bound = ndim or 1
    if type(dim) is not int:
        dim = _as_int(dim, "dim")
    if not -bound <= dim < bound:
        raise index_error(dim, ndim)
    return dim + bound if dim < 0 else dim


def _as_int(value: Any, name: str) -> int:
    if isinstance(value, (bool, str, float)) or not hasattr(value, "__index__"):
        raise TypeError(f"argument '{name}' must be int, not {type(value).__name__}")
    return value.__index__()


def wrap_dims(dims: Iterable[int], ndim: int) -> tuple[int, ...]:
    """Returns several dimensions counted from the front; RuntimeError if one comes twice."""
    wrapped = tuple(wrap_dim(dim, ndim) for dim in dims)
    if len(set(wrapped)) != len(wrapped):
        twice = next(dim for dim in wrapped if wrapped.count(dim) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return wrapped


def reduction_axes(dim: Any, ndim: int) -> tuple[int, ...] | None:
    """Returns the axes a reduction runs over: None (all) for no dimension or an empty list."""
    if dim is None:
        return None
    if isinstance(dim, (tuple, list)):
        return wrap_dims(dim, ndim) or None if ndim else None
    dim = wrap_dim(dim, ndim)
    return (dim,) if ndim else None


def as_shape(sizes: Sequence[Any]) -> tuple[int, ...]:
    """Returns sizes given as separate arguments or as one sequence, as plain ints."""
    if len(sizes) == 1 and not hasattr(sizes[0], "__index__"):
        sizes = sizes[0]
    elif len(sizes) == 1 and getattr(sizes[0], "ndim", None):
        sizes = sizes[0]
    for size in sizes:
        if type(size) is not int:
            return tuple([_as_int(size, "size") for size in sizes])
    return tuple(sizes)


def infer_shape(shape: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, ...]:
    """Returns `shape` with -1 replaced; PyTorch's errors when it cannot hold the elements of `size`."""
    count = math.prod(size)
    if -1 not in shape:
        if math.prod(shape) != count or (shape and min(shape) < 0):
            negative = next((length for length in shape if length < 0), None)
            if negative is not None:
                raise RuntimeError(f"invalid shape dimension {negative}")
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {count}")
        return shape
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    known = math.prod(length for length in shape if length != -1)
    if known == 0:
        if count == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension size -1 can be "
                "any value and is ambiguous"
            )
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {count}")
    if known < 0 or count % known:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {count}")
    return tuple(count // known if length == -1 else length for length in shape)
