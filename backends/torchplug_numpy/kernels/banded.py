"""Convolution of few channels as one product with a banded matrix: the filters, laid out for several columns at once.

A tile of `tile` neighbouring output columns reads a window of the image that is little wider than a kernel. Its product with
a matrix that holds every filter `tile` times, each a column further on, is the whole tile of all filters. Zeros are multiplied
too, but windows are copied `tile` times less often than taps, and BLAS gets `filters * tile` columns where it had few.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from torchplug_numpy.kernels.windows import scratch
from torchplug_numpy.threads import run_blocks, sum_blocks
from torchplug_spec.backend import Array, Shape

__all__ = ["Band", "band_for"]

_BUDGET = 1 << 18
"""Elements of windows and results in one block: about a second-level cache."""

_LARGEST = 100_000
"""Elements of the largest banded matrix."""

_WIDEST = 3.6
"""Widest window, in kernels: what is multiplied beside a filter is 0."""


def band_for(
    x: Shape, weight: Shape, out: Shape, stride: Shape, padding: Shape, dilation: Shape, backward: bool
) -> Band | None:
    """Returns the banded form where it is the fastest: wide kernels, few channels; for the output, not too few."""
    made, channels, *kernel = weight
    if kernel[1] < 5 or stride != (1, 1) or made * channels > 512 or not (backward or channels >= 8):
        return None
    for tile in range(min(out[1], int(_WIDEST * kernel[1])), 3, -1):
        reach = tile + (kernel[1] - 1) * dilation[1]
        if not out[1] % tile and reach <= _WIDEST * kernel[1]:
            if channels * kernel[0] * reach * made * tile <= _LARGEST:
                return Band(x, made, (kernel[0], kernel[1]), out, stride, padding, dilation, tile)
    return None


class Band:
    """The banded form of one convolution of (N, C, H, W) images: kernel, output size, stride, padding, dilation and tile."""

    def __init__(
        self, x: Shape, made: int, kernel: Shape, out: Shape, stride: Shape, padding: Shape, dilation: Shape, tile: int
    ) -> None:
        self.count, self.channels, self.height, self.width = x
        self.made, self.kernel, self.out, self.tile = made, kernel, out, tile
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.tiles = out[1] // tile
        self.reach = (tile - 1) * stride[1] + (kernel[1] - 1) * dilation[1] + 1
        self.depth = self.channels * kernel[0] * self.reach
        self.padded = (
            max(self.height + padding[0], (out[0] - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1),
            max(self.width + padding[1], (out[1] - 1) * stride[1] + (kernel[1] - 1) * dilation[1] + 1),
        )
        rows = out[0] * self.tiles * (self.depth + made * tile)
        self.images = max(1, min(self.count, _BUDGET // rows))

    def _taps(self, matrix: Array) -> Array:
        """Returns the places of the filters in a banded matrix: a view (C, kh, kw, O, tile)."""
        made, tile, item = self.made, self.tile, matrix.itemsize
        row = made * tile * item
        shape = (self.channels, *self.kernel, made, tile)
        strides = (
            self.reach * row, self.channels * self.reach * row, self.dilation[1] * row, tile * item,
            self.stride[1] * row + item,
        )  # fmt: skip
        return np.ndarray(shape, matrix.dtype, matrix, 0, strides)

    def matrix(self, weight: Array) -> Array:
        """Returns (kh * C * reach, O * tile): the filters, once for each column of a tile."""
        matrix = np.zeros((self.depth, self.made * self.tile), weight.dtype)
        self._taps(matrix)[...] = weight.transpose(1, 2, 3, 0)[..., None]
        return matrix

    def weight(self, matrix: Array) -> Array:
        """Returns the gradient of the filters from that of the banded matrix."""
        taps = self._taps(matrix)
        total = np.array(taps[..., 0])
        for place in range(1, self.tile):
            np.add(total, taps[..., place], total)
        return np.ascontiguousarray(total.transpose(3, 0, 1, 2))

    def padded_image(self, x: Array) -> Array:
        """Returns the images with the zeros around them as (N, H, C, W): what several kernel rows read is one run there."""
        x = x.transpose(0, 2, 1, 3)
        if self.padded == (self.height, self.width) and not any(self.padding):
            return np.ascontiguousarray(x)
        z = np.zeros((self.count, self.padded[0], self.channels, self.padded[1]), x.dtype)
        top, left = self.padding
        z[:, top : top + self.height, :, left : left + self.width] = x
        return z

    def blocks(self) -> Iterator[slice]:
        """Yields the images to take at a time."""
        for start in range(0, self.count, self.images):
            yield slice(start, min(start + self.images, self.count))

    def windows(self, z: Array, images: slice) -> Array:
        """Returns (images * oh * tiles, kh * C * reach): what each tile reads. Scratch memory."""
        count = images.stop - images.start
        per_image, per_row, per_channel, item = z.strides
        shape = (count, self.out[0], self.tiles, self.kernel[0], self.channels, self.reach)
        strides = (
            per_image, self.stride[0] * per_row, self.tile * self.stride[1] * item, self.dilation[0] * per_row,
            per_channel, item,
        )  # fmt: skip
        target = scratch("windows", shape, z.dtype)
        target[...] = np.ndarray(shape, z.dtype, z, images.start * per_image, strides)
        return target.reshape(-1, self.depth)

    def tiled(self, g: Array, images: slice) -> Array:
        """Returns an output (or its gradient) as a view (images, oh, tiles, O, tile)."""
        count = images.stop - images.start
        return g[images].reshape(count, self.made, self.out[0], self.tiles, self.tile).transpose(0, 2, 3, 1, 4)

    def gathered(self, g: Array, images: slice) -> Array:
        """Returns an output gradient as (images * oh * tiles, O * tile). Scratch memory."""
        view = self.tiled(g, images)
        target = scratch("tiles", view.shape, g.dtype)
        target[...] = view
        return target.reshape(-1, self.made * self.tile)

    def add_windows(self, z: Array, windows: Array, images: slice) -> None:
        """Adds windows to the places of the padded images they were read from."""
        parts = windows.reshape(
            images.stop - images.start, self.out[0], self.tiles, self.kernel[0], self.channels, self.reach
        )
        down, right = self.stride[0], self.tile * self.stride[1]
        for i in range(self.kernel[0]):
            first = i * self.dilation[0]
            rows = slice(first, first + (self.out[0] - 1) * down + 1, down)
            for place in range(self.tiles):
                target = z[images, rows, :, place * right : place * right + self.reach]
                np.add(target, parts[:, :, place, i], target)

    # ---- the three products -----------------------------------------------------------------------------------------

    def forward(self, x: Array, weight: Array, bias: Array | None, out: Array) -> None:
        """Writes the convolution."""
        z, matrix = self.padded_image(x), self.matrix(weight)

        def block(images: slice) -> None:
            windows = self.windows(z, images)
            result = scratch("result", (len(windows), matrix.shape[1]), x.dtype)
            np.dot(windows, matrix, result)
            target = self.tiled(out, images)
            if bias is None:
                target[...] = result.reshape(target.shape)
            else:
                np.add(result.reshape(target.shape), bias[:, None], target)

        run_blocks(block, list(self.blocks()))

    def backward_input(self, g: Array, weight: Array) -> Array:
        """Returns the gradient of the images."""
        z = np.zeros((self.count, self.padded[0], self.channels, self.padded[1]), g.dtype)
        g, turned = np.ascontiguousarray(g), self.matrix(weight).T

        def block(images: slice) -> None:
            rows = self.gathered(g, images)
            windows = scratch("windows", (len(rows), self.depth), g.dtype)
            np.dot(rows, turned, windows)
            self.add_windows(z, windows, images)

        run_blocks(block, list(self.blocks()))
        top, left = self.padding
        inside = z[:, top : top + self.height, :, left : left + self.width]
        return np.ascontiguousarray(inside.transpose(0, 2, 1, 3))

    def backward_weight(self, g: Array, x: Array) -> Array:
        """Returns the gradient of the filters."""
        z, g = self.padded_image(x), np.ascontiguousarray(g)

        def block(images: slice) -> Array:
            return np.dot(self.windows(z, images).T, self.gathered(g, images))

        return self.weight(sum_blocks(block, list(self.blocks())))
