"""Sums and maxima of rows for compiled loops."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.extending import overload

from torchplug_numba.compiling import REORDERED, compiled, number

__all__ = ["RUN", "dot", "largest", "square_of_gaps", "total"]

RUN = 4096
"""Elements added up in their own type, in vectors; longer sums are made of such runs, added in double precision."""


@compiled(REORDERED)
def _run_total(x: Any) -> Any:
    out = number(0.0, x[0])
    for i in range(x.size):
        out += x[i]
    return out


@compiled(REORDERED)
def _run_dot(x: Any, y: Any) -> Any:
    out = number(0.0, x[0])
    for i in range(x.size):
        out += x[i] * y[i]
    return out


@compiled(REORDERED)
def _run_square(x: Any, mean: Any) -> Any:
    out = number(0.0, x[0])
    for i in range(x.size):
        gap = x[i] - mean
        out += gap * gap
    return out


@compiled()
def total(x: Any) -> Any:
    """Returns the sum of a row."""
    out = 0.0
    for start in range(0, x.size, RUN):
        out += _run_total(x[start : start + RUN])
    return number(out, x[0])


@compiled()
def dot(x: Any, y: Any) -> Any:
    """Returns the sum of the products of two rows."""
    out = 0.0
    for start in range(0, x.size, RUN):
        out += _run_dot(x[start : start + RUN], y[start : start + RUN])
    return number(out, x[0])


@compiled()
def square_of_gaps(x: Any, mean: Any) -> Any:
    """Returns the sum of (x - mean)^2 of a row."""
    out = 0.0
    for start in range(0, x.size, RUN):
        out += _run_square(x[start : start + RUN], mean)
    return number(out, x[0])


# The bits of floats, read as integers, are in the order of the floats once those of negative ones are turned over. As
# integers they have a maximum that vectors can take; NaN is above infinity (or, with a sign, below it).


@compiled()
def _largest_single(x: Any) -> Any:
    bits = x.view(np.int32)
    best = np.int32(-(2**31))
    for i in range(bits.size):
        key = np.int32(bits[i] ^ ((bits[i] >> np.int32(31)) & np.int32(2**31 - 1)))
        best = key if key > best else best
    return np.int32(best ^ ((best >> np.int32(31)) & np.int32(2**31 - 1))).view(np.float32)


@compiled()
def _largest_double(x: Any) -> Any:
    bits = x.view(np.int64)
    best = np.int64(-(2**63))
    for i in range(bits.size):
        key = np.int64(bits[i] ^ ((bits[i] >> 63) & np.int64(2**63 - 1)))
        best = key if key > best else best
    return np.int64(best ^ ((best >> 63) & np.int64(2**63 - 1))).view(np.float64)


def largest(x: Any) -> Any:
    """Returns the maximum of a row; with NaN in it NaN, or any element."""


@overload(largest, strict=False)
def _largest(x: Any) -> Any:
    if x.dtype == numba.types.float32:
        return lambda x: _largest_single(x)
    return lambda x: _largest_double(x)
