"""The contract's functions over traced arrays, with PyTorch's meaning where XLA or jax.numpy has another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from torchplug_spec.dtypes import DType

Array = Any
Axis = int | tuple[int, ...] | None


def astype(x: Array, dtype: DType) -> Array:
    """Returns `x` converted; a float outside an integer type wraps as on PyTorch's CPU, where XLA would saturate."""
    if dtype.kind == "bool":
        return x != 0
    if jnp.iscomplexobj(x) and not dtype.is_complex:
        x = lax.real(x)
    if jnp.issubdtype(x.dtype, jnp.floating) and not (dtype.is_floating_point or dtype.is_complex):
        x = _truncated(x, jnp.int64 if dtype.itemsize == 8 else jnp.int32)
    return lax.convert_element_type(x, dtype.numpy)


def _truncated(x: Array, wide: Any) -> Array:
    """Returns floats as integers; NaN and what does not fit give the least integer, as x86 converts."""
    least = -(2 ** (8 * np.dtype(wide).itemsize - 1))
    if x.dtype.itemsize < 4:
        x = lax.convert_element_type(x, jnp.float32)
    fits = (x >= float(least)) & (x < -float(least))
    return jnp.where(fits, lax.convert_element_type(x, wide), jnp.asarray(least, wide))


def floor_divide(x: Array, y: Array) -> Array:
    """Returns the quotient rounded towards minus infinity; for floats Python's algorithm, which PyTorch uses too."""
    kind = jnp.result_type(x, y)
    if not jnp.issubdtype(kind, jnp.floating):
        return jnp.floor_divide(x, y)
    if kind.itemsize < 4:
        return floor_divide(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)).astype(kind)
    rest = jnp.fmod(x, y)
    quotient = (x - rest) / y
    quotient = jnp.where((rest != 0) & ((jnp.asarray(y) < 0) != (rest < 0)), quotient - 1, quotient)
    floor = jnp.floor(quotient)
    nearest = jnp.where(quotient - floor > 0.5, floor + 1, floor)  # quotient carries the rounding error of x - rest
    true_quotient = jnp.divide(x, y)
    signed = jnp.where(quotient != 0, nearest, jnp.copysign(jnp.zeros_like(true_quotient), true_quotient))
    return jnp.where(jnp.asarray(y) == 0, true_quotient, signed)


def pow(x: Array, y: Array) -> Array:
    """Returns x ** y; an integer with a negative exponent gives the inverse truncated: 1, -1 or 0."""
    if not jnp.issubdtype(jnp.result_type(x, y), jnp.integer):
        return jnp.pow(x, y)
    x, y = jnp.asarray(x), jnp.asarray(y)
    negative = y < 0
    powers = jnp.pow(x, jnp.where(negative, 0, y))
    alternating = jnp.where((y & 1) == 1, -1, 1)
    inverse = jnp.where(x == 1, 1, jnp.where(x == -1, alternating, 0))
    return jnp.where(negative, inverse.astype(powers.dtype), powers)


POWERS: dict[float, Callable[[Array], Array]] = {
    0.5: jnp.sqrt,
    2: lambda x: x * x,
    3: lambda x: x * x * x,
    -1: lambda x: 1 / x,
    -0.5: lambda x: 1 / jnp.sqrt(x),
    -2: lambda x: 1 / (x * x),
}
"""Exponents PyTorch computes without `pow`, with the same rounding."""


def logaddexp(x: Array, y: Array) -> Array:
    """Returns log(exp(x) + exp(y)), in float32 for the half types."""
    if _is_half(x):
        return jnp.logaddexp(x.astype(jnp.float32), y.astype(jnp.float32)).astype(x.dtype)
    return jnp.logaddexp(x, y)


def sum(x: Array, axis: Axis, keepdims: bool) -> Array:
    return jnp.sum(x, axis=axis, dtype=_accumulator(x), keepdims=keepdims).astype(x.dtype)


def prod(x: Array, axis: Axis, keepdims: bool) -> Array:
    return jnp.prod(x, axis=axis, dtype=_accumulator(x), keepdims=keepdims).astype(x.dtype)


def max(x: Array, axis: Axis, keepdims: bool) -> Array:
    return jnp.max(x, axis=axis, keepdims=keepdims)


def min(x: Array, axis: Axis, keepdims: bool) -> Array:
    return jnp.min(x, axis=axis, keepdims=keepdims)


def all(x: Array, axis: Axis, keepdims: bool) -> Array:
    return jnp.all(x, axis=axis, keepdims=keepdims)


def any(x: Array, axis: Axis, keepdims: bool) -> Array:
    return jnp.any(x, axis=axis, keepdims=keepdims)


def argmax(x: Array, axis: int, keepdims: bool) -> Array:
    return jnp.argmax(x, axis=axis, keepdims=keepdims).astype(jnp.int64)


def argmin(x: Array, axis: int, keepdims: bool) -> Array:
    return jnp.argmin(x, axis=axis, keepdims=keepdims).astype(jnp.int64)


def matmul(x: Array, y: Array) -> Array:
    """Returns the product; the half types accumulate in float32, and float32 is not cut to TF32 or bfloat16."""
    if _is_half(x):
        return jnp.matmul(x, y, preferred_element_type=jnp.float32).astype(x.dtype)
    return jnp.matmul(x, y, precision=lax.Precision.HIGHEST)


def reshape(x: Array, shape: tuple[int, ...]) -> Array:
    return jnp.reshape(x, shape)


def permute_dims(x: Array, axes: tuple[int, ...]) -> Array:
    return lax.transpose(x, axes)


def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    return jnp.broadcast_to(x, shape)


def concat(arrays: Sequence[Array], axis: int) -> Array:
    return jnp.concatenate(arrays, axis)


def take(x: Array, indices: Array, axis: int) -> Array:
    """Returns slices of `x`; the front end has checked the indices, so nothing is filled or clipped here."""
    place = (slice(None),) * (axis % x.ndim)
    return x.at[(*place, indices)].get(mode="promise_in_bounds")


def argsort(x: Array, axis: int, descending: bool) -> Array:
    return jnp.argsort(x, axis=axis, stable=True, descending=descending).astype(jnp.int64)


def sort(x: Array, axis: int, descending: bool) -> Array:
    return jnp.sort(x, axis=axis, stable=True, descending=descending)


def scatter_add(x: Array, indices: Array, values: Array) -> Array:
    return x.at[indices].add(values, mode="promise_in_bounds")


def complex(real: Array, imag: Array) -> Array:
    return lax.complex(*jnp.broadcast_arrays(real, imag))


def flip(x: Array, axis: Axis) -> Array:
    return jnp.flip(x, axis)


def roll(x: Array, shift: int | tuple[int, ...], axis: Axis) -> Array:
    return jnp.roll(x, shift, axis)


def tril(x: Array, k: int = 0) -> Array:
    return jnp.tril(x, k)


def triu(x: Array, k: int = 0) -> Array:
    return jnp.triu(x, k)


def expand_dims(x: Array, axis: int) -> Array:
    return jnp.expand_dims(x, axis)


def squeeze(x: Array, axis: Axis) -> Array:
    return jnp.squeeze(x, axis)


def stack(arrays: Sequence[Array], axis: int) -> Array:
    return jnp.stack(arrays, axis)


def cumulative_sum(x: Array, axis: int) -> Array:
    return jnp.cumsum(x, axis, dtype=_accumulator(x)).astype(x.dtype)


def cumulative_prod(x: Array, axis: int) -> Array:
    return jnp.cumprod(x, axis, dtype=_accumulator(x)).astype(x.dtype)


def _accumulator(x: Array) -> Any:
    return jnp.float32 if _is_half(x) else x.dtype


def _is_half(x: Array) -> bool:
    return x.dtype.itemsize == 2 and jnp.issubdtype(x.dtype, jnp.floating)


def take_along_axis(x: Array, indices: Array, axis: int) -> Array:
    return jnp.take_along_axis(x, indices, axis, mode="promise_in_bounds")


def searchsorted(sorted_values: Array, values: Array, side: str = "left") -> Array:
    return jnp.searchsorted(sorted_values, values, side=side).astype(jnp.int64)
