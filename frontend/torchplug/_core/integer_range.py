"""Which integers `Tensor.random_` draws for each dtype, and PyTorch's errors for ranges a dtype cannot hold."""

from __future__ import annotations

import math
import warnings
from typing import Any, Final

import numpy as np

from torchplug._core.scalar_types import SCALARS, FloatType, ScalarType, not_implemented

__all__ = ["INT64_MIN", "any_int64", "full_range", "half_open_range", "range_from"]

INT64_MIN: Final = -(2**63)


def full_range(scalar: ScalarType) -> int:
    """Returns how many integers, from 0 on, `random_()` draws from: each one a value the dtype holds exactly."""
    return 2**scalar.digits + 1 if isinstance(scalar, FloatType) else scalar.last + 1


def half_open_range(dtype: np.dtype[Any], low: int, high: int) -> tuple[int, int]:
    """Returns the first integer and the number of integers `random_(low, high)` draws from.

    For floats the ends move inwards to the next values that stay in [low, high) when rounded to the dtype.
    Raises RuntimeError, with PyTorch's sentence, for an empty range or one out of the dtype's bounds.
    """
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    scalar = SCALARS[dtype]
    if isinstance(scalar, FloatType):
        low, high = _round_low(dtype, scalar, low), _round_high(dtype, scalar, high)
        if low >= high:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, "
                f"but got from={low} >= to={high}"
            )
    _check_bounds(scalar, low, high - 1)
    return low, high - low


def range_from(dtype: np.dtype[Any], low: int) -> tuple[int, int]:
    """Returns the first integer and the number of integers `random_(low, None)` draws from: all from `low` on.

    Raises RuntimeError, with PyTorch's sentence, when `low` is out of the dtype's bounds.
    """
    scalar = SCALARS[dtype]
    if isinstance(scalar, FloatType):
        last = 2**scalar.digits
        low = _round_low(dtype, scalar, low)
        if low >= last:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to dtype, "
                f"but got from={low} > to_inc={last}"
            )
    else:
        last = scalar.last
    _check_bounds(scalar, low, last)
    return low, last - low + 1


def any_int64(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Returns the first integer and the number of integers `random_(-2**63, None)` draws from: all of int64.

    Raises NotImplementedError or RuntimeError, with PyTorch's sentence, for a dtype that cannot be drawn so.
    """
    scalar = SCALARS[dtype]
    if scalar.name in ("Half", "Bool"):
        raise not_implemented(dtype, "random_full_64_bits_range_kernel_cpu")
    if scalar.name not in ("Long", "Double", "Float", "BFloat16"):
        raise RuntimeError("random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16")
    return 0, 2**64


def _check_bounds(scalar: ScalarType, first: int, last: int) -> None:
    for name, value in (("from", first), ("to - 1", last)):
        if isinstance(scalar, FloatType):
            inside = abs(float(value)) <= scalar.largest
        else:
            inside = scalar.first <= value <= scalar.last
        if not inside:
            raise RuntimeError(f"{name} is out of bounds for {scalar.spelling}")
        if isinstance(scalar, FloatType) and abs(value) > 2**scalar.digits:
            warnings.warn(
                f"{name} is out of bounds [-(2^{scalar.digits}), 2^{scalar.digits}]. Due to precision limitations "
                f"{scalar.spelling} can support discrete uniform distribution only within this range.",
                stacklevel=5,
            )


def _round_low(dtype: np.dtype[Any], scalar: FloatType, low: int) -> int:
    rounded = _through(dtype, low + 1)
    return rounded + _spacing(scalar, low + 1) if rounded < low else low


def _round_high(dtype: np.dtype[Any], scalar: FloatType, high: int) -> int:
    rounded = _through(dtype, high - 1)
    return rounded - _spacing(scalar, high - 1) if rounded >= high else high


def _through(dtype: np.dtype[Any], value: int) -> int:
    """Returns `value` converted to the float dtype and back to int64; what int64 cannot hold becomes its minimum."""
    number = np.int64(value)
    with np.errstate(over="ignore"):
        rounded = float(number) if dtype.itemsize == 8 else float(number.astype(np.float32).astype(dtype))
    return int(rounded) if math.isfinite(rounded) and abs(rounded) < 2.0**63 else INT64_MIN


def _spacing(scalar: FloatType, value: int) -> int:
    """Returns the distance between neighbouring numbers of the type at `value`."""
    shift = abs(value).bit_length() - scalar.digits
    return 1 << shift if shift > 0 else 1
