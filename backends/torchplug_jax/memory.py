"""Memory kernels of the JAX engine: slices, places and parts, each one call into XLA instead of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from torchplug_spec.backend import Array, Shape, kernel
from torchplug_spec.dtypes import DType

__all__ = ["JAXMemory"]

_Layout = tuple[tuple[int, int, bool], ...]
"""Per dimension of the sliced array: length, step, and whether the dimension stays in the result."""


def _jit(static: tuple[int, ...]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda function: jax.jit(function, static_argnums=static, inline=True)


def _parsed(key: tuple[Any, ...]) -> tuple[list[int], _Layout, tuple[int, ...]]:
    """Returns the starts, the layout and the places of new dimensions of a key that names every dimension."""
    starts, layout, new = [], [], []
    place = 0
    for part in key:
        if part is None:
            new.append(place)
        elif isinstance(part, slice):
            starts.append(part.start)
            layout.append((max(0, -(-(part.stop - part.start) // part.step)), part.step, True))
        else:
            starts.append(part)
            layout.append((1, 1, False))
        place += part is None or isinstance(part, slice)
    return starts, tuple(layout), tuple(new)


def _places(starts: list[int]) -> np.ndarray:
    return np.array(starts, np.int32 if max(starts, default=0) < 2**31 else np.int64)


def _read(x: Array, origin: Sequence[Any], layout: _Layout, new: tuple[int, ...]) -> Array:
    lengths, steps = [length for length, _, _ in layout], [step for _, step, _ in layout]
    if 0 in lengths:
        block = jnp.zeros(lengths, x.dtype)
    elif layout:
        spans = [(length - 1) * step + 1 for length, step, _ in layout]
        block = lax.dynamic_slice(x, origin, spans)
        if any(step != 1 for step in steps):
            block = lax.slice(block, [0] * len(spans), spans, steps)
    else:
        block = x
    return jnp.expand_dims(block.reshape([length for length, _, kept in layout if kept]), new)


def _written(x: Array, value: Array, origin: Sequence[Any], layout: _Layout, new: tuple[int, ...]) -> Array:
    lengths = [length for length, _, _ in layout]
    if 0 in lengths:
        return x
    value = jnp.broadcast_to(value, _shape(layout, new)).reshape(lengths)
    if all(step == 1 for _, step, _ in layout):
        return lax.dynamic_update_slice(x, value, origin)
    axes = [start + step * jnp.arange(length) for start, (length, step, _) in zip(origin, layout, strict=True)]
    return x.at[jnp.ix_(*axes)].set(value, mode="promise_in_bounds", unique_indices=True)


def _embedded(g: Array, shape: Shape, origin: Sequence[Any], layout: _Layout, new: tuple[int, ...]) -> Array:
    return _written(jnp.zeros(shape, g.dtype), g, origin, layout, new)


# Eager calls pass the starts as data, so that a loop over x[i] compiles once; traced calls know them.
@_jit((2, 3))
def _read_at(x: Array, starts: Array, layout: _Layout, new: tuple[int, ...]) -> Array:
    return _read(x, [starts[axis] for axis in range(len(layout))], layout, new)


@_jit((3, 4))
def _written_at(x: Array, value: Array, starts: Array, layout: _Layout, new: tuple[int, ...]) -> Array:
    return _written(x, value, [starts[axis] for axis in range(len(layout))], layout, new)


@_jit((1, 3, 4))
def _embedded_at(g: Array, shape: Shape, starts: Array, layout: _Layout, new: tuple[int, ...]) -> Array:
    return _embedded(g, shape, [starts[axis] for axis in range(len(layout))], layout, new)


def _shape(layout: _Layout, new: tuple[int, ...]) -> Shape:
    shape = [length for length, _, kept in layout if kept]
    for place in new:
        shape.insert(place, 1)
    return tuple(shape)


@_jit(())
def _scattered(x: Array, index: Array, values: Array) -> Array:
    return x.at[index].set(values, mode="promise_in_bounds")


@_jit((2, 3))
def _returned(g: Array, indices: Array, shape: Shape, axis: int) -> Array:
    place = (slice(None),) * axis
    return jnp.zeros(shape, g.dtype).at[(*place, indices)].add(g, mode="promise_in_bounds")


@_jit((1,))
def _unbroadcast(g: Array, shape: Shape) -> Array:
    lead = g.ndim - len(shape)
    stretched = [lead + axis for axis, length in enumerate(shape) if length == 1 and g.shape[lead + axis] != 1]
    half = g.dtype.itemsize == 2 and jnp.issubdtype(g.dtype, jnp.floating)
    sums = jnp.sum(g, (*range(lead), *stretched), dtype=jnp.float32 if half else g.dtype)
    return sums.astype(g.dtype).reshape(shape)


@_jit((1, 2, 3))
def _broadcast_like(g: Array, shape: Shape, axes: tuple[int, ...] | None, keepdims: bool) -> Array:
    if not keepdims and axes is not None:
        g = jnp.expand_dims(g, axes)
    return jnp.broadcast_to(g, shape)


@_jit(())
def _parts(x: Array) -> Array:
    return jnp.stack([lax.real(x), lax.imag(x)], -1)


@_jit(())
def _whole(x: Array) -> Array:
    return lax.complex(x[..., 0], x[..., 1])


@_jit((1,))
def _viewed(x: Array, dtype: Any) -> Array:
    return x.view(dtype)


class JAXMemory:
    """Kernels that have a default composition, fused; a key of a slice names every dimension, starts not negative."""

    @kernel("slice")
    def slice(self, x: Array, key: tuple[Any, ...]) -> Array:
        starts, layout, new = _parsed(key)
        if isinstance(x, jax.core.Tracer):
            return _read(x, starts, layout, new)
        return _read_at(x, _places(starts), layout, new)

    @kernel("slice_update")
    def slice_update(self, x: Array, value: Array, key: tuple[Any, ...]) -> Array:
        starts, layout, new = _parsed(key)
        if isinstance(x, jax.core.Tracer) or isinstance(value, jax.core.Tracer):
            return _written(x, value, starts, layout, new)
        return _written_at(x, value, _places(starts), layout, new)

    @kernel("slice_embed")
    def slice_embed(self, g: Array, shape: Shape, key: tuple[Any, ...]) -> Array:
        starts, layout, new = _parsed(key)
        if isinstance(g, jax.core.Tracer):
            return _embedded(g, tuple(shape), starts, layout, new)
        return _embedded_at(g, tuple(shape), _places(starts), layout, new)

    @kernel("scatter")
    def scatter(self, x: Array, index: Array, values: Array) -> Array:
        return _scattered(x, index, values)

    @kernel("take_backward")
    def take_backward(self, g: Array, indices: Array, shape: Shape, axis: int) -> Array:
        return _returned(g, indices, tuple(shape), axis)

    @kernel("unbroadcast")
    def unbroadcast(self, g: Array, shape: Shape) -> Array:
        return g if g.shape == shape else _unbroadcast(g, tuple(shape))

    @kernel("broadcast_like")
    def broadcast_like(self, g: Array, shape: Shape, axes: tuple[int, ...] | None, keepdims: bool) -> Array:
        return _broadcast_like(g, tuple(shape), axes, keepdims)

    @kernel("view_as_real")
    def view_as_real(self, x: Array) -> Array:
        return _parts(x)

    @kernel("view_as_complex")
    def view_as_complex(self, x: Array) -> Array:
        return _whole(x)

    @kernel("reinterpret")
    def reinterpret(self, x: Array, dtype: DType) -> Array:
        return _viewed(x, dtype.numpy)
