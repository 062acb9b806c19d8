"""Windows of images as columns of a matrix, made block by block so that the matrix stays in the cache.

An image is first laid out so that a window's tap moves through it without gaps: padded, and, for strides, cut into phases
(every s-th row and column). In a row of width wq, `rows` output rows are then one run of rows * wq elements for every tap,
which is copied at the speed of memcpy; the last wq - ow elements of each row are waste that is computed and dropped.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import numpy as np

from torchplug_spec.backend import Array, Shape

__all__ = ["Layout", "scratch"]

_BUDGET = 1 << 21
"""Bytes of columns and results in one block: about a second-level cache."""


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[tuple[str, str], Array] = {}


_SCRATCH = _Scratch()
_LARGEST_KEPT = 1 << 22
"""Elements of the longest scratch buffer that a thread keeps."""


def scratch(name: str, shape: Shape, dtype: np.dtype) -> Array:
    """Returns an array of unset values in memory this thread uses again for the next request of that name."""
    size = math.prod(shape)
    key = (name, dtype.char)
    buffer = _SCRATCH.buffers.get(key)
    if buffer is None or buffer.size < size:
        buffer = np.empty(size, dtype)
        if size <= _LARGEST_KEPT:
            _SCRATCH.buffers[key] = buffer
    return buffer[:size].reshape(shape)


class Layout:
    """Where the windows of (N, C, H, W) images lie, for one kernel size, stride, padding and dilation.

    `hq` and `wq` are the rows and columns of a phase; `wq - ow` elements per row are waste.
    """

    def __init__(self, x: Shape, kernel: Shape, out: Shape, stride: Shape, padding: Shape, dilation: Shape) -> None:
        self.count, self.channels, self.height, self.width = x
        self.kernel, self.out, self.stride, self.padding, self.dilation = kernel, out, stride, padding, dilation
        self.hq = out[0] + dilation[0] * (kernel[0] - 1) // stride[0]
        self.wq = out[1] + dilation[1] * (kernel[1] - 1) // stride[1]
        self.taps = self.channels * kernel[0] * kernel[1]
        self.is_product = kernel == (1, 1) and stride == (1, 1) and not any(padding)

    # ---- phases -----------------------------------------------------------------------------------------------------

    def _spans(self, axis: int, phase: int) -> tuple[slice, slice]:
        """Returns which rows (or columns) of a phase are inside the image, and which of the image they are."""
        step, pad = self.stride[axis], self.padding[axis]
        length, reach = ((self.height, self.hq), (self.width, self.wq))[axis]
        first = max(0, -((phase - pad) // step))
        last = min(reach, (length - 1 + pad - phase) // step + 1)
        if last <= first:
            return slice(0, 0), slice(0, 0)
        start = first * step + phase - pad
        return slice(first, last), slice(start, start + (last - first - 1) * step + 1, step)

    def phases(self, x: Array) -> Array:
        """Returns (N, C, sh, sw, hq, wq): the padded image cut into phases; the image itself where nothing is to do."""
        shape = (self.count, self.channels, *self.stride, self.hq, self.wq)
        whole = self.stride == (1, 1) and not any(self.padding) and (self.hq, self.wq) == (self.height, self.width)
        if whole and x.strides[3] == x.itemsize and x.strides[2] == x.itemsize * self.width:
            return x[:, :, None, None]
        z = np.zeros(shape, x.dtype)
        for a in range(self.stride[0]):
            for b in range(self.stride[1]):
                (rows, from_rows), (columns, from_columns) = self._spans(0, a), self._spans(1, b)
                z[:, :, a, b, rows, columns] = x[:, :, from_rows, from_columns]
        return z

    def unphased(self, z: Array) -> Array:
        """Returns the image whose phases are `z`: elements outside are dropped, those no window sees are 0."""
        if self.stride == (1, 1):
            (top, left), (height, width) = self.padding, (self.height, self.width)
            if top + height <= self.hq and left + width <= self.wq:
                return np.ascontiguousarray(z[:, :, 0, 0, top : top + height, left : left + width])
        x = np.zeros((self.count, self.channels, self.height, self.width), z.dtype)
        for a in range(self.stride[0]):
            for b in range(self.stride[1]):
                (rows, to_rows), (columns, to_columns) = self._spans(0, a), self._spans(1, b)
                x[:, :, to_rows, to_columns] = z[:, :, a, b, rows, columns]
        return x

    # ---- blocks -----------------------------------------------------------------------------------------------------

    def blocks(self, extra: int) -> Iterator[tuple[int, int, int, int]]:
        """Yields (first image, images, first row, rows) of blocks whose columns and `extra` rows fit in the cache."""
        row = (self.taps + extra) * self.wq * 4
        rows = min(self.out[0], max(1, _BUDGET // row))
        images = max(1, min(self.count, _BUDGET // (row * self.out[0]))) if rows == self.out[0] else 1
        for n in range(0, self.count, images):
            for r in range(0, self.out[0], rows):
                yield n, min(images, self.count - n), r, min(rows, self.out[0] - r)

    def _parts(self, z: Array, n: int, images: int, r: int, rows: int) -> Iterator[tuple[tuple, Array]]:
        """Yields parts of the column matrix (C, kh, kw, images, run) and where they lie in the phases: one part for all
        taps at stride 1, else one for each tap."""
        run = (rows - 1) * self.wq + self.out[1]
        item = z.itemsize
        shape: tuple[int, ...]
        strides: tuple[int, ...]
        if self.stride == (1, 1):
            shape = (self.channels, *self.kernel, images, run)
            strides = (z.strides[1], z.strides[4] * self.dilation[0], item * self.dilation[1], z.strides[0], item)
            yield (), _view(z, (n, 0, 0, 0, r, 0), shape, strides)
            return
        shape, strides = (self.channels, images, run), (z.strides[1], z.strides[0], item)
        for i, j, phase in self._taps():
            a, b, down, right = phase
            yield (slice(None), i, j), _view(z, (n, 0, a, b, r + down, right), shape, strides)

    def _taps(self) -> Iterator[tuple[int, int, tuple[int, int, int, int]]]:
        """Yields every tap with its phase and its shift inside it."""
        for i in range(self.kernel[0]):
            down, a = divmod(i * self.dilation[0], self.stride[0])
            for j in range(self.kernel[1]):
                right, b = divmod(j * self.dilation[1], self.stride[1])
                yield i, j, (a, b, down, right)

    def shifts(self, z: Array) -> Iterator[tuple[int, int, Array]]:
        """Yields every tap with all the elements it meets, as runs (N, C, run)."""
        run = (self.out[0] - 1) * self.wq + self.out[1]
        shape, strides = (self.count, self.channels, run), (z.strides[0], z.strides[1], z.itemsize)
        for i, j, (a, b, down, right) in self._taps():
            yield i, j, _view(z, (0, 0, a, b, down, right), shape, strides)

    def columns(self, z: Array, n: int, images: int, r: int, rows: int, ones: bool) -> Array:
        """Returns the columns of a block, (taps, images * rows * wq), with a last row of ones if asked for."""
        width = rows * self.wq
        matrix = scratch("columns", (self.taps + ones, images * width), z.dtype)
        target = matrix[: self.taps].reshape(self.channels, *self.kernel, images, width)
        run = width - self.wq + self.out[1]
        for part, source in self._parts(z, n, images, r, rows):
            target[part][..., :run] = source
        if run < width:  # the waste is multiplied too, and must not be NaN
            target[..., run:] = 0
        if ones:
            matrix[self.taps] = 1
        return matrix

    def add_columns(self, z: Array, columns: Array, n: int, images: int, r: int, rows: int) -> None:
        """Adds the columns of a block to the places of the phases they were read from."""
        width = rows * self.wq
        run = width - self.wq + self.out[1]
        source = columns.reshape(self.channels, *self.kernel, images, width)
        shape, strides = (self.channels, images, run), (z.strides[1], z.strides[0], z.itemsize)
        for i, j, (a, b, down, right) in self._taps():
            target = _view(z, (n, 0, a, b, r + down, right), shape, strides)
            target += source[:, i, j, :, :run]


def _view(z: Array, start: tuple[int, ...], shape: Shape, strides: Shape) -> Array:
    """Returns a view of `z` from the place `start` on; the constructor makes it ten times faster than as_strided."""
    if z.flags.c_contiguous:
        offset = sum([place * stride for place, stride in zip(start, z.strides, strict=True)])
        return np.ndarray(shape, z.dtype, z, offset, strides)
    return np.lib.stride_tricks.as_strided(z[tuple([slice(place, None) for place in start])], shape, strides)
