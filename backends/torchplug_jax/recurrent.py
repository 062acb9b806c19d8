"""Recurrent layers as `lax.scan`, forwards and backwards: one loop in the program, however many steps.

The products of all inputs, and those that give the gradients of the weights, are outside the loop, one for all steps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from torchplug_jax.meanings import matmul
from torchplug_spec.backend import Array, kernel

__all__ = ["RecurrentKernels"]

Needs = tuple[bool, ...]
BatchSizes = tuple[int, ...] | None


def _compiled(static: tuple[int, ...]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compiles a kernel; the half types are computed in float32 and rounded once."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def kernel_of(*arguments: Any) -> Any:
            dtype = arguments[0].dtype
            if dtype.itemsize != 2:
                return function(*arguments)
            wide = [x.astype(jnp.float32) if isinstance(x, jax.Array) else x for x in arguments]
            return tuple([None if x is None else x.astype(dtype) for x in function(*wide)])

        return jax.jit(kernel_of, static_argnums=static, inline=True)

    return mark


# ---- the loop --------------------------------------------------------------------------------------------------------


def _running(x: Array, batch_sizes: BatchSizes) -> Array | None:
    """Returns (T, B, 1), which rows of (T, B, ·) still run at each step; None if all do."""
    if batch_sizes is None:
        return None
    return jnp.asarray(np.arange(x.shape[1])[None, :, None] < np.array(batch_sizes)[:, None, None])


def _scanned(
    step: Callable[..., tuple[tuple, tuple]], carry: tuple, inputs: tuple, running: Array | None, reverse: bool
) -> tuple[tuple, tuple]:
    """Runs `step(carry, inputs)` over time. Rows that do not run keep what they carry and leave zeros."""

    def body(carry: tuple, given: tuple) -> tuple[tuple, tuple]:
        *own, active = given
        new, left = step(carry, tuple(own))
        if active is not None:
            new = tuple([jnp.where(active, one, other) for one, other in zip(new, carry, strict=True)])
            left = tuple([jnp.where(active, each, 0) for each in left])
        return new, (new, left)

    carry, (states, left) = lax.scan(body, carry, (*inputs, running), reverse=reverse)
    return (carry, states), left


def _history(first: Array, after: Array, reverse: bool) -> Array:
    """Returns the states before and after all steps, (T + 1, B, ·), in the order of time."""
    return jnp.concatenate([after, first[None]] if reverse else [first[None], after])


def _before(history: Array, reverse: bool) -> Array:
    return history[1:] if reverse else history[:-1]


def _after(history: Array, reverse: bool) -> Array:
    return history[:-1] if reverse else history[1:]


def _affine(x: Array, weight: Array, *biases: Array | None) -> Array:
    out = matmul(x.reshape(-1, x.shape[-1]), weight.T).reshape(*x.shape[:-1], weight.shape[0])
    for bias in biases:
        out = out if bias is None else out + bias
    return out


def _weight_backward(turned: Array, x: Array) -> Array:
    return matmul(turned, x.reshape(-1, x.shape[-1]))


def _turned(g: Array) -> Array:
    """Returns (features, T * B): XLA's product of a transposed matrix takes twice as long on a CPU as one laid out so."""
    return lax.optimization_barrier(g.reshape(-1, g.shape[-1]).T)  # type: ignore[no-untyped-call]  # jax leaves it untyped


def _weights_backward(
    gi: Array, gr: Array, x: Array, before: Array, w_ih: Array, needs: Needs
) -> tuple[Array | None, ...]:
    """Returns the gradients of x, w_ih, w_hh, b_ih, b_hh from those of both sums."""
    from_input = _turned(gi) if needs[1] or needs[2] else None
    from_hidden = from_input if gr is gi or not needs[2] else _turned(gr)
    return (
        matmul(gi, w_ih) if needs[0] else None,
        _weight_backward(from_input, x) if needs[1] else None,
        _weight_backward(from_hidden, before) if needs[2] else None,
        gi.sum((0, 1)) if needs[3] else None,
        gr.sum((0, 1)) if needs[4] else None,
    )


# ---- rnn -------------------------------------------------------------------------------------------------------------


@_compiled((6, 7, 8))
def _rnn_layer(
    x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, relu: bool,
    batch_sizes: BatchSizes, reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    bend = (lambda sums: jnp.maximum(sums, 0)) if relu else jnp.tanh

    def step(carry: tuple, given: tuple) -> tuple[tuple, tuple]:
        return (bend(given[0] + matmul(carry[0], w_hh.T)),), ()

    sums = _affine(x, w_ih, b_ih, b_hh)
    ((last,), (y,)), _ = _scanned(step, (h,), (sums,), _running(x, batch_sizes), reverse)
    return y, last, _history(h, y, reverse)


@_compiled((6, 7, 8, 9))
def _rnn_layer_backward(
    gy: Array, gh: Array, x: Array, w_ih: Array, w_hh: Array, hidden: Array, relu: bool, batch_sizes: BatchSizes,
    reverse: bool, needs: Needs,
) -> tuple[Array | None, ...]:  # fmt: skip
    def step(carry: tuple, given: tuple) -> tuple[tuple, tuple]:
        slope, h = carry[0], given[0]
        g = jnp.where(h > 0, slope, 0) if relu else slope * (1 - h * h)
        return (matmul(g, w_hh),), (g,)

    (gh,), (g,) = _back(step, (gh,), gy, (_after(hidden, reverse),), _running(x, batch_sizes), reverse)
    gx, *rest = _weights_backward(g, g, x, _before(hidden, reverse), w_ih, (needs[0], *needs[2:]))
    return gx, gh if needs[1] else None, *rest


def _back(
    step: Callable[..., tuple[tuple, tuple]],
    carry: tuple,
    gy: Array,
    inputs: tuple,
    running: Array | None,
    reverse: bool,
) -> tuple[tuple, tuple]:
    """Runs `step` back in time. The gradient of an output joins that of its state, also where no step ran."""

    def body(carry: tuple, given: tuple) -> tuple[tuple, tuple]:
        g, *own, active = given
        carry = (carry[0] + g, *carry[1:])
        new, left = step(carry, tuple(own))
        if active is not None:
            new = tuple([jnp.where(active, one, other) for one, other in zip(new, carry, strict=True)])
            left = tuple([jnp.where(active, each, 0) for each in left])
        return new, left

    return lax.scan(body, carry, (gy, *inputs, running), reverse=not reverse)


# ---- lstm ------------------------------------------------------------------------------------------------------------


@_compiled((8, 9))
def _lstm_layer(
    x: Array, h: Array, c: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, w_hr: Array | None,
    batch_sizes: BatchSizes, reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    def step(carry: tuple, given: tuple) -> tuple[tuple, tuple]:
        h, c = carry
        i, f, n, o = jnp.split(given[0] + matmul(h, w_hh.T), 4, 1)
        i, f, n, o = lax.logistic(i), lax.logistic(f), jnp.tanh(n), lax.logistic(o)
        c = f * c + i * n
        h = o * jnp.tanh(c)
        return (h if w_hr is None else matmul(h, w_hr.T), c), (jnp.concatenate([i, f, n, o], 1),)

    sums = _affine(x, w_ih, b_ih, b_hh)
    ((last, cell), (y, cells)), (gates,) = _scanned(step, (h, c), (sums,), _running(x, batch_sizes), reverse)
    return y, last, cell, gates, _history(h, y, reverse), _history(c, cells, reverse)


@_compiled((10, 11, 12))
def _lstm_layer_backward(
    gy: Array, gh: Array, gc: Array, x: Array, w_ih: Array, w_hh: Array, w_hr: Array | None, gates: Array, hidden: Array,
    cells: Array, batch_sizes: BatchSizes, reverse: bool, needs: Needs,
) -> tuple[Array | None, ...]:  # fmt: skip
    def step(carry: tuple, given: tuple) -> tuple[tuple, tuple]:
        (gh, gc), (gates, past, cell) = carry, given
        i, f, n, o = jnp.split(gates, 4, 1)
        bent = jnp.tanh(cell)
        gm = gh if w_hr is None else matmul(gh, w_hr)
        gc = gc + gm * o * (1 - bent * bent)
        g = jnp.concatenate(
            [gc * n * i * (1 - i), gc * past * f * (1 - f), gc * i * (1 - n * n), gm * bent * o * (1 - o)], 1
        )
        return (matmul(g, w_hh), gc * f), (g,) if w_hr is None else (g, gh, o * bent)

    inputs = (gates, _before(cells, reverse), _after(cells, reverse))
    (gh, gc), (g, *made) = _back(step, (gh, gc), gy, inputs, _running(x, batch_sizes), reverse)
    gx, *rest = _weights_backward(g, g, x, _before(hidden, reverse), w_ih, (needs[0], *needs[3:7]))
    projected = _weight_backward(_turned(made[0]), made[1]) if needs[7] else None
    return gx, gh if needs[1] else None, gc if needs[2] else None, *rest, projected


# ---- gru -------------------------------------------------------------------------------------------------------------


@_compiled((6, 7))
def _gru_layer(
    x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, batch_sizes: BatchSizes,
    reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    def step(carry: tuple, given: tuple) -> tuple[tuple, tuple]:
        h = carry[0]
        (xr, xz, xn), (hr, hz, hn) = jnp.split(given[0], 3, 1), jnp.split(bias + matmul(h, w_hh.T), 3, 1)
        r, z = lax.logistic(xr + hr), lax.logistic(xz + hz)
        n = jnp.tanh(xn + r * hn)
        return (n + z * (h - n),), (jnp.concatenate([r, z, n, hn], 1),)

    bias = 0 if b_hh is None else b_hh
    sums = _affine(x, w_ih, b_ih)
    ((last,), (y,)), (gates,) = _scanned(step, (h,), (sums,), _running(x, batch_sizes), reverse)
    return y, last, gates, _history(h, y, reverse)


@_compiled((7, 8, 9))
def _gru_layer_backward(
    gy: Array, gh: Array, x: Array, w_ih: Array, w_hh: Array, gates: Array, hidden: Array, batch_sizes: BatchSizes,
    reverse: bool, needs: Needs,
) -> tuple[Array | None, ...]:  # fmt: skip
    def step(carry: tuple, given: tuple) -> tuple[tuple, tuple]:
        slope, (gates, past) = carry[0], given
        r, z, n, hn = jnp.split(gates, 4, 1)
        gn = slope * (1 - z) * (1 - n * n)
        gz = slope * (past - n) * z * (1 - z)
        gr = gn * hn * r * (1 - r)
        from_hidden = jnp.concatenate([gr, gz, gn * r], 1)
        return (slope * z + matmul(from_hidden, w_hh),), (jnp.concatenate([gr, gz, gn], 1), from_hidden)

    inputs = (gates, _before(hidden, reverse))
    (gh,), (gi, gr) = _back(step, (gh,), gy, inputs, _running(x, batch_sizes), reverse)
    gx, *rest = _weights_backward(gi, gr, x, _before(hidden, reverse), w_ih, (needs[0], *needs[2:]))
    return gx, gh if needs[1] else None, *rest


class RecurrentKernels:
    """One program for each shape, and for packed sequences for each tuple of batch sizes."""

    rnn_layer = kernel("rnn_layer")(lambda self, *arguments: _rnn_layer(*arguments))
    rnn_layer_backward = kernel("rnn_layer_backward")(lambda self, *arguments: _rnn_layer_backward(*arguments))
    lstm_layer = kernel("lstm_layer")(lambda self, *arguments: _lstm_layer(*arguments))
    lstm_layer_backward = kernel("lstm_layer_backward")(lambda self, *arguments: _lstm_layer_backward(*arguments))
    gru_layer = kernel("gru_layer")(lambda self, *arguments: _gru_layer(*arguments))
    gru_layer_backward = kernel("gru_layer_backward")(lambda self, *arguments: _gru_layer_backward(*arguments))
