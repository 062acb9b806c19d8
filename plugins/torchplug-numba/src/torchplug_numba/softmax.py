"""Softmax, its logarithm and their derivatives along the last dimension, row by row in the cache."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from torchplug_numba.arrays import fits, rows_of
from torchplug_numba.compiling import REORDERED, compiled, number
from torchplug_numba.mathematics import exp
from torchplug_numba.reductions import RUN, dot, largest, total
from torchplug_numba.threads import spread

__all__ = ["KERNELS"]


@compiled(REORDERED)
def _powers(out: Any, x: Any, top: Any) -> Any:
    """Writes exp(x - top) and returns the sum."""
    added = number(0.0, x[0])
    for i in range(x.size):
        power = exp(x[i] - top)
        out[i] = power
        added += power
    return added


@compiled(REORDERED)
def _total_of_powers(x: Any, top: Any) -> Any:
    added = number(0.0, x[0])
    for i in range(x.size):
        added += exp(x[i] - top)
    return added


# NaN in a row makes its sum NaN, whatever the maximum is, and so does an infinite maximum: infinity minus infinity.


@compiled()
def _softmax(out: Any, x: Any) -> None:
    one = number(1.0, x[0, 0])
    for row in range(x.shape[0]):
        line, result = x[row], out[row]
        top, added = largest(line), 0.0
        for start in range(0, line.size, RUN):
            added += _powers(result[start : start + RUN], line[start : start + RUN], top)
        scale = one / number(added, one)
        for i in range(result.size):
            result[i] *= scale


@compiled()
def _log_softmax(out: Any, x: Any) -> None:
    for row in range(x.shape[0]):
        line, result = x[row], out[row]
        top, added = largest(line), 0.0
        for start in range(0, line.size, RUN):
            added += _total_of_powers(line[start : start + RUN], top)
        level = number(math.log(added), top)
        for i in range(result.size):
            result[i] = (line[i] - top) - level


@compiled()
def _softmax_backward(result: Any, g: Any, out: Any) -> None:
    for row in range(g.shape[0]):
        slope, powers, line = g[row], out[row], result[row]
        share = dot(slope, powers)
        for i in range(line.size):
            line[i] = slope[i] * powers[i] - powers[i] * share


@compiled()
def _log_softmax_backward(result: Any, g: Any, out: Any) -> None:
    for row in range(g.shape[0]):
        slope, logs, line = g[row], out[row], result[row]
        share = total(slope)
        for i in range(line.size):
            line[i] = slope[i] - exp(logs[i]) * share


def _along_rows(loop: Callable[..., None]) -> Callable[..., Any]:
    """Returns the kernel that runs `loop(out, *matrices)`; the last argument is the dimension."""

    def kernel(*arguments: Any) -> Any:
        *arrays, dim = arguments
        first = arrays[0]
        if not fits(*arrays) or dim not in (-1, first.ndim - 1) or first.shape != arrays[-1].shape:
            return NotImplemented
        out = np.empty(first.shape, first.dtype)
        spread(loop, [rows_of(x, 1) for x in (out, *arrays)])
        return out

    return kernel


KERNELS: Final[dict[str, Callable[..., Any]]] = {
    "softmax": _along_rows(_softmax),
    "log_softmax": _along_rows(_log_softmax),
    "softmax_backward": _along_rows(_softmax_backward),
    "log_softmax_backward": _along_rows(_log_softmax_backward),
}
"""Kernel name -> function; NotImplemented leaves a call to the kernel it replaces."""
