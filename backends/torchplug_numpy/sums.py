"""Sums of float32 and float64 arrays as products with a vector of ones.

BLAS adds 2 to 25 times faster than `np.add.reduce` (64x1000 over rows: 2.5 against 4.3 us; 64000x20: 80 against
980 us). Long sums are cut so that no element passes through more than about 2,000 additions, which keeps float32 sums
right to a few units in the last place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from torchplug_spec.backend import Array

__all__ = ["LONGEST_DOT", "ONES", "sum_over"]

_LONGEST: Final = 2048
"""Additions in one run; longer sums go in two stages of about the square root of their length."""

LONGEST_DOT: Final = 16 * _LONGEST
"""BLAS keeps at least 16 partial sums in a dot product, and adds those pairwise."""


class _Ones(dict[int, np.ndarray]):
    """Vectors of ones of one element type by length; short ones are kept, as views of one array."""

    def __init__(self, character: str) -> None:
        self._longest = np.ones(_LONGEST, character)

    def __missing__(self, length: int) -> np.ndarray:
        if length > _LONGEST:
            return np.ones(length, self._longest.dtype)
        self[length] = self._longest[:length]
        return self[length]


ONES: Final = {"f": _Ones("f"), "d": _Ones("d")}
"""NumPy type character -> length -> a vector of ones, read only by agreement."""


def sum_over(x: np.ndarray, axis: int | tuple[int, ...] | None, keepdims: bool) -> Array:
    """Returns the sum of float32 or float64 `x` over `axis`, in its own type. To be run quietly."""
    if x.flags.c_contiguous:  # the common cases first
        ndim = x.ndim
        if axis is None and not keepdims:
            return _total(x.reshape(-1))
        if ndim == 2 and (axis == 0 or axis == (0,)):
            return _first(x)[None] if keepdims else _first(x)
        if ndim > 1 and (axis == -1 or axis == ndim - 1 or axis == (ndim - 1,)) and x.size:
            shape = x.shape
            return _last(x.reshape(-1, shape[-1])).reshape(shape[:-1] + (1,) if keepdims else shape[:-1])
    return _sum_over_any(x, axis, keepdims)


def _total(x: np.ndarray) -> Array:
    length = x.shape[0]
    if length <= LONGEST_DOT:
        return x.dot(ONES[x.dtype.char][length])
    run = math.isqrt(length)
    whole = length // run * run
    return _total(_first(x[:whole].reshape(-1, run))) + _total(x[whole:])


def _first(x: np.ndarray) -> Array:
    ones = ONES[x.dtype.char]
    rows, columns = x.shape
    if rows <= _LONGEST:
        return ones[rows].dot(x)
    # Each of `run` consecutive rows is a column of blocks: the first product adds the blocks, the second the rows left.
    run = math.isqrt(rows)
    whole = rows // run * run
    sums = ones[run].dot(_first(x[:whole].reshape(-1, run * columns)).reshape(run, columns))
    return sums + ones[rows - whole].dot(x[whole:]) if whole < rows else sums


def _last(x: np.ndarray) -> Array:
    length = x.shape[1]
    if length <= LONGEST_DOT:
        return x.dot(ONES[x.dtype.char][length])
    return np.stack([_total(row) for row in x])


def _middle(x: np.ndarray) -> Array:
    length = x.shape[1]
    if length <= _LONGEST:
        return np.matmul(ONES[x.dtype.char][length], x)
    return np.stack([_first(block) for block in x])


def _sum_over_any(x: np.ndarray, axis: int | tuple[int, ...] | None, keepdims: bool) -> Array:
    ndim = x.ndim
    given = range(ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = sorted([each % ndim for each in given])
    if not x.flags.c_contiguous:
        if 0 in x.strides:
            return _sum_over_expanded(x, axes, keepdims)
        x = np.ascontiguousarray(x)
    out = _without(x, axes)
    if keepdims:
        return out.reshape([1 if each in axes else length for each, length in enumerate(x.shape)])
    return out


def _sum_over_expanded(x: np.ndarray, axes: Sequence[int], keepdims: bool) -> Array:
    """Returns the sum of `x`, some of whose axes repeat one element, without growing it to its full size."""
    once = np.ascontiguousarray(x[tuple([slice(0, 1) if stride == 0 else slice(None) for stride in x.strides])])
    times = math.prod([x.shape[axis] // once.shape[axis] for axis in axes])
    sums = sum_over(once, tuple(axes), True) * x.dtype.type(times)
    out = np.empty([1 if axis in axes else length for axis, length in enumerate(x.shape)], x.dtype)
    out[...] = sums
    return out if keepdims else out.reshape([length for axis, length in enumerate(x.shape) if axis not in axes])


def _without(x: np.ndarray, axes: Sequence[int]) -> Array:
    """Returns contiguous `x` summed over ascending `axes`, the last run of neighbouring axes first."""
    if not axes:
        return x.copy()
    shape, last = x.shape, len(axes) - 1
    first = last
    while first and axes[first - 1] == axes[first] - 1:
        first -= 1
    before, summed, after = shape[: axes[first]], shape[axes[first] : axes[last] + 1], shape[axes[last] + 1 :]
    outer, length, inner = math.prod(before), math.prod(summed), math.prod(after)
    if not before:
        out = _first(x.reshape(length, inner)) if after else _total(x.reshape(length))
    elif not after:
        out = _last(x.reshape(outer, length))
    else:
        out = _middle(x.reshape(outer, length, inner))
    return _without(out.reshape(before + after), axes[:first]) if first else out.reshape(before + after)
