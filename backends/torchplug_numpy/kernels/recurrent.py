"""Recurrent layers: one product for the inputs of all steps, then per step one product and gate math in place.

A sigmoid is (1 + tanh(x / 2)) / 2 here: with the weights of such gates halved beforehand, one tanh serves all gates of a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from torchplug_numpy.kernels.fused import fused
from torchplug_numpy.sums import sum_over
from torchplug_spec.backend import Array

__all__ = ["RecurrentKernels"]

Needs = tuple[bool, ...]
BatchSizes = tuple[int, ...] | None


def _is_unfit(x: Array) -> bool:
    return x.dtype.char not in "fd" or not x.size


def _steps(
    count: int, batch: int, batch_sizes: BatchSizes, reverse: bool, back: bool = False
) -> Iterator[tuple[int, int, int, int]]:
    """Yields each time with the places of the states before and after it in a history, and the rows that still run."""
    first = 1 if reverse else 0
    for time in range(count - 1, -1, -1) if reverse != back else range(count):
        yield time, time + first, time + 1 - first, batch if batch_sizes is None else batch_sizes[time]


def _history(first: Array, count: int, reverse: bool) -> Array:
    """Returns room for the states before and after all steps, (T + 1, B, ·), with the first ones in place."""
    history = np.empty((count + 1, *first.shape), first.dtype)
    history[count if reverse else 0] = first
    return history


def _after(history: Array, reverse: bool) -> Array:
    """Returns a copy of the states after each step: the history itself stays for the gradient."""
    return (history[:-1] if reverse else history[1:]).copy()


def _before(history: Array, reverse: bool) -> Array:
    return history[1:] if reverse else history[:-1]


def _last(history: Array, reverse: bool) -> Array:
    return history[0 if reverse else -1].copy()


def _input_sums(x: Array, w_ih: Array, biases: list[Array | None], scale: Array | None) -> Array:
    """Returns (x w_ih + biases) * scale for all steps, (T, B, gates)."""
    weight = w_ih if scale is None else np.multiply(w_ih, scale[:, None])
    sums = x.reshape(-1, x.shape[2]).dot(weight.T)
    for bias in biases:
        if bias is not None:
            np.add(sums, bias if scale is None else np.multiply(bias, scale), sums)
    return sums.reshape(*x.shape[:2], w_ih.shape[0])


def _turned(weight: Array, scale: Array | None = None) -> Array:
    """Returns the transposed weight, laid out for the products of every step."""
    return np.ascontiguousarray((weight if scale is None else np.multiply(weight, scale[:, None])).T)


def _scale(hidden: int, halves: str, like: Array) -> Array:
    """Returns a factor for each row of the weights: a half for the gates marked "h"."""
    return np.repeat(np.array([0.5 if mark == "h" else 1.0 for mark in halves], like.dtype), hidden)


def _weights_backward(
    gi: Array, gr: Array, x: Array, before: Array, w_ih: Array, needs: Needs
) -> tuple[Array | None, ...]:
    """Returns the gradients of x, w_ih, w_hh, b_ih, b_hh from those of both sums."""
    from_input, from_hidden = gi.reshape(-1, gi.shape[2]), gr.reshape(-1, gr.shape[2])
    columns, states = x.reshape(-1, x.shape[2]), before.reshape(-1, before.shape[2])
    return (
        from_input.dot(w_ih).reshape(x.shape) if needs[0] else None,
        from_input.T.dot(columns) if needs[1] else None,
        from_hidden.T.dot(states) if needs[2] else None,
        sum_over(from_input, 0, False) if needs[3] else None,
        sum_over(from_hidden, 0, False) if needs[4] else None,
    )


# ---- rnn -------------------------------------------------------------------------------------------------------------


def _rnn_layer(
    x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, relu: bool,
    batch_sizes: BatchSizes, reverse: bool,
) -> Any:  # fmt: skip
    if _is_unfit(x):
        return NotImplemented
    count, batch = x.shape[:2]
    sums, turned = _input_sums(x, w_ih, [b_ih, b_hh], None), _turned(w_hh)
    hidden = _history(h, count, reverse)
    product = np.empty(h.shape, x.dtype)
    for time, before, after, rows in _steps(count, batch, batch_sizes, reverse):
        old, new, own = hidden[before], hidden[after], product[:rows]
        np.dot(old[:rows], turned, own)
        np.add(own, sums[time, :rows], own)
        np.maximum(own, 0, out=new[:rows]) if relu else np.tanh(own, new[:rows])
        new[rows:] = old[rows:]
    return _after(hidden, reverse), _last(hidden, reverse), hidden


def _rnn_layer_backward(
    gy: Array, gh: Array, x: Array, w_ih: Array, w_hh: Array, hidden: Array, relu: bool, batch_sizes: BatchSizes,
    reverse: bool, needs: Needs,
) -> Any:  # fmt: skip
    if _is_unfit(x):
        return NotImplemented
    count, batch = x.shape[:2]
    weight = np.ascontiguousarray(w_hh)
    slope, product = np.array(gh, order="C"), np.empty(gh.shape, gh.dtype)
    g = np.empty(gy.shape, gy.dtype)
    for time, _, after, rows in _steps(count, batch, batch_sizes, reverse, back=True):
        np.add(slope, gy[time], slope)
        own, out = g[time], hidden[after, :rows]
        own[rows:] = 0
        if relu:
            np.multiply(slope[:rows], np.greater(out, 0), own[:rows])
        else:
            np.multiply(out, out, own[:rows])
            np.subtract(1, own[:rows], own[:rows])
            np.multiply(own[:rows], slope[:rows], own[:rows])
        np.dot(own[:rows], weight, product[:rows])
        slope[:rows] = product[:rows]
    gx, *rest = _weights_backward(g, g, x, _before(hidden, reverse), w_ih, (needs[0], *needs[2:]))
    return gx, slope if needs[1] else None, *rest


# ---- lstm ------------------------------------------------------------------------------------------------------------


def _lstm_layer(
    x: Array, h: Array, c: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, w_hr: Array | None,
    batch_sizes: BatchSizes, reverse: bool,
) -> Any:  # fmt: skip
    if _is_unfit(x):
        return NotImplemented
    (count, batch), size = x.shape[:2], c.shape[1]
    scale = _scale(size, "hh1h", x)
    shift = np.subtract(1, scale)  # 1/2 for sigmoids, 0 for tanh
    shift[2 * size : 3 * size] = 0
    gates, turned = _input_sums(x, w_ih, [b_ih, b_hh], scale), _turned(w_hh, scale)
    hidden, cells = _history(h, count, reverse), _history(c, count, reverse)
    product, bent = np.empty((batch, 4 * size), x.dtype), np.empty(c.shape, x.dtype)
    projection = None if w_hr is None else _turned(w_hr)
    for time, before, after, rows in _steps(count, batch, batch_sizes, reverse):
        all_gates, own, made = gates[time, :rows], product[:rows], bent[:rows]
        np.dot(hidden[before, :rows], turned, own)
        np.add(own, all_gates, own)
        np.tanh(own, own)
        np.multiply(own, scale, own)
        np.add(own, shift, all_gates)
        cell = cells[after, :rows]
        np.multiply(all_gates[:, size : 2 * size], cells[before, :rows], cell)
        np.multiply(all_gates[:, :size], all_gates[:, 2 * size : 3 * size], made)
        np.add(cell, made, cell)
        np.tanh(cell, made)
        if projection is None:
            np.multiply(all_gates[:, 3 * size :], made, hidden[after, :rows])
        else:
            np.dot(np.multiply(all_gates[:, 3 * size :], made, made), projection, hidden[after, :rows])
        if rows < batch:
            gates[time, rows:] = 0
            for history in (hidden, cells):
                history[after, rows:] = history[before, rows:]
    return _after(hidden, reverse), _last(hidden, reverse), _last(cells, reverse), gates, hidden, cells


def _lstm_layer_backward(
    gy: Array, gh: Array, gc: Array, x: Array, w_ih: Array, w_hh: Array, w_hr: Array | None, gates: Array, hidden: Array,
    cells: Array, batch_sizes: BatchSizes, reverse: bool, needs: Needs,
) -> Any:  # fmt: skip
    if _is_unfit(x):
        return NotImplemented
    (count, batch), size = x.shape[:2], gc.shape[1]
    weight = np.ascontiguousarray(w_hh)
    gh, gc = np.array(gh, order="C"), np.array(gc, order="C")
    g = np.empty(gates.shape, gates.dtype)
    room = np.empty((3, *gc.shape), gc.dtype)
    projection = None if w_hr is None else np.ascontiguousarray(w_hr)
    outer, made = np.zeros(gy.shape, gy.dtype), np.zeros((count, *gc.shape), gc.dtype)
    steep = np.empty(gates.shape[1:], gates.dtype)
    for time, before, after, rows in _steps(count, batch, batch_sizes, reverse, back=True):
        np.add(gh, gy[time], gh)
        own, slope, slopes, pull = g[time, :rows], gh[:rows], gc[:rows], gh[:rows]
        i, f, n, o = (gates[time, :rows, k * size : (k + 1) * size] for k in range(4))
        bent, part = room[0, :rows], room[1, :rows]
        np.tanh(cells[after, :rows], bent)
        if projection is not None:
            pull = np.dot(slope, projection, room[2, :rows])
            outer[time, :rows] = slope
            np.multiply(o, bent, made[time, :rows])
        np.multiply(bent, bent, part)
        np.subtract(1, part, part)
        np.multiply(part, o, part)
        np.multiply(part, pull, part)
        np.add(slopes, part, slopes)
        np.multiply(slopes, n, own[:, :size])
        np.multiply(slopes, cells[before, :rows], own[:, size : 2 * size])
        np.multiply(slopes, i, own[:, 2 * size : 3 * size])
        np.multiply(pull, bent, own[:, 3 * size :])
        steps = steep[:rows]
        np.multiply(gates[time, :rows], gates[time, :rows], steps)
        np.subtract(gates[time, :rows], steps, steps)
        np.multiply(n, n, part)
        np.subtract(1, part, steps[:, 2 * size : 3 * size])
        np.multiply(own, steps, own)
        np.multiply(slopes, f, slopes)
        g[time, rows:] = 0
        np.dot(own, weight, slope)
    gx, *rest = _weights_backward(g, g, x, _before(hidden, reverse), w_ih, (needs[0], *needs[3:7]))
    projected = outer.reshape(-1, outer.shape[2]).T.dot(made.reshape(-1, size)) if needs[7] else None
    return gx, gh if needs[1] else None, gc if needs[2] else None, *rest, projected


# ---- gru -------------------------------------------------------------------------------------------------------------


def _gru_layer(
    x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, batch_sizes: BatchSizes,
    reverse: bool,
) -> Any:  # fmt: skip
    if _is_unfit(x):
        return NotImplemented
    (count, batch), size = x.shape[:2], h.shape[1]
    scale = _scale(size, "hh1", x)
    sums, turned = _input_sums(x, w_ih, [b_ih], scale), _turned(w_hh, scale)
    bias = None if b_hh is None else np.multiply(b_hh, scale)
    hidden, gates = _history(h, count, reverse), np.zeros((count, batch, 4 * size), x.dtype)
    product = np.empty((batch, 3 * size), x.dtype)
    for time, before, after, rows in _steps(count, batch, batch_sizes, reverse):
        own, old, new = product[:rows], hidden[before, :rows], hidden[after, :rows]
        both, n, hn = np.split(gates[time, :rows], (2 * size, 3 * size), 1)
        np.dot(old, turned, own)
        if bias is not None:
            np.add(own, bias, own)
        np.add(own[:, : 2 * size], sums[time, :rows, : 2 * size], both)
        np.tanh(both, both)
        np.multiply(both, 0.5, both)
        np.add(both, 0.5, both)
        hn[...] = own[:, 2 * size :]
        np.multiply(both[:, :size], hn, n)
        np.add(n, sums[time, :rows, 2 * size :], n)
        np.tanh(n, n)
        np.subtract(old, n, new)
        np.multiply(new, both[:, size:], new)
        np.add(new, n, new)
        hidden[after, rows:] = hidden[before, rows:]
    return _after(hidden, reverse), _last(hidden, reverse), gates, hidden


def _gru_layer_backward(
    gy: Array, gh: Array, x: Array, w_ih: Array, w_hh: Array, gates: Array, hidden: Array, batch_sizes: BatchSizes,
    reverse: bool, needs: Needs,
) -> Any:  # fmt: skip
    if _is_unfit(x):
        return NotImplemented
    (count, batch), size = x.shape[:2], gh.shape[1]
    weight, gh = np.ascontiguousarray(w_hh), np.array(gh, order="C")
    gi, gr = np.zeros((2, count, batch, 3 * size), x.dtype)
    part, product = np.empty((2, *gh.shape), gh.dtype)
    steep = np.empty((batch, 2 * size), gh.dtype)
    for time, before, _, rows in _steps(count, batch, batch_sizes, reverse, back=True):
        np.add(gh, gy[time], gh)
        slope, made, steps = gh[:rows], part[:rows], steep[:rows]
        both, n, hn = np.split(gates[time, :rows], (2 * size, 3 * size), 1)
        r, z = both[:, :size], both[:, size:]
        own_r, own_z, own_n = np.split(gi[time, :rows], 3, 1)
        np.multiply(both, both, steps)
        np.subtract(both, steps, steps)
        np.multiply(n, n, own_n)
        np.subtract(1, own_n, own_n)
        np.multiply(own_n, slope, own_n)
        np.subtract(1, z, made)
        np.multiply(own_n, made, own_n)
        np.subtract(hidden[before, :rows], n, own_z)
        np.multiply(own_z, slope, own_z)
        np.multiply(own_n, hn, own_r)
        np.multiply(gi[time, :rows, : 2 * size], steps, gi[time, :rows, : 2 * size])
        gr[time, :rows, : 2 * size] = gi[time, :rows, : 2 * size]
        np.multiply(own_n, r, gr[time, :rows, 2 * size :])
        np.multiply(slope, z, slope)
        np.dot(gr[time, :rows], weight, product[:rows])
        np.add(slope, product[:rows], slope)
    gx, *rest = _weights_backward(gi, gr, x, _before(hidden, reverse), w_ih, (needs[0], *needs[2:]))
    return gx, gh if needs[1] else None, *rest


class RecurrentKernels:
    """Kernels of float32 and float64, and the half types in float32; empty inputs are left to the composition."""

    rnn_layer = fused("rnn_layer", _rnn_layer, partial=True)
    rnn_layer_backward = fused("rnn_layer_backward", _rnn_layer_backward, partial=True)
    lstm_layer = fused("lstm_layer", _lstm_layer, partial=True)
    lstm_layer_backward = fused("lstm_layer_backward", _lstm_layer_backward, partial=True)
    gru_layer = fused("gru_layer", _gru_layer, partial=True)
    gru_layer_backward = fused("gru_layer_backward", _gru_layer_backward, partial=True)
