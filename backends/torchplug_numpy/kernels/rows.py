"""Rows of a matrix handled in blocks that stay in the cache: their maxima and sums, and the softmax made of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from torchplug_numpy.kernels.fused import BLOCK, fused, run_in_blocks
from torchplug_numpy.sums import LONGEST_DOT, ONES
from torchplug_spec.backend import Array

__all__ = ["SoftmaxKernels", "by_rows", "row_maxima", "row_sums"]

_NARROW, _MIDDLE = 32, 512
"""Narrow rows are turned into columns to find their maxima, and middle ones folded until they are narrow: a reduction
costs 40 ns for each row it starts."""


def row_sums(x: Array) -> Array:
    """Returns the sums of the rows of a matrix as a column."""
    width = x.shape[1]
    if width > LONGEST_DOT:
        return x.sum(1, keepdims=True)
    return x.dot(ONES[x.dtype.char][width])[:, None]


def row_maxima(x: Array) -> Array:
    """Returns the greatest of each row of a matrix as a column."""
    width = x.shape[1]
    if width > _MIDDLE:
        return np.maximum.reduce(x, 1, keepdims=True)
    while width > _NARROW:
        half = width // 2
        folded = np.maximum(x[:, :half], x[:, half : 2 * half])
        if width % 2:
            np.maximum(folded[:, 0], x[:, width - 1], out=folded[:, 0])
        x, width = folded, half
    return np.maximum.reduce(np.ascontiguousarray(x.T), 0)[:, None]


def by_rows(function: Callable[..., None], dim: int, *arrays: Array) -> Array:
    """Returns an array like the first, filled by `function(out, *matrices)` for blocks of rows along the last dimension.

    NotImplemented for another dimension or type.
    """
    first = arrays[0]
    shape = first.shape
    if first.dtype.char not in "fd" or (dim != first.ndim - 1 and dim != -1) or not first.size:
        return NotImplemented
    out = np.empty(shape, first.dtype)
    width = shape[-1]
    matrices = [np.ascontiguousarray(x).reshape(-1, width) for x in (out, *arrays)]
    rows = len(matrices[0])
    step = max(1, BLOCK // width)
    if rows <= step:
        function(*matrices)
        return out
    blocks = [slice(start, start + step) for start in range(0, rows, step)]
    run_in_blocks(lambda block: function(*[x[block] for x in matrices]), blocks)
    return out


def _softmax_rows(out: Array, x: Array) -> None:
    np.subtract(x, row_maxima(x), out)
    np.exp(out, out)
    np.divide(out, row_sums(out), out)


def _log_softmax_rows(out: Array, x: Array) -> None:
    np.subtract(x, row_maxima(x), out)
    total = row_sums(np.exp(out))
    np.subtract(out, np.log(total, total), out)


def _softmax_backward_rows(result: Array, g: Array, out: Array) -> None:
    np.multiply(g, out, result)
    np.subtract(result, np.multiply(out, row_sums(result)), result)


def _log_softmax_backward_rows(result: Array, g: Array, out: Array) -> None:
    np.exp(out, result)
    np.multiply(result, row_sums(g), result)
    np.subtract(g, result, result)


class SoftmaxKernels:
    """Kernels along the last dimension; other dimensions are left to the composition."""

    softmax = fused("softmax", lambda x, dim: by_rows(_softmax_rows, dim, x), partial=True)
    log_softmax = fused("log_softmax", lambda x, dim: by_rows(_log_softmax_rows, dim, x), partial=True)
    softmax_backward = fused(
        "softmax_backward", lambda g, out, dim: by_rows(_softmax_backward_rows, dim, g, out), partial=True
    )
    log_softmax_backward = fused(
        "log_softmax_backward", lambda g, out, dim: by_rows(_log_softmax_backward_rows, dim, g, out), partial=True
    )
