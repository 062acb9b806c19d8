"""Convolution by 3x3 kernels with a quarter of the multiplications: F(4x4, 3x3) of Lavin and Gray, "Fast algorithms for
convolutional neural networks", 2016.

Tiles of 6x6 input elements become 36 numbers each, filters too; products of these, summed over the channels by 36 products of
matrices, become tiles of 4x4 outputs. All three transformations are linear, so each is one product with a small matrix, and
the gradients are the same steps transposed. Channels lie last in between: everything copied is a run of all channels.

Rounding errors are about ten times those of the plain sum. An infinite or undefined input spoils the tiles it is in.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from torchplug_numpy.kernels.windows import scratch
from torchplug_numpy.threads import run_blocks, sum_blocks
from torchplug_spec.backend import Array, Shape

__all__ = ["is_winograd", "winograd", "winograd_backward_weight"]

_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
"""Where polynomials are evaluated, beside infinity: these round best. Source: Barabasz et al. 2020, "Error analysis and
improving the accuracy of Winograd convolution for deep neural networks"."""

_OUT, _IN = 4, 6
_TILES = 128
"""Least tiles in one block of images: what BLAS needs to be fast."""


@functools.cache
def _matrices(character: str) -> tuple[Array, Array, Array]:
    """Returns what transforms filters (36, 9), tiles of input (36, 36) and products (16, 36)."""
    points = np.array(_POINTS)
    powers = points[:, None] ** np.arange(_IN)
    others = [np.delete(points, place) for place in range(len(points))]
    weights = np.array([np.prod(point - rest) for point, rest in zip(points, others, strict=True)])
    last = np.eye(_IN)[-1:]
    filters = np.concatenate([powers[:, :3] / weights[:, None], last[:, -3:]])
    tiles = np.zeros((_IN, _IN))
    for place, rest in enumerate(others):
        tiles[place, : _IN - 1] = np.poly(rest)[::-1]
    tiles[-1] = np.poly(points)[::-1]
    outputs = np.concatenate([powers[:, :_OUT], last[:, -_OUT:]]).T
    return tuple(np.kron(part, part).astype(character) for part in (filters, tiles, outputs))  # type: ignore[return-value]


def is_winograd(
    x: Shape, weight: Shape, out: Shape, stride: Shape, padding: Shape, dilation: Shape, character: str
) -> bool:
    """Says whether this is the fastest form: 3x3, stride 1, many channels, tiles that are mostly used."""
    made, channels, *kernel = weight
    if kernel != [3, 3] or stride != (1, 1) or dilation != (1, 1) or max(padding) > 2 or character not in "fd":
        return False
    tiled = -(-out[0] // _OUT) * -(-out[1] // _OUT)
    return min(made, channels) >= 64 and tiled * _OUT * _OUT <= 1.5 * out[0] * out[1] and x[0] * tiled >= 16


class _Tiles:
    """How (N, C, H, W) outputs are cut into tiles."""

    def __init__(self, count: int, out: Shape) -> None:
        self.count, self.out = count, out
        self.down, self.right = -(-out[0] // _OUT), -(-out[1] // _OUT)
        self.images = min(count, -(-_TILES // (self.down * self.right)))

    def blocks(self) -> Iterator[slice]:
        """Yields the images to take at a time."""
        for start in range(0, self.count, self.images):
            yield slice(start, min(start + self.images, self.count))

    def transformed(self, x: Array, padding: Shape, matrix: Array) -> Array:
        """Returns (36, tiles, C) of padded images. Scratch memory."""
        count, channels, height, width = x.shape
        top, left = padding
        z = scratch("padded", (count, _OUT * self.down + 2, _OUT * self.right + 2, channels), x.dtype)
        z[:, :top] = 0
        z[:, top + height :] = 0
        z[:, :, :left] = 0
        z[:, :, left + width :] = 0
        z[:, top : top + height, left : left + width] = x.transpose(0, 2, 3, 1)
        per_image, per_row, per_column, item = z.strides
        shape = (_IN, _IN, count, self.down, self.right, channels)
        strides = (per_row, per_column, per_image, _OUT * per_row, _OUT * per_column, item)
        tiles = scratch("tiles", shape, x.dtype)
        tiles[...] = np.ndarray(shape, x.dtype, z, 0, strides)
        return self._product("transformed", matrix, tiles.reshape(_IN * _IN, -1), channels)

    def spread(self, g: Array, matrix: Array) -> Array:
        """Returns (36, tiles, O): the gradient of the products. Scratch memory."""
        count, made, height, width = g.shape
        z = scratch("padded", (count, _OUT * self.down, _OUT * self.right, made), g.dtype)
        z[:, height:] = 0
        z[:, :, width:] = 0
        z[:, :height, :width] = g.transpose(0, 2, 3, 1)
        tiles = scratch("tiles", (_OUT, _OUT, count, self.down, self.right, made), g.dtype)
        tiles[...] = z.reshape(count, self.down, _OUT, self.right, _OUT, made).transpose(2, 4, 0, 1, 3, 5)
        return self._product("spread", matrix, tiles.reshape(_OUT * _OUT, -1), made)

    def collected(self, products: Array, matrix: Array, bias: Array | None, out: Array) -> None:
        """Writes the outputs made of (36, tiles, O), and the bias added."""
        made, count = products.shape[2], out.shape[0]
        tiles = self._product("collected", matrix, products.reshape(_IN * _IN, -1), made)
        z = scratch("padded", (count, self.down, _OUT, self.right, _OUT, made), out.dtype)
        z[...] = tiles.reshape(_OUT, _OUT, count, self.down, self.right, made).transpose(2, 3, 0, 4, 1, 5)
        image = z.reshape(count, self.down * _OUT, self.right * _OUT, made)[:, : self.out[0], : self.out[1]]
        if bias is not None:
            np.add(image, bias, image)
        out[...] = image.transpose(0, 3, 1, 2)

    def _product(self, name: str, matrix: Array, tiles: Array, channels: int) -> Array:
        result = scratch(name, (len(matrix), tiles.shape[1]), tiles.dtype)
        return np.dot(matrix, tiles, result).reshape(len(matrix), -1, channels)


def winograd(x: Array, weight: Array, bias: Array | None, padding: Shape, out: Array, turned: bool = False) -> None:
    """Writes the convolution; `turned` takes filters (C, O, 3, 3) turned round, as the gradient of the input does."""
    filters, inputs, outputs = _matrices(x.dtype.char)
    made, channels = weight.shape[:2]
    flat = weight.reshape(made * channels, 9)
    if turned:
        factors = np.dot(filters[:, ::-1], flat.T).reshape(-1, made, channels)
    else:
        factors = np.dot(filters, flat.T).reshape(-1, made, channels).swapaxes(1, 2)
    tiles = _Tiles(x.shape[0], out.shape[2:])

    def block(images: slice) -> None:
        transformed = tiles.transformed(x[images], padding, inputs)
        products = scratch("products", (*transformed.shape[:2], factors.shape[2]), x.dtype)
        tiles.collected(np.matmul(transformed, factors, products), outputs, bias, out[images])

    run_blocks(block, list(tiles.blocks()))


def winograd_backward_weight(g: Array, x: Array, padding: Shape) -> Array:
    """Returns the gradient of the filters (O, C, 3, 3)."""
    filters, inputs, outputs = _matrices(x.dtype.char)
    turned = np.ascontiguousarray(outputs.T)
    tiles = _Tiles(x.shape[0], g.shape[2:])

    def block(images: slice) -> Array:
        transformed = tiles.transformed(x[images], padding, inputs)
        return np.matmul(tiles.spread(g[images], turned).swapaxes(1, 2), transformed)

    total = sum_blocks(block, list(tiles.blocks()))
    made, channels = total.shape[1:]
    return np.dot(total.reshape(_IN * _IN, -1).T, filters).reshape(made, channels, 3, 3)
