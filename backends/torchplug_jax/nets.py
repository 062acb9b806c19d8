"""Kernels of nets on JAX: convolution by XLA where that beats matrices of windows, pooling by shifted comparisons."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from torchplug_spec.backend import Array, Shape, kernel

__all__ = ["JAXNets"]

_FEW_CHANNELS = 8
"""With fewer input channels XLA's convolution on a CPU loses to one product with the windows as columns."""

_FEW_CHANNELS_BACK = 16
"""The same for the gradient of the input."""

_BLOCK_BYTES = 1 << 20
"""Columns of windows are made for so few inputs at a time that they stay in a core's own cache."""

_FEW_TERMS = 32
"""Up to this many terms in a sum over channels and places, XLA's one loop of multiplications and additions is fastest."""


def _jit(static: tuple[int, ...]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda function: jax.jit(function, static_argnums=static, inline=True)


def _of_shape(shape: Shape, dtype: Any) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]  # jax leaves it untyped


# ---- convolution -----------------------------------------------------------------------------------------------------


def _convolved(x: Array, weight: Array, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> Array:
    half = x.dtype.itemsize == 2
    out = lax.conv_general_dilated(
        x.astype(jnp.float32) if half else x,
        weight.astype(jnp.float32) if half else weight,
        stride,
        [(pad, pad) for pad in padding],
        rhs_dilation=dilation,
        feature_group_count=groups,
        precision=lax.Precision.HIGHEST,
    )
    return out.astype(x.dtype)


@_jit((3, 4, 5, 6))
def _convolution(
    x: Array, weight: Array, bias: Array | None, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Array:
    out = _convolved(x, weight, stride, padding, dilation, groups)
    return out if bias is None else out + bias.reshape(1, -1, *(1 for _ in stride))


@_jit((3, 4, 5))
def _convolution_of_few(
    x: Array, weight: Array, bias: Array | None, stride: Shape, padding: Shape, dilation: Shape
) -> Array:
    """Returns the convolution of an even number of inputs as one sum over channels and places of the kernel."""

    def half(part: Array) -> Array:
        return _sum_over_places(part, weight, bias, stride, padding, dilation)

    # In two rounds of a loop, the result of which is kept: XLA would compute a plain sum anew wherever it is read.
    halves = lax.map(half, x.reshape(2, x.shape[0] // 2, *x.shape[1:]))
    return halves.reshape(x.shape[0], *halves.shape[2:])


def _sum_over_places(
    x: Array, weight: Array, bias: Array | None, stride: Shape, padding: Shape, dilation: Shape
) -> Array:
    kernel_size = weight.shape[2:]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), *((pad, pad, 0) for pad in padding)])
    out = _windows(x.shape[2:], kernel_size, stride, dilation)
    total: Any = None
    beside = (slice(None), *(None for _ in stride))
    for place, (starts, ends) in zip(_spots(kernel_size), _taps(out, kernel_size, stride, dilation), strict=True):
        here = lax.slice(x, (0, 0, *starts), (*x.shape[:2], *ends), (1, 1, *stride))
        for channel in range(x.shape[1]):
            term = here[:, None, channel] * weight[(slice(None), channel, *place)][beside]
            total = term if total is None else total + term
    return total if bias is None else total + bias[beside]


def _blocks(count: int, size: int) -> int:
    """Returns into how many equal parts to cut `count` inputs whose columns have `size` bytes; 1 if they cannot be."""
    parts = [part for part in range(2, count + 1) if count % part == 0]
    return next((part for part in parts if size <= part * _BLOCK_BYTES), parts[-1] if parts else 1)


@_jit((2, 3, 4, 5))
def _columns_backward_input(
    g: Array, weight: Array, size: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Array:
    """Returns the gradient of the input by products and sums over the places of the kernel, channels last, in blocks."""
    kernel_size = weight.shape[2:]
    rows = math.prod(kernel_size) * weight.shape[1]
    matrix = weight.transpose((*range(2, weight.ndim), 1, 0)).reshape(rows, -1)
    blocks = _blocks(g.shape[0], math.prod(g.shape) // g.shape[1] * rows * g.dtype.itemsize)
    count = g.shape[0] // blocks

    def forward(x: Array) -> Array:
        x = jnp.moveaxis(x, 1, -1)
        x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((pad, pad, 0) for pad in padding), (0, 0, 0)])
        out = _windows(x.shape[1:-1], kernel_size, stride, dilation)
        parts = [
            lax.slice(x, (0, *starts, 0), (x.shape[0], *ends, x.shape[-1]), (1, *stride, 1))
            for starts, ends in _taps(out, kernel_size, stride, dilation)
        ]
        made = jnp.matmul(jnp.concatenate(parts, -1).reshape(-1, rows), matrix, precision=lax.Precision.HIGHEST)
        return _cut(jnp.moveaxis(made.reshape(x.shape[0], *out, -1), -1, 1), (count, *g.shape[1:]))

    back = jax.linear_transpose(forward, _of_shape((count, weight.shape[1], *size), g.dtype))
    made = lax.map(lambda part: back(part)[0], g.reshape(blocks, count, *g.shape[1:]))
    return made.reshape(g.shape[0], weight.shape[1], *size)


@_jit((2, 3, 4, 5))
def _columns_backward_weight(
    g: Array, x: Array, kernel_size: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Array:
    """Returns the gradient of the weight as products with columns of windows, summed over blocks of inputs."""
    batch, channels, out = x.shape[0], x.shape[1], g.shape[2:]
    places = math.prod(kernel_size)
    blocks = _blocks(batch, batch * channels * places * math.prod(out) * g.dtype.itemsize)
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), *((pad, pad, 0) for pad in padding)])
    count = batch // blocks

    def add(total: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
        here, given = pair
        parts = [
            lax.slice(here, (0, 0, *starts), (count, channels, *ends), (1, 1, *stride)).reshape(count, channels, -1)
            for starts, ends in _taps(out, kernel_size, stride, dilation)
        ]
        contracted = (((2,), (2,)), ((0,), (0,)))
        made = lax.dot_general(
            given.reshape(count, g.shape[1], -1), jnp.concatenate(parts, 1), contracted, lax.Precision.HIGHEST
        )
        return total + made.sum(0), None

    start = jnp.zeros((g.shape[1], places * channels), g.dtype)
    pairs = (x.reshape(blocks, count, *x.shape[1:]), g.reshape(blocks, count, *g.shape[1:]))
    total, _ = lax.scan(add, start, pairs)
    return jnp.moveaxis(total.reshape(g.shape[1], places, channels), 1, 2).reshape(g.shape[1], channels, *kernel_size)


def _windows(size: Shape, kernel_size: Shape, stride: Shape, dilation: Shape) -> Shape:
    """Returns how many windows a padded space has along each dimension."""
    return tuple(
        (length - gap * (taps - 1) - 1) // step + 1
        for length, taps, step, gap in zip(size, kernel_size, stride, dilation, strict=True)
    )


def _spots(kernel_size: Shape) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(length) for length in kernel_size)))


@_jit((2, 3, 4, 5, 6))
def _convolution_backward_input(
    g: Array, weight: Array, size: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Array:
    shape = (g.shape[0], weight.shape[1] * groups, *size)

    def forward(x: Array) -> Array:
        return _cut(_convolved(x, weight, stride, padding, dilation, groups), g.shape)

    return jax.linear_transpose(forward, _of_shape(shape, g.dtype))(g)[0]


@_jit((2, 3, 4, 5, 6))
def _convolution_backward_weight(
    g: Array, x: Array, size: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Array:
    shape = (g.shape[1], x.shape[1] // groups, *size)

    def forward(weight: Array) -> Array:
        return _cut(_convolved(x, weight, stride, padding, dilation, groups), g.shape)

    return jax.linear_transpose(forward, _of_shape(shape, g.dtype))(g)[0]


def _cut(x: Array, shape: Shape) -> Array:
    """Returns the windows that there are gradients for: a larger output padding makes room for more."""
    return x[tuple(slice(0, length) for length in shape)]


# ---- pooling ---------------------------------------------------------------------------------------------------------


def _padded(x: Array, value: Any, out: Shape, window: Sequence[Shape]) -> Array:
    """Returns x with `value` around it, as far as windows reach."""
    kernel_size, stride, padding, dilation = window
    size = x.shape[2:]
    ends = [
        (count - 1) * step + (taps - 1) * gap + 1 - pad - length
        for count, step, taps, gap, pad, length in zip(out, stride, kernel_size, dilation, padding, size, strict=True)
    ]
    widths = [(0, 0, 0), (0, 0, 0), *((pad, max(end, 0), 0) for pad, end in zip(padding, ends, strict=True))]
    return lax.pad(x, jnp.asarray(value, x.dtype), widths)


def _taps(out: Shape, kernel_size: Shape, stride: Shape, dilation: Shape) -> list[tuple[list[int], list[int]]]:
    """Returns, for every place in a window, where in the padded space the windows' elements at that place begin and end."""
    found = []
    for place in _spots(kernel_size):
        starts = [spot * gap for spot, gap in zip(place, dilation, strict=True)]
        found.append((starts, [a + (n - 1) * step + 1 for a, n, step in zip(starts, out, stride, strict=True)]))
    return found


def _shifted(x: Array, starts: list[int], ends: list[int], stride: Shape) -> Array:
    """Returns what every window reads at one of its places."""
    return lax.slice(x, (0, 0, *starts), (*x.shape[:2], *ends), (1, 1, *stride))


def _least(dtype: Any) -> Any:
    return -jnp.inf if jnp.issubdtype(dtype, jnp.floating) else np.iinfo(dtype).min


@_jit((1, 2, 3, 4, 5))
def _max_pool(x: Array, out: Shape, *window: Shape) -> Array:
    padded = _padded(x, _least(x.dtype), out, window)
    best: Any = None
    for starts, ends in _taps(out, window[0], window[1], window[3]):
        here = _shifted(padded, starts, ends, window[1])
        best = here if best is None else jnp.maximum(best, here)
    return best


@_jit((2,))
def _tiles_backward(g: Array, x: Array, kernel_size: Shape) -> Array:
    """Returns the gradient where windows tile the plane: a comparison per element instead of a scatter."""
    lead, out = g.shape[:2], g.shape[2:]
    tiles = [*lead, *(part for pair in zip(out, kernel_size, strict=True) for part in pair)]
    spots, taps = range(2, len(tiles), 2), range(3, len(tiles), 2)
    together = (0, 1, *spots, *taps)
    windows = x.reshape(tiles).transpose(together).reshape(*g.shape, -1)
    axis = windows.ndim - 1
    first = lax.argmax(windows, axis, jnp.int32)[..., None]  # the first of equals, NaN before all
    places = jnp.arange(windows.shape[-1], dtype=jnp.int32)
    shares = jnp.where(first == places, g[..., None], jnp.zeros((), g.dtype))
    back = tuple(together.index(axis) for axis in range(len(tiles)))
    return shares.reshape(*g.shape, *kernel_size).transpose(back).reshape(x.shape)


@_jit((3, 4, 5, 6, 7))
def _windows_backward(g: Array, x: Array, pooled: Array, out: Shape, *window: Shape) -> Array:
    """Returns the gradient where windows overlap or leave gaps: one comparison and one padded sum for every tap."""
    padding, stride = window[2], window[1]
    padded = _padded(x, _least(x.dtype), out, window)
    inside = _padded(jnp.ones((1, 1, *x.shape[2:]), bool), False, out, window)
    total: Any = jnp.zeros(padded.shape, g.dtype)
    taken: Any = None
    for starts, ends in _taps(out, window[0], window[1], window[3]):
        here = _shifted(padded, starts, ends, stride)
        hit = ((here == pooled) | (here != here)) & _shifted(inside, starts, ends, stride)
        hit = hit if taken is None else hit & ~taken
        taken = hit if taken is None else taken | hit
        share = jnp.where(hit, g, jnp.zeros((), g.dtype))
        after = [length - end for length, end in zip(padded.shape[2:], ends, strict=True)]
        widths = [(a, b, step - 1) for a, b, step in zip(starts, after, stride, strict=True)]
        total = total + lax.pad(share, jnp.zeros((), g.dtype), [(0, 0, 0), (0, 0, 0), *widths])
    ends = [pad + length for pad, length in zip(padding, x.shape[2:], strict=True)]
    return lax.slice(total, (0, 0, *padding), (*x.shape[:2], *ends))


class JAXNets:
    """Kernels that take what the compositions take; the compositions take what these leave."""

    _default: str

    def _leaves_convolution(self, x: Array) -> bool:
        return not jnp.issubdtype(x.dtype, jnp.floating) or 0 in x.shape

    def _is_cpu(self) -> bool:
        return self._default.startswith("cpu")

    @kernel("convolution", partial=True)
    def convolution(self, x: Array, weight: Array, bias: Array | None, *space: Any) -> Array:
        if self._leaves_convolution(x):
            return NotImplemented
        channels, groups = weight.shape[1], space[-1]
        terms = math.prod(weight.shape[1:])
        if self._is_cpu():
            few = groups == 1 and terms <= _FEW_TERMS and channels < _FEW_CHANNELS
            if few and x.shape[0] % 2 == 0 and x.dtype.itemsize >= 4:
                return _convolution_of_few(x, weight, bias, *space[:3])
            if channels < _FEW_CHANNELS or terms == channels or groups > 1:
                return NotImplemented
        return _convolution(x, weight, bias, *space)

    @kernel("convolution_backward_input", partial=True)
    def convolution_backward_input(self, g: Array, weight: Array, size: Shape, *space: Any) -> Array:
        if self._leaves_convolution(g):
            return NotImplemented
        if self._is_cpu():
            # Of half precision XLA's compiler dies in three dimensions.
            if math.prod(weight.shape[2:]) == 1 or space[-1] > 1 or g.dtype.itemsize == 2:
                return NotImplemented
            if weight.shape[1] < _FEW_CHANNELS_BACK:
                return _columns_backward_input(g, weight, tuple(size), *space[:3])
        return _convolution_backward_input(g, weight, tuple(size), *space)

    @kernel("convolution_backward_weight", partial=True)
    def convolution_backward_weight(self, g: Array, x: Array, size: Shape, *space: Any) -> Array:
        if self._leaves_convolution(g):
            return NotImplemented
        if self._is_cpu():
            if math.prod(size) == 1 or space[-1] > 1 or g.dtype.itemsize == 2:
                return NotImplemented
            if x.shape[1] < _FEW_CHANNELS:
                return _columns_backward_weight(g, x, tuple(size), *space[:3])
        return _convolution_backward_weight(g, x, tuple(size), *space)

    @kernel("max_pool")
    def max_pool(self, x: Array, out: Shape, *window: Shape) -> Array:
        return _max_pool(x, out, *window)

    @kernel("max_pool_backward")
    def max_pool_backward(self, g: Array, x: Array, pooled: Array, out: Shape, *window: Shape) -> Array:
        kernel_size, stride, padding, dilation = window
        tiled = tuple(count * step for count, step in zip(out, stride, strict=True)) == tuple(x.shape[2:])
        if tiled and stride == kernel_size and not any(padding) and all(gap == 1 for gap in dilation):
            return _tiles_backward(g, x, kernel_size)
        return _windows_backward(g, x, pooled, out, *window)
