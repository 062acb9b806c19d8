"""Pooling as maxima and sums of shifted slices, rows first: a window of k x k costs 2 k passes instead of k * k."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from torchplug_numpy.kernels.fused import fused
from torchplug_spec.backend import Array, Shape

__all__ = ["PoolingKernels"]

Span = tuple[slice, slice]
Window = tuple[Shape, Shape, Shape, Shape]
"""Output size, kernel, stride and padding."""


def _span(tap: int, length: int, out: int, step: int, pad: int, gap: int) -> Span | None:
    """Returns which windows have a tap inside the input, and where it lies; None if there is none."""
    offset = tap * gap - pad
    first = max(0, -(offset // step))
    last = min(out, (length - 1 - offset) // step + 1)
    if last <= first:
        return None
    start = first * step + offset
    return slice(first, last), slice(start, start + (last - first - 1) * step + 1, step)


def _key(ndim: int, axis: int, part: slice) -> tuple[slice, ...]:
    return (slice(None),) * axis + (part,) + (slice(None),) * (ndim - axis - 1)


def _along(x: Array, axis: int, taps: int, out: int, step: int, pad: int, gap: int, ufunc: Any, empty: float) -> Array:
    """Returns `ufunc` over the taps of every window along one dimension; `empty` is what no tap gives."""
    spans = [span for tap in range(taps) if (span := _span(tap, x.shape[axis], out, step, pad, gap)) is not None]
    keys = [tuple([_key(x.ndim, axis, part) for part in span]) for span in spans]
    whole = [places for (windows, places), span in zip(keys, spans, strict=True) if span[0] == slice(0, out)]
    if len(whole) > 1:  # two taps that every window has need no array to begin with
        total = ufunc(x[whole[0]], x[whole[1]])
    else:
        total = np.full((*x.shape[:axis], out, *x.shape[axis + 1 :]), empty, x.dtype)
        whole = []
    for windows, places in keys:
        if places not in whole[:2]:
            part = total[windows]
            ufunc(part, x[places], out=part)
    return total


def _max_pool(x: Array, out_size: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Array:
    empty = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    for place, window in enumerate(zip(kernel, out_size, stride, padding, dilation, strict=True)):
        x = _along(x, place + 2, *window, np.maximum, empty)
    return np.ascontiguousarray(x)


def _taps(size: Shape, out: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Iterator[tuple]:
    """Yields, tap by tap, the windows that have it inside and where it lies."""
    whole = (slice(None), slice(None))
    for tap in itertools.product(*(range(taps) for taps in kernel)):
        spans: list[Any] = [_span(*each) for each in zip(tap, size, out, stride, padding, dilation, strict=True)]
        if None not in spans:
            yield (*whole, *(span[0] for span in spans)), (*whole, *(span[1] for span in spans))


def _max_pool_backward(
    g: Array, x: Array, out: Array, out_size: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Array:
    """The first tap that equals the maximum takes the gradient, and nothing is left for those after it.

    A window of NaN equals nothing; where windows neither overlap nor leave the input its last tap takes what is left.
    """
    size = x.shape[2:]
    apart = all(
        step >= taps and gap == 1 and not pad
        for step, taps, gap, pad in zip(stride, kernel, dilation, padding, strict=True)
    )
    covered = apart and all(
        (count - 1) * step + taps <= length and step == taps
        for count, step, taps, length in zip(out_size, stride, kernel, size, strict=True)
    )
    exact = covered and all(count * step == length for count, step, length in zip(out_size, stride, size, strict=True))
    gx = np.empty(x.shape, x.dtype) if exact else np.zeros(x.shape, x.dtype)
    left, hit = g if covered else np.array(g), np.empty(g.shape, bool)
    taps = list(_taps(size, out_size, kernel, stride, padding, dilation))
    for place, (windows, places) in enumerate(taps):
        if covered and place == len(taps) - 1:
            gx[places] = left
            break
        rest = left[windows]
        taken = np.multiply(rest, np.equal(x[places], out[windows], out=hit[windows]))
        if apart:
            gx[places] = taken
        else:
            gx[places] += taken
        if covered:  # every window has every tap
            left = np.subtract(left, taken, None if left is g else left)
        else:
            np.subtract(rest, taken, rest)
    return gx


# ---- averages --------------------------------------------------------------------------------------------------------


def _shares(size: Shape, out: Shape, kernel: Shape, stride: Shape, padding: Shape, inside: bool, dtype: Any) -> Array:
    """Returns 1 / (elements a window counts): those inside the input, or also the padding around it."""
    total = np.ones((1,) * len(size))
    for axis, (length, count, taps, step, pad) in enumerate(zip(size, out, kernel, stride, padding, strict=True)):
        starts = np.arange(count) * step - pad
        ends = np.minimum(starts + taps, length + pad)
        counted = np.minimum(ends, length) - np.maximum(starts, 0) if inside else ends - starts
        total = total * counted.reshape([-1 if place == axis else 1 for place in range(len(size))])
    return (1 / total).astype(dtype)


def _average(x: Array, size: Shape, window: Window, include_pad: bool, divisor: int | None) -> Array:
    out, kernel, stride, padding = window
    if divisor is not None:
        return np.divide(x, x.dtype.type(divisor))
    shares = _shares(size, out, kernel, stride, padding, not include_pad, x.dtype)
    return np.multiply(x, shares if shares.min() != shares.max() else shares.reshape(-1)[0])


def _avg_pool(
    x: Array, out_size: Shape, kernel: Shape, stride: Shape, padding: Shape, include_pad: bool, divisor: int | None
) -> Array:
    size, total = x.shape[2:], x
    for place, (taps, out, step, pad) in enumerate(zip(kernel, out_size, stride, padding, strict=True)):
        total = _along(total, place + 2, taps, out, step, pad, 1, np.add, 0)
    if x.dtype.kind != "f":
        return _integer_average(total, size, (out_size, kernel, stride, padding), include_pad, divisor)
    return _average(total, size, (out_size, kernel, stride, padding), include_pad, divisor)


def _integer_average(total: Array, size: Shape, window: Window, include_pad: bool, divisor: int | None) -> Array:
    """Integers are divided as C divides them, towards zero."""
    counts = divisor if divisor is not None else np.rint(1 / _shares(size, *window, not include_pad, "d"))
    return np.trunc(total / counts).astype(total.dtype)


def _avg_pool_backward(
    g: Array, size: Shape, out_size: Shape, kernel: Shape, stride: Shape, padding: Shape, include_pad: bool,
    divisor: int | None,
) -> Array:  # fmt: skip
    g = _average(g, size, (out_size, kernel, stride, padding), include_pad, divisor)
    for place, (taps, step, pad, length) in enumerate(zip(kernel, stride, padding, size, strict=True)):
        axis = place + 2
        wide = np.zeros((*g.shape[:axis], length, *g.shape[axis + 1 :]), g.dtype)
        for tap in range(taps):
            span = _span(tap, length, g.shape[axis], step, pad, 1)
            if span is not None:
                windows, places = (_key(g.ndim, axis, part) for part in span)
                target = wide[places]
                np.add(target, g[windows], target)
        g = wide
    return g


class PoolingKernels:
    """Kernels over any number of spatial dimensions."""

    max_pool = fused("max_pool", _max_pool)
    max_pool_backward = fused("max_pool_backward", _max_pool_backward)
    avg_pool = fused("avg_pool", _avg_pool)
    avg_pool_backward = fused("avg_pool_backward", _avg_pool_backward)
