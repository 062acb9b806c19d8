"""Layer norm and RMS norm with their derivatives, row by row in the cache."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from torchplug_numba.arrays import fits, rows_of
from torchplug_numba.compiling import REORDERED, compiled, number
from torchplug_numba.reductions import RUN, square_of_gaps, total
from torchplug_numba.threads import spread

__all__ = ["KERNELS"]

Needs = tuple[bool, ...]

_FLUSH = 64
"""Rows whose gradients of parameters are added in their own type, before they go to a sum in double precision."""


@compiled()
def _normalize(out: Any, x: Any, mean: Any, scale: Any, weight: Any, bias: Any, eps: float, centers: bool) -> None:
    """Writes (x - mean) * scale * weight + bias; a parameter without elements is absent.

    Unless it `centers`, the mean is taken to be 0.
    """
    one, small, width = number(1.0, x[0, 0]), number(eps, x[0, 0]), number(x.shape[1], x[0, 0])
    for row in range(x.shape[0]):
        line, result = x[row], out[row]
        middle = total(line) / width if centers else one - one
        rate = one / number(math.sqrt(square_of_gaps(line, middle) / width + small), one)
        mean[row], scale[row] = middle, rate
        for i in range(result.size):
            result[i] = (line[i] - middle) * rate
        if weight.size:
            for i in range(result.size):
                result[i] *= weight[i]
        if bias.size:
            for i in range(result.size):
                result[i] += bias[i]


@compiled(REORDERED)
def _products(normal: Any, inner: Any, slope: Any, line: Any, weight: Any, middle: Any, rate: Any) -> Any:
    """Writes (line - middle) * rate and slope * weight, and returns the sums of the second and of their products."""
    added, along = number(0.0, rate), number(0.0, rate)
    for i in range(line.size):
        place, pull = (line[i] - middle) * rate, slope[i] * weight[i]
        normal[i], inner[i] = place, pull
        added += pull
        along += place * pull
    return added, along


@compiled()
def _normalize_backward(
    gx: Any, g: Any, x: Any, mean: Any, scale: Any, weight: Any, centers: bool, needs_x: bool, needs_parameters: bool
) -> Any:
    """Writes the gradient of x and returns those of weight and bias, in double precision."""
    rows, size = x.shape
    width = number(size, x[0, 0])
    gw, gb = np.zeros(size), np.zeros(size)
    some_gw, some_gb = np.zeros_like(x[0]), np.zeros_like(x[0])
    normal, inner = np.empty_like(x[0]), np.empty_like(x[0])
    for row in range(rows):
        slope, line = g[row], x[row]
        added, along = 0.0, 0.0
        for start in range(0, size, RUN):
            run = slice(start, start + RUN)
            found = _products(normal[run], inner[run], slope[run], line[run], weight[run], mean[row], scale[row])
            added += found[0]
            along += found[1]
        if needs_parameters:
            for i in range(size):
                some_gw[i] += slope[i] * normal[i]
                some_gb[i] += slope[i]
            if row % _FLUSH == _FLUSH - 1 or row == rows - 1:
                for i in range(size):
                    gw[i] += some_gw[i]
                    gb[i] += some_gb[i]
                some_gw[:] = 0
                some_gb[:] = 0
        if needs_x:
            # What reaches the row, freed of its mean and of its share along the normalized row.
            result, rate, share = gx[row], scale[row], number(along, width) / width
            middle = number(added, width) / width if centers else width - width
            for i in range(size):
                result[i] = (inner[i] - middle - normal[i] * share) * rate
    return gw, gb


# ---- the kernels -----------------------------------------------------------------------------------------------------


def _flat(x: np.ndarray, parameter: np.ndarray | None) -> np.ndarray:
    return np.empty(0, x.dtype) if parameter is None else parameter.reshape(-1)


def _forward(x: Any, weight: Any, bias: Any, count: int, eps: float, centers: bool) -> Any:
    if not fits(x, *[parameter for parameter in (weight, bias) if parameter is not None]):
        return NotImplemented
    out = np.empty(x.shape, x.dtype)
    rows = rows_of(x, count)
    mean, scale = np.empty(len(rows), x.dtype), np.empty(len(rows), x.dtype)
    parameters = _flat(x, weight), _flat(x, bias)
    spread(_normalize, (rows_of(out, count), rows, mean, scale), (float(eps), centers), parameters)
    kept = x.shape[: x.ndim - count] + (1,) * count
    return out, mean.reshape(kept), scale.reshape(kept)


def _backward(g: Any, x: Any, weight: Any, mean: Any, scale: Any, count: int, needs: Needs, centers: bool) -> Any:
    if not fits(g, x, mean, scale, *(() if weight is None else (weight,))) or g.shape != x.shape:
        return NotImplemented
    rows = rows_of(x, count)
    gx = np.empty(x.shape if needs[0] else 0, x.dtype)
    into = rows_of(gx, count) if needs[0] else np.empty((len(rows), 0), x.dtype)
    arrays = into, rows_of(g, count), rows, mean.reshape(-1), scale.reshape(-1)
    factors = np.ones(rows.shape[1], x.dtype) if weight is None else weight.reshape(-1)
    found = spread(_normalize_backward, arrays, (centers, bool(needs[0]), bool(any(needs[1:]))), (factors,))
    features = x.shape[x.ndim - count :]
    gw, gb = (np.add.reduce(each).astype(x.dtype).reshape(features) for each in zip(*found, strict=True))
    return gx if needs[0] else None, gw if needs[1] else None, gb if needs[-1] else None


def layer_norm(x: Any, weight: Any, bias: Any, count: int, eps: float) -> Any:
    return _forward(x, weight, bias, count, eps, True)


def layer_norm_backward(g: Any, x: Any, weight: Any, mean: Any, scale: Any, count: int, needs: Needs) -> Any:
    return _backward(g, x, weight, mean, scale, count, needs, True)


def rms_norm(x: Any, weight: Any, count: int, eps: float) -> Any:
    found = _forward(x, weight, None, count, eps, False)
    return found if found is NotImplemented else (found[0], found[2])


def rms_norm_backward(g: Any, x: Any, weight: Any, scale: Any, count: int, needs: Needs) -> Any:
    found = _backward(g, x, weight, np.zeros(scale.shape, scale.dtype), scale, count, needs, False)
    return found if found is NotImplemented else found[:2]


KERNELS: Final[dict[str, Callable[..., Any]]] = {
    "layer_norm": layer_norm,
    "layer_norm_backward": layer_norm_backward,
    "rms_norm": rms_norm,
    "rms_norm_backward": rms_norm_backward,
}
"""Kernel name -> function; NotImplemented leaves a call to the kernel it replaces."""
