"""From the 32-bit words of a Mersenne Twister to uniform, normal and Poisson numbers, rounded as PyTorch rounds them.

Every function is pure: words or uniforms in, numbers out. How many words a draw takes is decided in `mt19937`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "box_muller",
    "doubles_from_words",
    "floats_from_words",
    "narrow",
    "normal_pairs",
    "poisson_sample",
    "remainder",
    "scale_doubles",
    "scale_floats",
]

Words = NDArray[np.uint64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_TWO_PI = 2.0 * math.pi

_FLOAT_MASK = np.uint32(2**24 - 1)
_FLOAT_UNIT = np.float32(2.0**-24)
_HIGH_MASK = np.uint64(2**21 - 1)
_WORD_BITS = np.uint64(32)
_DOUBLE_UNIT = 2.0**-53

# Veltkamp's 2**27 + 1 splits a float64 into two halves whose products are exact (Dekker 1971).
_SPLITTER = 134217729.0

# Numbers transformed at a time, so that the intermediate arrays stay in the cache.
_CHUNK = 1 << 14

_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
_HALF_BLOCK = {_FLOAT32: np.dtype("V32"), _FLOAT64: np.dtype("V64")}


def floats_from_words(words: Words, out: Floats | None = None) -> Floats:
    """Returns float32 uniforms in [0, 1): the low 24 bits of each word.

    Shape: words (n,) of 32-bit values, result (n,); written to `out` when given.
    """
    bits = words.astype(np.uint32)
    bits &= _FLOAT_MASK
    # Through int32: the values are below 2**31 and signed integers convert in one vector instruction.
    uniform = bits.view(np.int32).astype(np.float32)
    return np.multiply(uniform, _FLOAT_UNIT, uniform if out is None else out)


def doubles_from_words(words: Words, out: Doubles | None = None) -> Doubles:
    """Returns float64 uniforms in [0, 1): the low 53 bits of each pair of words, the first word high.

    Shape: words (2 n,) of 32-bit values, result (n,); written to `out` when given.
    """
    bits = words[0::2] & _HIGH_MASK
    bits <<= _WORD_BITS
    bits |= words[1::2]
    uniform = bits.view(np.int64).astype(np.float64)
    return np.multiply(uniform, _DOUBLE_UNIT, uniform if out is None else out)


def scale_floats(uniform: Floats, low: float, high: float) -> Floats:
    """Returns `uniform * (high - low) + low` in float32, product and sum rounded once, as a fused multiply-add does.

    `uniform` is overwritten and returned.
    """
    start = np.float32(low)
    span = np.float32(high) - start
    if start == 0.0:
        return uniform if span == 1.0 else np.multiply(uniform, span, uniform)
    for first in range(0, uniform.size, _CHUNK):
        _scale_in_cache(uniform[first : first + _CHUNK], float(span), float(start))
    return uniform


def scale_doubles(uniform: Doubles, low: float, high: float) -> Doubles:
    """Returns `uniform * (high - low) + low` in float64, product and sum rounded once, as a fused multiply-add does.

    `uniform` is overwritten and returned.
    """
    span = high - low
    if low == 0.0:
        return uniform if span == 1.0 else np.multiply(uniform, span, uniform)
    if uniform.size < 16:
        uniform[:] = [_fused_multiply_add(value, span, low) for value in uniform.tolist()]
        return uniform
    for first in range(0, uniform.size, 4096):
        part = uniform[first : first + 4096]
        part[:] = _fused_multiply_add(part, span, low)
    return uniform


def remainder(numbers: Words, divisor: int) -> None:
    """Takes the remainders of `numbers` modulo `divisor` in place.

    NumPy divides by one number with vector instructions, but does not take remainders so.
    """
    for first in range(0, numbers.size, _CHUNK):
        part = numbers[first : first + _CHUNK]
        multiple = part // np.uint64(divisor)
        multiple *= np.uint64(divisor)
        part -= multiple


def box_muller(uniform: NDArray[Any]) -> None:
    """Turns uniforms into standard normals in place; in each block of 16, element j pairs with element j + 8.

    Shape: (16 k,), contiguous, float32 or float64. Source: Box and Muller 1958, with 1 - u so that log(0) cannot occur.
    """
    for start in range(0, uniform.size, _CHUNK):
        _box_muller_in_cache(uniform[start : start + _CHUNK])


def _box_muller_in_cache(uniform: NDArray[Any]) -> None:
    # A half block moves as one opaque item, which takes an eighth of the steps of copying its numbers.
    half = _HALF_BLOCK[uniform.dtype]
    halves = uniform.view(half)
    radius = halves[0::2].copy().view(uniform.dtype)
    angle = halves[1::2].copy().view(uniform.dtype)
    np.subtract(1, radius, radius)
    np.log(radius, radius)
    radius *= -2
    np.sqrt(radius, radius)
    angle *= _TWO_PI
    sine = np.sin(angle)
    np.cos(angle, angle)
    angle *= radius
    sine *= radius
    halves[0::2] = angle.view(half)
    halves[1::2] = sine.view(half)


def normal_pairs(uniform: Doubles, out: Doubles) -> None:
    """Fills `out` with standard normals, each consecutive pair made from the same pair of uniforms.

    Shape: both (2 k,), k > 0. Source: Box and Muller 1958.
    """
    if uniform.size <= 16:
        values = uniform.tolist()
        out[:] = [normal for pair in zip(values[0::2], values[1::2], strict=True) for normal in _normal_pair(*pair)]
        return
    radius = np.log1p(-uniform[1::2])
    radius *= -2.0
    np.sqrt(radius, radius)
    angle = _TWO_PI * uniform[0::2]
    np.multiply(radius, np.cos(angle), out[0::2])
    np.multiply(radius, np.sin(angle), out[1::2])


def _normal_pair(first: float, second: float) -> tuple[float, float]:
    radius = math.sqrt(-2.0 * math.log1p(-second))
    angle = _TWO_PI * first
    return radius * math.cos(angle), radius * math.sin(angle)


def narrow(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Returns `values` in `dtype`, themselves if they have it; 16-bit floats are reached through float32, as in C++."""
    if dtype.itemsize == 2 and dtype.kind not in "iu":
        values = values.astype(np.float32, copy=False)
    return values.astype(dtype, copy=False)


def poisson_sample(rate: float, uniform: Callable[[], float]) -> int:
    """Returns one Poisson number of mean `rate`, drawing as many uniforms in [0, 1) as it takes.

    Source: below 10, Knuth's product of uniforms; from 10 on, Hörmann 1993, transformed rejection PTRS.
    """
    if rate >= 10.0:
        return _poisson_by_rejection(rate, uniform)
    if rate == 0.0:
        return 0
    limit = math.exp(-rate)
    count = 0
    product = uniform()
    while product > limit:
        count += 1
        product *= uniform()
    return count


def _poisson_by_rejection(rate: float, uniform: Callable[[], float]) -> int:
    log_rate = math.log(rate)
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    log_inverse_alpha = math.log(1.1239 + 1.1328 / (b - 3.4))
    squeeze = 0.9277 - 3.6224 / (b - 2.0)
    while True:
        u = uniform() - 0.5
        v = uniform()
        side = 0.5 - abs(u)
        if side == 0.0:
            continue  # u = -0.5, where the candidate would be minus infinity
        k = math.floor((2.0 * a / side + b) * u + rate + 0.43)
        if side >= 0.07 and v <= squeeze:
            return k
        if k < 0 or (side < 0.013 and v > side):
            continue
        # v = 0 has log minus infinity and is always accepted.
        if v == 0.0 or (
            math.log(v) + log_inverse_alpha - math.log(a / (side * side) + b)
            <= k * log_rate - rate - math.lgamma(k + 1.0)
        ):
            return k


def _scale_in_cache(uniform: Floats, span: float, start: float) -> None:
    # The product of two float32 is exact in float64, so only the sum rounds there.
    total = uniform.astype(np.float64)
    total *= span
    total += start
    # Rounding again to float32 errs only where the first rounding landed midway between two float32.
    midway = (total.view(np.int64) & 0x1FFFFFFF) == 0x10000000
    if np.count_nonzero(midway):
        total[midway] = _off_midway(uniform[midway], span, start)
    uniform[:] = total


def _off_midway(uniform: Floats, span: float, start: float) -> Doubles:
    """Returns `uniform * span + start` in float64, moved one step towards the exact value where it is not exact."""
    product = uniform.astype(np.float64) * span
    total = product + start
    part = total - product
    error = (product - (total - part)) + (start - part)
    return np.where(error == 0.0, total, np.nextafter(total, np.copysign(np.inf, error)))


def _fused_multiply_add(x: Any, span: float, start: float) -> Any:
    """Returns `x * span + start`, rounded once, for a float or a float64 array.

    The product and the sum are split into value and error (Dekker 1971, Knuth 1969) and the errors are added last.
    """
    product = x * span
    big = _SPLITTER * span
    span_high = big - (big - span)
    span_low = span - span_high
    big = _SPLITTER * x
    x_high = big - (big - x)
    x_low = x - x_high
    product_error = ((x_high * span_high - product) + x_high * span_low + x_low * span_high) + x_low * span_low
    total = product + start
    part = total - product
    total_error = (product - (total - part)) + (start - part)
    return total + (total_error + product_error)
