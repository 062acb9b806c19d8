"""Python numbers as elements: what PyTorch makes of one that is out of an element type's range."""

from __future__ import annotations

import math
from typing import Any

from torchplug._core.naming import c_name
from torchplug._core.scalar_types import SCALARS, FloatType
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["overflow", "rounded", "stored", "wrapped"]


def wrapped(value: int, dtype: DType) -> int:
    """Returns an integer that is out of a type's range as PyTorch converts it from int64: modulo 2**bits."""
    if not -(2**63) <= value < 2**63:
        raise RuntimeError("Overflow when unpacking long long")
    if dtype is dt.bool_:
        return bool(value)
    bits = 8 * dtype.itemsize
    value %= 2**bits
    return value - 2**bits if dtype.is_signed and value >= 2 ** (bits - 1) else value


def stored(value: Any, dtype: DType, name: str | None = None) -> Any:
    """Returns a number as it is written into a tensor; uint8 takes -255 to -1 modulo 256.

    Raises RuntimeError with PyTorch's sentence, in which the type is called `name`, for a number that does not fit.
    """
    if dtype is dt.bool_:
        return bool(value)
    if isinstance(value, complex) and not dtype.is_complex:
        if value.imag:
            raise overflow(dtype, name)
        value = value.real
    scalar = SCALARS[(dtype.to_real() if dtype.is_complex else dtype).numpy]
    if isinstance(scalar, FloatType):
        for part in (value.real, value.imag):
            if abs(part) > scalar.largest and math.isfinite(part):
                raise overflow(dtype, name)
        return value if isinstance(value, (float, complex)) else float(value)
    least = -scalar.last if scalar.first == 0 and isinstance(value, int) else scalar.first
    if not least <= value <= scalar.last:
        raise overflow(dtype, name)
    return wrapped(int(value), dtype)


def rounded(value: Any, dtype: DType) -> Any:
    """Returns a number as `stored` does where PyTorch makes halves of float32: too large ones become infinite."""
    if dtype not in (dt.float16, dt.bfloat16):
        return stored(value, dtype)
    number = stored(value, dt.float64)
    digits, largest = SCALARS[dtype.numpy][2:]
    # Numbers nearer to the next power of two than to the largest one are rounded to infinity.
    limit = largest * (1 - 2.0 ** -(digits + 1)) / (1 - 2.0**-digits)
    return math.copysign(math.inf, number) if abs(number) >= limit else number


def overflow(dtype: DType, name: str | None = None) -> RuntimeError:
    """Returns PyTorch's error for a number that a type cannot hold."""
    whole = dtype.kind in ("int", "uint") and dtype is not dt.int32
    called = name or (f"{dtype.name}_t" if whole else c_name(dtype))
    return RuntimeError(f"value cannot be converted to type {called} without overflow")
