"""NumPy numbers and arrays in checkpoints: rebuilt only from plain numeric types, with sizes checked against the bytes."""

from __future__ import annotations

import math
import re
from pickle import UnpicklingError
from typing import Any

import numpy as np

from torchplug.serialization.safe_globals import Allowed

__all__ = ["TABLE", "fill_array", "fill_dtype"]

_NUMERIC = re.compile(r"[<>=|]?[biufc]\d{1,2}|\?")


def _dtype(text: Any, align: Any = False, copy: Any = True) -> np.dtype:
    """Returns a numeric element type; a fresh object, because a file may set its byte order next."""
    if type(text) is not str or not _NUMERIC.fullmatch(text):
        raise UnpicklingError(f"got the NumPy type {str(text)[:40]!r}, expected a plain numeric one")
    try:
        return np.dtype(text, False, True)
    except TypeError as error:
        raise UnpicklingError(f"got the NumPy type {text!r}: {error}") from None


def fill_dtype(made: np.dtype, state: Any) -> None:
    """Sets the byte order of an element type: all that the state of a numeric one says."""
    is_plain = isinstance(state, tuple) and len(state) >= 8 and state[2:5] == (None, None, None)
    if not is_plain or state[1] not in ("<", ">", "|", "=") or type(state[0]) is not int:
        raise UnpicklingError("got a structured NumPy type, expected a plain numeric one")
    made.__setstate__((3, state[1], None, None, None, -1, -1, 0))  # type: ignore[attr-defined]  # not in NumPy's stubs


def _scalar(dtype: Any, data: Any) -> Any:
    """Returns a NumPy number."""
    if not isinstance(dtype, np.dtype) or not isinstance(data, bytes) or len(data) != dtype.itemsize:
        raise UnpicklingError("got a damaged NumPy number, expected its type and as many bytes")
    return np.frombuffer(data, dtype)[0]


def _reconstruct(cls: Any, shape: Any, code: Any) -> np.ndarray:
    """Returns an empty array, filled next."""
    if cls is not np.ndarray or shape != (0,):
        raise UnpicklingError("got a subclass of numpy.ndarray, expected an array")
    return np.empty(0, np.uint8)


def fill_array(made: np.ndarray, state: Any) -> None:
    """Gives an array its shape, type and bytes."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise UnpicklingError("got a damaged NumPy array")
    version, shape, dtype, fortran, data = state
    sizes_are_good = (
        isinstance(shape, tuple) and len(shape) <= 32 and all(type(n) is int and 0 <= n < 1 << 48 for n in shape)
    )
    if not sizes_are_good or not isinstance(dtype, np.dtype) or dtype.hasobject or type(fortran) is not bool:
        raise UnpicklingError("got a NumPy array of objects or of a damaged shape, expected numbers")
    if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
        raise UnpicklingError(
            f"got a NumPy array of shape {shape} with other than {math.prod(shape) * dtype.itemsize} bytes"
        )
    made.__setstate__((1, shape, dtype, fortran, data))  # type: ignore[arg-type]  # the stubs want a NumPy bool


TABLE: dict[str, Allowed] = {"numpy.dtype": Allowed(np.dtype, _dtype), "numpy.ndarray": Allowed(np.ndarray)}
for _module in ("numpy._core.multiarray", "numpy.core.multiarray"):
    TABLE[f"{_module}.scalar"] = Allowed(_scalar, _scalar)
    TABLE[f"{_module}._reconstruct"] = Allowed(_reconstruct, _reconstruct)
