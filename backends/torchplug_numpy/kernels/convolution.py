"""Convolution as products of matrices over blocks of windows (see `windows`), and its two gradients."""

from __future__ import annotations

import numpy as np

from torchplug_numpy.kernels.windows import Layout, scratch
from torchplug_numpy.quiet import quiet_context
from torchplug_spec.backend import Array, Shape, kernel

__all__ = ["ConvolutionKernels"]

_FAST = "fd"
"""Types BLAS multiplies; the others take the default composition."""


class ConvolutionKernels:
    """Two-dimensional kernels; one dimension is two with height 1, three run the two-dimensional ones once per depth."""

    @kernel("convolution")
    def convolution(
        self, x: Array, weight: Array, bias: Array | None, stride: Shape, padding: Shape, dilation: Shape, groups: int
    ) -> Array:
        """Returns the cross-correlation of x (N, C, *space) with weight (O, C / groups, *kernel)."""
        return quiet_context().run(_convolution, x, weight, bias, stride, padding, dilation, groups)


def _out_size(size: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Shape:
    return tuple(
        [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
        ]
    )


def _convolution(
    x: Array, weight: Array, bias: Array | None, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Array:
    out_size = _out_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    out = np.empty((x.shape[0], weight.shape[0], *out_size), x.dtype)
    _forward(x, weight, bias, out, stride, padding, dilation)
    return out


def _forward(
    x: Array, weight: Array, bias: Array | None, out: Array, stride: Shape, padding: Shape, dilation: Shape
) -> None:
    made = weight.shape[0]
    layout = Layout(x.shape, weight.shape[2:], out.shape[2:], stride, padding, dilation)
    if layout.is_product:
        return _pointwise(x, weight.reshape(made, -1), bias, out)
    z = layout.phases(x)
    matrix = weight.reshape(made, layout.taps)
    if bias is not None:
        matrix = np.concatenate([matrix, bias[:, None]], 1)
    ow, wq = layout.out[1], layout.wq
    for block in layout.blocks(made):
        n, images, r, rows = block
        columns = layout.columns(z, block, bias is not None)
        result = scratch("result", (made, columns.shape[1]), x.dtype)
        np.dot(matrix, columns, result)
        target = out[n : n + images, :, r : r + rows].transpose(1, 0, 2, 3)
        target[...] = result.reshape(made, images, rows, wq)[..., :ow]


def _pointwise(x: Array, matrix: Array, bias: Array | None, out: Array) -> None:
    count, channels = x.shape[:2]
    np.matmul(matrix, x.reshape(count, channels, -1), out.reshape(count, matrix.shape[0], -1))
    if bias is not None:
        out += bias[:, None, None]
