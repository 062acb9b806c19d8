"""Recurrent layers in one direction over a whole sequence: one op each, with the gradient through all steps as its rule.

Sequences are (T, B, inputs). Where they end at different times, `batch_sizes[t]` says how many of the first rows still run at
step t; the states of the others stay as they are, so that the last state of each row is that of its own last step. Histories
of states are (T + 1, B, ·) in the order of time: step t goes from place t to t + 1, in reverse from t + 1 to t.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torchplug._core.kernels import composition
from torchplug._core.op import Op

__all__ = ["GRU_LAYER", "LSTM_LAYER", "LSTM_LAYER_STEPS", "RNN_LAYER"]

Needs = tuple[bool, ...]
BatchSizes = tuple[int, ...] | None


# ---- rows and steps --------------------------------------------------------------------------------------------------


def _times(count: int, reverse: bool) -> Iterator[int]:
    return reversed(range(count)) if reverse else iter(range(count))


def _at(F: Any, x: Any, time: int, rows: int) -> Any:
    """Returns the first rows of one step."""
    return F.slice(x, (time, slice(0, rows, 1), slice(0, x.shape[2], 1)))


def _top(F: Any, x: Any, rows: int) -> Any:
    return x if rows == x.shape[0] else F.slice(x, (slice(0, rows, 1), slice(0, x.shape[1], 1)))


def _placed(F: Any, new: Any, old: Any) -> Any:
    """Returns `old` with its first rows replaced."""
    rows, count = new.shape[0], old.shape[0]
    if rows == count:
        return new
    return F.concat([new, F.slice(old, (slice(rows, count, 1), slice(0, old.shape[1], 1)))], 0)


def _filled(F: Any, x: Any, count: int) -> Any:
    """Returns rows with zeros after them, `count` in all."""
    rows, width = x.shape
    return x if rows == count else F.concat([x, F.zeros_of(x, (count - rows, width))], 0)


def _parts(F: Any, x: Any, count: int) -> list[Any]:
    """Returns the equal parts of the columns."""
    rows, width = x.shape[0], x.shape[1] // count
    return [F.slice(x, (slice(0, rows, 1), slice(k * width, (k + 1) * width, 1))) for k in range(count)]


def _forwards(
    F: Any, step: Callable[..., Any], x: Any, states: tuple, batch_sizes: BatchSizes, reverse: bool
) -> tuple[Any, tuple, list[Any], list[Any]]:
    """Runs `step(rows of x, *rows of states)`, which returns the new states and what to keep for the gradient.

    Returns the outputs (T, B, ·), the last states, the histories of the states, and what was kept (T, B, ·).
    """
    count, batch = x.shape[0], x.shape[1]
    moments, kept = [states], []
    for time in _times(count, reverse):
        rows = batch if batch_sizes is None else batch_sizes[time]
        new, keep = step(_at(F, x, time, rows), *[_top(F, state, rows) for state in states])
        states = tuple([_placed(F, one, other) for one, other in zip(new, states, strict=True)])
        moments.append(states)
        kept.append([_filled(F, each, batch) for each in keep])
    outputs = [moment[0] for moment in moments[1:]]
    if reverse:
        for each in (moments, kept, outputs):
            each.reverse()
    histories = [F.stack([moment[place] for moment in moments], 0) for place in range(len(states))]
    return F.stack(outputs, 0), states, histories, [F.stack(list(each), 0) for each in zip(*kept, strict=True)]


def _backwards(
    F: Any, step: Callable[..., Any], gy: Any, slopes: tuple, batch_sizes: BatchSizes, reverse: bool
) -> tuple[tuple, list[Any]]:
    """Runs `step(time, rows, *gradients of the states after)`, which returns those of the states before and what to keep.

    Returns the gradients of the first states, and what was kept (T, B, ·).
    """
    count, batch = gy.shape[0], gy.shape[1]
    kept = []
    for time in _times(count, not reverse):
        rows = batch if batch_sizes is None else batch_sizes[time]
        slopes = (F.add(slopes[0], _at(F, gy, time, batch)), *slopes[1:])
        new, keep = step(time, rows, *[_top(F, slope, rows) for slope in slopes])
        slopes = tuple([_placed(F, one, other) for one, other in zip(new, slopes, strict=True)])
        kept.append([_filled(F, each, batch) for each in keep])
    if not reverse:
        kept.reverse()
    return slopes, [F.stack(list(each), 0) for each in zip(*kept, strict=True)]


def _before(F: Any, history: Any, reverse: bool) -> Any:
    """Returns the states before each step."""
    count, batch, width = history.shape
    first = 1 if reverse else 0
    return F.slice(history, (slice(first, first + count - 1, 1), slice(0, batch, 1), slice(0, width, 1)))


def _affine(F: Any, x: Any, weight: Any, bias: Any) -> Any:
    out = F.linear(x, weight, None)
    return out if bias is None else F.add(out, bias)


def _sums(F: Any, g: Any) -> Any:
    return F.sum(g, (0, 1), False)


def _weights_backward(
    F: Any, gi: Any, gr: Any, x: Any, before: Any, w_ih: Any, needs: Needs
) -> tuple[Any, Any, Any, Any, Any]:
    """Returns the gradients of x, w_ih, w_hh, b_ih and b_hh from those of both sums, x w_ih + b_ih and h w_hh + b_hh."""
    return (
        F.matmul(gi, w_ih) if needs[0] else None,
        F.linear_backward_weight(gi, x) if needs[1] else None,
        F.linear_backward_weight(gr, before) if needs[2] else None,
        _sums(F, gi) if needs[3] else None,
        _sums(F, gr) if needs[4] else None,
    )


def _through_sigmoid(F: Any, g: Any, out: Any) -> Any:
    return F.multiply(g, F.multiply(out, F.subtract(1, out)))


def _through_tanh(F: Any, g: Any, out: Any) -> Any:
    return F.multiply(g, F.subtract(1, F.multiply(out, out)))


# ---- rnn -------------------------------------------------------------------------------------------------------------


def _rnn_layer(
    F: Any,
    x: Any,
    h: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    relu: bool,
    batch_sizes: BatchSizes,
    reverse: bool,
) -> tuple:
    """Returns h' = tanh(x w_ih + b_ih + h w_hh + b_hh), or relu of it, for all steps, and the last."""

    def step(sums: Any, h: Any) -> tuple:
        sums = F.add(sums, _affine(F, h, w_hh, b_hh))
        return (F.relu(sums) if relu else F.tanh(sums),), ()

    y, (last,), (hidden,), _ = _forwards(F, step, _affine(F, x, w_ih, b_ih), (h,), batch_sizes, reverse)
    return y, last, hidden


@composition
def rnn_layer_backward(
    F: Any, gy: Any, gh: Any, x: Any, w_ih: Any, w_hh: Any, hidden: Any, relu: bool, batch_sizes: BatchSizes, reverse: bool,
    needs: Needs,
) -> tuple:  # fmt: skip
    """Returns the gradients of x, h, w_ih, w_hh, b_ih, b_hh (None where not needed)."""

    def step(time: int, rows: int, gh: Any) -> tuple:
        h = _at(F, hidden, time if reverse else time + 1, rows)
        g = F.threshold_backward(gh, h, 0) if relu else _through_tanh(F, gh, h)
        return (F.matmul(g, w_hh),), (g,)

    (gh,), (g,) = _backwards(F, step, gy, (gh,), batch_sizes, reverse)
    gx, *rest = _weights_backward(F, g, g, x, _before(F, hidden, reverse), w_ih, (needs[0], *needs[2:]))
    return gx, gh if needs[1] else None, *rest


def _rnn_rule(
    F: Any, g: tuple, x: Any, w_ih: Any, w_hh: Any, hidden: Any, relu: bool, batch_sizes: BatchSizes, reverse: bool,
    needs: Needs,
) -> tuple:  # fmt: skip
    return F.rnn_layer_backward(*g, x, w_ih, w_hh, hidden, relu, batch_sizes, reverse, needs)


_RNN_TENSORS = ("x", "h", "w_ih", "w_hh", "b_ih", "b_hh")
RNN_LAYER = Op(
    "rnn_layer", (*_RNN_TENSORS, "relu", "batch_sizes", "reverse"), tensors=_RNN_TENSORS, forward=_rnn_layer, outputs=2,
    residuals=("hidden",), joint=_rnn_rule, fused_rule=True, node="StackBackward0",
)  # fmt: skip


# ---- lstm ------------------------------------------------------------------------------------------------------------


def _lstm_layer(
    F: Any, x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, w_hr: Any, batch_sizes: BatchSizes,
    reverse: bool,
) -> tuple:  # fmt: skip
    """Returns the hidden states of all steps, the last, and the last cell state.

    Source: Gers et al. 2000, equations 1 to 6; with w_hr, Sak et al. 2014, equation 5.
    """

    def step(sums: Any, h: Any, c: Any) -> tuple:
        sums = F.add(sums, _affine(F, h, w_hh, b_hh))
        i, f, g, o = _parts(F, sums, 4)
        i, f, g, o = F.sigmoid(i), F.sigmoid(f), F.tanh(g), F.sigmoid(o)
        c = F.add(F.multiply(f, c), F.multiply(i, g))
        h = F.multiply(o, F.tanh(c))
        if w_hr is not None:
            h = F.linear(h, w_hr, None)
        return (h, c), (F.concat([i, f, g, o], 1),)

    y, states, (hidden, cells), (gates,) = _forwards(F, step, _affine(F, x, w_ih, b_ih), (h, c), batch_sizes, reverse)
    return y, *states, gates, hidden, cells


@composition
def lstm_layer_backward(
    F: Any, gy: Any, gh: Any, gc: Any, x: Any, w_ih: Any, w_hh: Any, w_hr: Any, gates: Any, hidden: Any, cells: Any,
    batch_sizes: BatchSizes, reverse: bool, needs: Needs,
) -> tuple:  # fmt: skip
    """Returns the gradients of x, h, c, w_ih, w_hh, b_ih, b_hh, w_hr (None where not needed)."""

    def step(time: int, rows: int, gh: Any, gc: Any) -> tuple:
        i, f, g, o = _parts(F, _at(F, gates, time, rows), 4)
        past, c = (_at(F, cells, time + place, rows) for place in ((1, 0) if reverse else (0, 1)))
        bent = F.tanh(c)
        gm = gh if w_hr is None else F.matmul(gh, w_hr)
        gc = F.add(gc, _through_tanh(F, F.multiply(gm, o), bent))
        sums = F.concat(
            [
                _through_sigmoid(F, F.multiply(gc, g), i),
                _through_sigmoid(F, F.multiply(gc, past), f),
                _through_tanh(F, F.multiply(gc, i), g),
                _through_sigmoid(F, F.multiply(gm, bent), o),
            ],
            1,
        )
        made = () if w_hr is None else (gh, F.multiply(o, bent))
        return (F.matmul(sums, w_hh), F.multiply(gc, f)), (sums, *made)

    (gh, gc), (sums, *made) = _backwards(F, step, gy, (gh, gc), batch_sizes, reverse)
    gx, *rest = _weights_backward(F, sums, sums, x, _before(F, hidden, reverse), w_ih, (needs[0], *needs[3:7]))
    projected = F.linear_backward_weight(*made) if needs[7] else None
    return gx, gh if needs[1] else None, gc if needs[2] else None, *rest, projected


def _lstm_rule(
    F: Any, g: tuple, x: Any, w_ih: Any, w_hh: Any, w_hr: Any, gates: Any, hidden: Any, cells: Any, batch_sizes: BatchSizes,
    reverse: bool, needs: Needs,
) -> tuple:  # fmt: skip
    return F.lstm_layer_backward(*g, x, w_ih, w_hh, w_hr, gates, hidden, cells, batch_sizes, reverse, needs)


def _lstm_op(node: str) -> Op:
    tensors = ("x", "h", "c", "w_ih", "w_hh", "b_ih", "b_hh", "w_hr")
    return Op(
        "lstm_layer", (*tensors, "batch_sizes", "reverse"), tensors=tensors, forward=_lstm_layer, outputs=3,
        residuals=("gates", "hidden", "cells"), joint=_lstm_rule, fused_rule=True, node=node,
    )  # fmt: skip


LSTM_LAYER = _lstm_op("MkldnnRnnLayerBackward0")
LSTM_LAYER_STEPS = _lstm_op("StackBackward0")
"""The same, named as PyTorch's LSTM where oneDNN does not run it: in other types, packed, or with a projection."""


# ---- gru -------------------------------------------------------------------------------------------------------------


def _gru_layer(
    F: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, batch_sizes: BatchSizes, reverse: bool
) -> tuple:
    """Returns the hidden states of all steps, and the last. Source: Cho et al. 2014, equations 5 to 8, r after the product."""

    def step(sums: Any, h: Any) -> tuple:
        (xr, xz, xn), (hr, hz, hn) = _parts(F, sums, 3), _parts(F, _affine(F, h, w_hh, b_hh), 3)
        r, z = F.sigmoid(F.add(xr, hr)), F.sigmoid(F.add(xz, hz))
        n = F.tanh(F.add(xn, F.multiply(r, hn)))
        return (F.add(n, F.multiply(z, F.subtract(h, n))),), (F.concat([r, z, n, hn], 1),)

    y, (last,), (hidden,), (gates,) = _forwards(F, step, _affine(F, x, w_ih, b_ih), (h,), batch_sizes, reverse)
    return y, last, gates, hidden


@composition
def gru_layer_backward(
    F: Any, gy: Any, gh: Any, x: Any, w_ih: Any, w_hh: Any, gates: Any, hidden: Any, batch_sizes: BatchSizes, reverse: bool,
    needs: Needs,
) -> tuple:  # fmt: skip
    """Returns the gradients of x, h, w_ih, w_hh, b_ih, b_hh (None where not needed)."""

    def step(time: int, rows: int, gh: Any) -> tuple:
        r, z, n, hn = _parts(F, _at(F, gates, time, rows), 4)
        past = _at(F, hidden, time + 1 if reverse else time, rows)
        gn = _through_tanh(F, F.multiply(gh, F.subtract(1, z)), n)
        gz = _through_sigmoid(F, F.multiply(gh, F.subtract(past, n)), z)
        gr = _through_sigmoid(F, F.multiply(gn, hn), r)
        from_hidden = F.concat([gr, gz, F.multiply(gn, r)], 1)
        return (F.add(F.multiply(gh, z), F.matmul(from_hidden, w_hh)),), (F.concat([gr, gz, gn], 1), from_hidden)

    (gh,), (gi, gr) = _backwards(F, step, gy, (gh,), batch_sizes, reverse)
    gx, *rest = _weights_backward(F, gi, gr, x, _before(F, hidden, reverse), w_ih, (needs[0], *needs[2:]))
    return gx, gh if needs[1] else None, *rest


def _gru_rule(
    F: Any, g: tuple, x: Any, w_ih: Any, w_hh: Any, gates: Any, hidden: Any, batch_sizes: BatchSizes, reverse: bool,
    needs: Needs,
) -> tuple:  # fmt: skip
    return F.gru_layer_backward(*g, x, w_ih, w_hh, gates, hidden, batch_sizes, reverse, needs)


GRU_LAYER = Op(
    "gru_layer", (*_RNN_TENSORS, "batch_sizes", "reverse"), tensors=_RNN_TENSORS, forward=_gru_layer, outputs=2,
    residuals=("gates", "hidden"), joint=_gru_rule, fused_rule=True, node="StackBackward0",
)  # fmt: skip
