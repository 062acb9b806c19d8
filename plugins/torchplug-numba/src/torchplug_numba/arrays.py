"""Which arrays the compiled loops take; the NumPy engine's own kernels take the others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["fits", "is_index", "rows_of"]


def fits(*arrays: Any) -> bool:
    """Says whether all are float32, or all float64, with elements, in C order without gaps."""
    dtype = arrays[0].dtype
    if dtype.char not in "fd":
        return False
    for x in arrays:
        # `carray`: also aligned and writable; Numba compiles anew for arrays that are not.
        if type(x) is not np.ndarray or x.dtype != dtype or not x.size or not x.flags.carray:
            return False
    return True


def is_index(x: Any) -> bool:
    """Says whether an array holds int64 in C order without gaps."""
    return type(x) is np.ndarray and x.dtype.char in "lq" and x.itemsize == 8 and x.flags.carray


def rows_of(x: np.ndarray, count: int) -> np.ndarray:
    """Returns a view of `x` as a matrix whose rows are its last `count` dimensions."""
    return x.reshape(-1, math.prod(x.shape[x.ndim - count :]))
