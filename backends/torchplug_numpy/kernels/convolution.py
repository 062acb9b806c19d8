"""Convolution as products of matrices over blocks of windows (see `windows`), and its two gradients."""

from __future__ import annotations

import itertools

import numpy as np

from torchplug_numpy.kernels.banded import band_for
from torchplug_numpy.kernels.fused import fused
from torchplug_numpy.kernels.windows import Layout, scratch
from torchplug_numpy.kernels.winograd import is_winograd, winograd, winograd_backward_weight
from torchplug_numpy.threads import run_blocks, sum_blocks
from torchplug_spec.backend import Array, Shape

__all__ = ["ConvolutionKernels"]

Window = tuple[Shape, Shape, Shape]
"""Stride, padding and dilation."""


# ---- one and three dimensions ----------------------------------------------------------------------------------------


def _raised(x: Array) -> Array:
    return x[:, :, None]


def _raised_window(window: Window) -> Window:
    stride, padding, dilation = window
    return (1, *stride), (0, *padding), (1, *dilation)


def _flat_window(window: Window) -> Window:
    stride, padding, dilation = window
    return stride[1:], padding[1:], dilation[1:]


def _depths(length: int, out: int, tap: int, step: int, pad: int, gap: int) -> tuple[slice, slice]:
    """Returns which output depths one tap reaches inside the input, and the input depths they read."""
    offset = tap * gap - pad
    first = max(0, -(offset // step))
    last = min(out, (length - 1 - offset) // step + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    start = first * step + offset
    return slice(first, last), slice(start, start + (last - first - 1) * step + 1, step)


def _images(x: Array) -> Array:
    """Returns volumes (N, C, D, H, W) as images (N * D, C, H, W)."""
    return np.ascontiguousarray(x.transpose(0, 2, 1, 3, 4)).reshape(-1, x.shape[1], *x.shape[3:])


def _volumes(images: Array, count: int) -> Array:
    return images.reshape(count, -1, *images.shape[1:]).transpose(0, 2, 1, 3, 4)


# ---- forward ---------------------------------------------------------------------------------------------------------


def _out_size(size: Shape, kernel: Shape, window: Window) -> Shape:
    return tuple([(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(size, kernel, *window, strict=True)])


def _convolution(x: Array, weight: Array, bias: Array | None, window: Window, groups: int) -> Array:
    if x.ndim == 3:
        return _convolution(_raised(x), _raised(weight), bias, _raised_window(window), groups)[:, :, 0]
    out = np.empty((x.shape[0], weight.shape[0], *_out_size(x.shape[2:], weight.shape[2:], window)), x.dtype)
    if not out.size:
        return out
    if x.ndim == 5:
        return _forward_volumes(x, weight, bias, out, window, groups)
    if groups == 1:
        _forward(x, weight, bias, out, window)
    elif groups == x.shape[1] == weight.shape[0]:
        _depthwise(x, weight, bias, out, window)
    else:
        for own, made in _groups(x.shape[1], weight.shape[0], groups):
            _forward(x[:, own], weight[made], None if bias is None else bias[made], out[:, made], window)
    return out


def _groups(channels: int, made: int, groups: int) -> list[tuple[slice, slice]]:
    wide, tall = channels // groups, made // groups
    return [(slice(g * wide, (g + 1) * wide), slice(g * tall, (g + 1) * tall)) for g in range(groups)]


def _forward_volumes(x: Array, weight: Array, bias: Array | None, out: Array, window: Window, groups: int) -> Array:
    out[...] = 0 if bias is None else bias[:, None, None, None]
    (step, *_), (pad, *_), (gap, *_) = window
    for tap in range(weight.shape[2]):
        made, read = _depths(x.shape[2], out.shape[2], tap, step, pad, gap)
        if made.stop:
            images = _convolution(_images(x[:, :, read]), weight[:, :, tap], None, _flat_window(window), groups)
            out[:, :, made] += _volumes(images, x.shape[0])
    return out


def _forward(x: Array, weight: Array, bias: Array | None, out: Array, window: Window) -> None:
    made = weight.shape[0]
    band = band_for(x.shape, weight.shape, out.shape[2:], *window, backward=False)
    if band is not None and out.flags.c_contiguous:
        return band.forward(x, weight, bias, out)
    if is_winograd(x.shape, weight.shape, out.shape[2:], *window, x.dtype.char):
        return winograd(x, weight, bias, window[1], out)
    layout = Layout(x.shape, weight.shape[2:], out.shape[2:], *window)
    matrix = weight.reshape(made, layout.taps)
    if layout.is_product and out.flags.c_contiguous:
        return _pointwise(x, matrix, bias, out)
    if bias is not None:  # a row of ones in the columns adds it for nothing
        matrix = np.concatenate([matrix, bias[:, None]], 1)
    z = layout.phases(x)

    def block(place: tuple[int, int, int, int]) -> None:
        n, images, r, rows = place
        columns = layout.columns(z, n, images, r, rows, bias is not None)
        result = scratch("result", (made, columns.shape[1]), x.dtype)
        np.dot(matrix, columns, result)
        target = out[n : n + images, :, r : r + rows].transpose(1, 0, 2, 3)
        target[...] = result.reshape(made, images, rows, layout.wq)[..., : layout.out[1]]

    run_blocks(block, list(layout.blocks(made)))


def _pointwise(x: Array, matrix: Array, bias: Array | None, out: Array) -> None:
    count, channels = x.shape[:2]
    np.matmul(matrix, x.reshape(count, channels, -1), out.reshape(count, matrix.shape[0], -1))
    if bias is not None:
        out += bias[:, None, None]


def _depthwise(x: Array, weight: Array, bias: Array | None, out: Array, window: Window) -> None:
    """One filter per channel: a multiplication and an addition for each tap, on runs of whole rows."""
    layout = Layout(x.shape, weight.shape[2:], out.shape[2:], *window)
    z = layout.phases(x)
    oh, ow = layout.out
    shape = (x.shape[0], x.shape[1], oh * layout.wq - layout.wq + ow)
    total, term = np.zeros((*shape[:2], oh * layout.wq), x.dtype), np.empty(shape, x.dtype)
    for i, j, source in layout.shifts(z):
        np.multiply(source, weight[:, 0, i, j, None], term)
        total[..., : shape[2]] += term
    out[...] = total.reshape(*shape[:2], oh, layout.wq)[..., :ow]
    if bias is not None:
        out += bias[:, None, None]


# ---- gradient of the input -------------------------------------------------------------------------------------------


def _backward_input(g: Array, weight: Array, size: Shape, window: Window, groups: int) -> Array:
    if g.ndim == 3:
        return _backward_input(_raised(g), _raised(weight), (1, *size), _raised_window(window), groups)[:, :, 0]
    channels = weight.shape[1] * groups
    if not g.size:
        return np.zeros((g.shape[0], channels, *size), g.dtype)
    if g.ndim == 5:
        return _backward_volumes(g, weight, (g.shape[0], channels, *size), window, groups)
    if groups == 1:
        return _spread(g, weight, size, window)
    parts = [_spread(g[:, made], weight[made], size, window) for _, made in _groups(channels, weight.shape[0], groups)]
    return np.concatenate(parts, 1)


def _backward_volumes(g: Array, weight: Array, shape: Shape, window: Window, groups: int) -> Array:
    x = np.zeros(shape, g.dtype)
    (step, *_), (pad, *_), (gap, *_) = window
    for tap in range(weight.shape[2]):
        made, read = _depths(shape[2], g.shape[2], tap, step, pad, gap)
        if made.stop:
            images = _backward_input(_images(g[:, :, made]), weight[:, :, tap], shape[3:], _flat_window(window), groups)
            x[:, :, read] += _volumes(images, shape[0])
    return x


def _spread(g: Array, weight: Array, size: Shape, window: Window) -> Array:
    stride, padding, dilation = window
    made, channels, *kernel = weight.shape
    shape = (g.shape[0], channels, *size)
    band = band_for(shape, weight.shape, g.shape[2:], *window, backward=True)
    if band is not None:
        return band.backward_input(g, weight)
    if is_winograd(shape, weight.shape, g.shape[2:], *window, g.dtype.char):
        x = np.empty(shape, g.dtype)
        winograd(g, weight, None, (2 - padding[0], 2 - padding[1]), x, turned=True)
        return x
    full = tuple([gap * (taps - 1) - pad for taps, pad, gap in zip(kernel, padding, dilation, strict=True)])
    if stride == (1, 1) and min(full) >= 0 and channels >= made:
        # With stride 1 it is a convolution itself, of the padded gradient with the filters turned round; with few
        # channels adding columns up is faster.
        turned = np.ascontiguousarray(weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])
        return _convolution(g, turned, None, (stride, full, dilation), 1)
    layout = Layout(shape, (kernel[0], kernel[1]), g.shape[2:], *window)
    z = np.zeros((g.shape[0], channels, *stride, layout.hq, layout.wq), g.dtype)
    matrix = np.ascontiguousarray(weight.reshape(made, layout.taps).T)

    def block(places: list[tuple[int, int, int, int]]) -> None:
        for n, images, r, rows in places:
            columns = scratch("columns", (layout.taps, images * rows * layout.wq), g.dtype)
            np.dot(matrix, _rows_of(layout, g, n, images, r, rows), columns)
            layout.add_columns(z, columns, n, images, r, rows)

    # Windows of neighbouring rows overlap: the blocks of an image stay together.
    run_blocks(block, [list(places) for _, places in itertools.groupby(layout.blocks(made), lambda place: place[0])])
    return layout.unphased(z)


def _rows_of(layout: Layout, g: Array, n: int, images: int, r: int, rows: int) -> Array:
    """Returns a block of an output gradient as (O, images * rows * wq), with zeros in the waste."""
    made, ow, wq = g.shape[1], layout.out[1], layout.wq
    block = g[n : n + images, :, r : r + rows].transpose(1, 0, 2, 3)
    spread = scratch("gradient", (made, images, rows, wq), g.dtype)
    spread[..., :ow] = block
    spread[..., ow:] = 0
    return spread.reshape(made, images * rows * wq)


# ---- gradient of the weight ------------------------------------------------------------------------------------------


def _backward_weight(g: Array, x: Array, size: Shape, window: Window, groups: int) -> Array:
    if g.ndim == 3:
        return _backward_weight(_raised(g), _raised(x), (1, *size), _raised_window(window), groups)[:, :, 0]
    made, inner = g.shape[1], x.shape[1] // groups
    if not g.size:
        return np.zeros((made, inner, *size), g.dtype)
    if g.ndim == 5:
        return _weight_volumes(g, x, (made, inner, *size), window, groups)
    if groups == 1:
        return _correlate(g, x, size, window)
    if groups == made == x.shape[1]:
        return _depthwise_weight(g, x, size, window)
    parts = [_correlate(g[:, outs], x[:, own], size, window) for own, outs in _groups(x.shape[1], made, groups)]
    return np.concatenate(parts, 0)


def _weight_volumes(g: Array, x: Array, shape: Shape, window: Window, groups: int) -> Array:
    weight = np.zeros(shape, g.dtype)
    (step, *_), (pad, *_), (gap, *_) = window
    for tap in range(shape[2]):
        made, read = _depths(x.shape[2], g.shape[2], tap, step, pad, gap)
        if made.stop:
            weight[:, :, tap] = _backward_weight(
                _images(g[:, :, made]), _images(x[:, :, read]), shape[3:], _flat_window(window), groups
            )
    return weight


def _correlate(g: Array, x: Array, size: Shape, window: Window) -> Array:
    made, channels = g.shape[1], x.shape[1]
    band = band_for(x.shape, (made, channels, *size), g.shape[2:], *window, backward=True)
    if band is not None:
        return band.backward_weight(g, x)
    if is_winograd(x.shape, (made, channels, *size), g.shape[2:], *window, x.dtype.char):
        return winograd_backward_weight(g, x, window[1])
    layout = Layout(x.shape, size, g.shape[2:], *window)
    z = layout.phases(x)

    def block(place: tuple[int, int, int, int]) -> Array:
        n, images, r, rows = place
        columns = layout.columns(z, n, images, r, rows, False)
        # In this order BLAS is up to twice as fast as with the factors exchanged.
        return np.dot(columns, _rows_of(layout, g, n, images, r, rows).T)

    total = sum_blocks(block, list(layout.blocks(made)))
    return np.ascontiguousarray(total.T).reshape(made, channels, *size)


def _depthwise_weight(g: Array, x: Array, size: Shape, window: Window) -> Array:
    layout = Layout(x.shape, size, g.shape[2:], *window)
    count, channels, oh, ow = g.shape
    spread = np.zeros((count, channels, oh, layout.wq), g.dtype)
    spread[..., :ow] = g
    flat = spread.reshape(count, channels, oh * layout.wq)[..., : oh * layout.wq - layout.wq + ow]
    weight = np.empty((channels, 1, *size), g.dtype)
    for i, j, source in layout.shifts(layout.phases(x)):
        weight[:, 0, i, j] = np.einsum("ncp,ncp->c", flat, source)
    return weight


class ConvolutionKernels:
    """Two dimensions are computed; one is two of height 1, three are sums over depths."""

    convolution = fused(
        "convolution",
        lambda x, weight, bias, stride, padding, dilation, groups: _convolution(
            x, weight, bias, (stride, padding, dilation), groups
        ),
    )
    convolution_backward_input = fused(
        "convolution_backward_input",
        lambda g, weight, size, stride, padding, dilation, groups: _backward_input(
            g, weight, size, (stride, padding, dilation), groups
        ),
    )
    convolution_backward_weight = fused(
        "convolution_backward_weight",
        lambda g, x, size, stride, padding, dilation, groups: _backward_weight(
            g, x, size, (stride, padding, dilation), groups
        ),
    )
