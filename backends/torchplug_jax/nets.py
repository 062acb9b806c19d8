"""Kernels of nets on JAX: convolution by XLA where that beats matrices of windows, pooling by shifted comparisons."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from torchplug_spec.backend import Array, Shape, kernel

__all__ = ["JAXNets"]

_FEW_CHANNELS = 8
"""With fewer input channels XLA's convolution on a CPU loses to one product with the windows as columns."""


def _jit(static: tuple[int, ...]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda function: jax.jit(function, static_argnums=static, inline=True)


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


@_jit((2, 3, 4, 5, 6))
def _convolution_backward_input(
    g: Array, weight: Array, size: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Array:
    shape = (g.shape[0], weight.shape[1] * groups, *size)

    def forward(x: Array) -> Array:
        return _cut(_convolved(x, weight, stride, padding, dilation, groups), g.shape)

    return jax.linear_transpose(forward, jax.ShapeDtypeStruct(shape, g.dtype))(g)[0]


@_jit((2, 3, 4, 5, 6))
def _convolution_backward_weight(
    g: Array, x: Array, size: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Array:
    shape = (g.shape[1], x.shape[1] // groups, *size)

    def forward(weight: Array) -> Array:
        return _cut(_convolved(x, weight, stride, padding, dilation, groups), g.shape)

    return jax.linear_transpose(forward, jax.ShapeDtypeStruct(shape, g.dtype))(g)[0]


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


def _taps(out: Shape, window: Sequence[Shape]) -> list[tuple[list[int], list[int]]]:
    """Returns, for every place in a window, where in the padded space the windows' elements at that place begin and end."""
    kernel_size, stride, _, dilation = window
    found = []
    for place in itertools.product(*(range(length) for length in kernel_size)):
        starts = [spot * gap for spot, gap in zip(place, dilation, strict=True)]
        found.append((starts, [a + (n - 1) * step + 1 for a, n, step in zip(starts, out, stride, strict=True)]))
    return found


def _shifted(x: Array, starts: list[int], ends: list[int], stride: Shape) -> Array:
    """Returns what every window reads at one of its places."""
    return lax.slice(x, (0, 0, *starts), (*x.shape[:2], *ends), (1, 1, *stride))


def _least(dtype: Any) -> Any:
    return -jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).min


@_jit((1, 2, 3, 4, 5))
def _max_pool(x: Array, out: Shape, *window: Shape) -> Array:
    padded = _padded(x, _least(x.dtype), out, window)
    best: Any = None
    for starts, ends in _taps(out, window):
        here = _shifted(padded, starts, ends, window[1])
        best = here if best is None else jnp.maximum(best, here)
    return best


@_jit((2,))
def _tiles_backward(g: Array, x: Array, kernel_size: Shape) -> Array:
    """Returns the gradient where windows tile the plane: a comparison per element instead of a scatter."""
    lead, out = g.shape[:2], g.shape[2:]
    tiles = [*lead, *(part for pair in zip(out, kernel_size, strict=True) for part in pair)]
    taps = tuple(range(3, len(tiles), 2))
    windows = x.reshape(tiles)
    places = _places(windows.shape, taps)
    greatest = jnp.max(windows, taps, keepdims=True)
    hit = (windows == greatest) | (windows != windows)
    last = jnp.int32(math.prod(kernel_size))
    first = jnp.min(jnp.where(hit, places, last), taps, keepdims=True)  # the first of equals, NaN before all
    spread = g.reshape([length if axis not in taps else 1 for axis, length in enumerate(tiles)])
    return jnp.where(places == first, spread, jnp.zeros((), g.dtype)).reshape(x.shape)


def _places(shape: Shape, taps: tuple[int, ...]) -> Array:
    """Returns the place of every element in its window, the last dimension running fastest."""
    total: Any = jnp.int32(0)
    for axis in taps:
        total = total * shape[axis] + lax.broadcasted_iota(jnp.int32, shape, axis)
    return total


@_jit((3, 4, 5, 6, 7))
def _windows_backward(g: Array, x: Array, pooled: Array, out: Shape, *window: Shape) -> Array:
    """Returns the gradient where windows overlap or leave gaps: one comparison and one padded sum for every tap."""
    padding, stride = window[2], window[1]
    padded = _padded(x, _least(x.dtype), out, window)
    inside = _padded(jnp.ones((1, 1, *x.shape[2:]), bool), False, out, window)
    total: Any = jnp.zeros(padded.shape, g.dtype)
    taken: Any = None
    for starts, ends in _taps(out, window):
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

    def _leaves_convolution(self, x: Array, channels: int, places: int, groups: int) -> bool:
        if not jnp.issubdtype(x.dtype, jnp.floating) or 0 in x.shape:
            return True
        return self._default.startswith("cpu") and (channels < _FEW_CHANNELS or places == 1 or groups > 1)

    @kernel("convolution", partial=True)
    def convolution(self, x: Array, weight: Array, bias: Array | None, *space: Any) -> Array:
        if self._leaves_convolution(x, weight.shape[1], math.prod(weight.shape[2:]), space[-1]):
            return NotImplemented
        return _convolution(x, weight, bias, *space)

    @kernel("convolution_backward_input", partial=True)
    def convolution_backward_input(self, g: Array, weight: Array, size: Shape, *space: Any) -> Array:
        if self._leaves_convolution(g, weight.shape[1], math.prod(weight.shape[2:]), space[-1]):
            return NotImplemented
        return _convolution_backward_input(g, weight, tuple(size), *space)

    @kernel("convolution_backward_weight", partial=True)
    def convolution_backward_weight(self, g: Array, x: Array, size: Shape, *space: Any) -> Array:
        if self._leaves_convolution(g, x.shape[1] // space[-1], math.prod(size), space[-1]):
            return NotImplemented
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
