"""Losses over classes on JAX: comparisons with every class, which XLA fuses with log_softmax, in the place of gathers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from torchplug_spec.backend import Array, Shape, kernel

__all__ = ["JAXLosses"]


def _jit(static: tuple[int, ...]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda function: jax.jit(function, static_argnums=static, inline=True)


def _chosen(target: Array, shape: Shape) -> Array:
    """Returns for (N, C, *positions) or (C,) where the target's class is; nowhere for a class that does not exist."""
    axis = 1 if len(shape) > 1 else 0
    beside = jnp.expand_dims(target, axis) if len(shape) > 1 else target.reshape(1)
    return lax.broadcasted_iota(target.dtype, shape, axis) == beside


def _sum(x: Array, axis: int | None) -> Array:
    half = x.dtype.itemsize == 2
    return jnp.sum(x, axis, dtype=jnp.float32 if half else x.dtype).astype(x.dtype)


def _weights(kind: Any, target: Array, weight: Array | None, ignore_index: int, classes: int) -> Array:
    """Returns the weight of each target, 0 for the ignored ones."""
    if weight is None:
        weights = jnp.ones((), kind)
    else:
        safe = jnp.where(target == ignore_index, 0, target)
        weights = weight.at[safe].get(mode="promise_in_bounds")
    return jnp.where(target == ignore_index, jnp.zeros((), kind), weights)


@_jit((3, 4))
def _nll_loss(x: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int) -> Array:
    shape = x.shape
    axis = 1 if x.ndim > 1 else 0
    zero = jnp.zeros((), x.dtype)
    # The ignored class counts nothing, whatever x holds there.
    picked = _sum(jnp.where(_chosen(target, shape), x, zero), axis).reshape(target.shape)
    weights = _weights(x.dtype, target, weight, ignore_index, shape[axis])
    losses = jnp.where(target == ignore_index, zero, -picked * weights)
    if reduction == "none":
        return losses
    total = _sum(losses, None)
    return total if reduction == "sum" else total / _sum(weights, None)


@_jit((3, 4, 5))
def _nll_loss_backward(
    g: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int, shape: Shape
) -> Array:
    axis = 1 if len(shape) > 1 else 0
    zero = jnp.zeros((), g.dtype)
    weights = _weights(g.dtype, target, weight, ignore_index, shape[axis])
    if reduction == "mean":
        g = g / _sum(weights, None)
    # An ignored place gets 0 even where g is NaN, as it is when every place is ignored.
    values = jnp.where(target == ignore_index, zero, -(weights * g))
    beside = jnp.expand_dims(values, axis) if len(shape) > 1 else values.reshape(1)
    return jnp.where(_chosen(target, shape), beside, zero)


class JAXLosses:
    """Kernels of losses; targets were checked by the front end."""

    @kernel("nll_loss")
    def nll_loss(self, x: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int) -> Array:
        return _nll_loss(x, target, weight, reduction, ignore_index)

    @kernel("nll_loss_backward")
    def nll_loss_backward(
        self, g: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int, shape: Shape
    ) -> Array:
        return _nll_loss_backward(g, target, weight, reduction, ignore_index, tuple(shape))
