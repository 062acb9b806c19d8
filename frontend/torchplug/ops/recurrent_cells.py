"""One step of a recurrent network: rnn_tanh_cell, rnn_relu_cell, gru_cell, lstm_cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.dims import wrap_dim
from torchplug._core.elementwise import argument_error
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.activations import relu
from torchplug.ops.exponential import sigmoid
from torchplug.ops.linear import linear
from torchplug.ops.splitting import chunk
from torchplug.ops.trigonometry import tanh

__all__ = ["gru_cell", "lstm_cell", "rnn_relu_cell", "rnn_tanh_cell"]


def _check(name: str, input: Any, states: Sequence[Any], w_ih: Any, w_hh: Any, gates: int) -> None:
    """Raises PyTorch's error for arguments that do not fit."""
    for known, x in (("input", input), ("w_ih", w_ih), ("w_hh", w_hh), *(("hx", state) for state in states)):
        if not isinstance(x, Tensor):
            raise argument_error(name, known, "Tensor", x)
    size, hidden = shape_of(input), shape_of(w_hh)[wrap_dim(1, len(shape_of(w_hh)))]
    if size[wrap_dim(1, len(size))] != shape_of(w_ih)[1]:
        raise RuntimeError(f"input has inconsistent input_size: got {size[1]} expected {shape_of(w_ih)[1]}")
    for place, state in enumerate(states):
        shape = shape_of(state)
        if shape[0] != size[0]:
            raise RuntimeError(f"Input batch size {size[0]} doesn't match hidden{place} batch size {shape[0]}")
        if shape[wrap_dim(1, len(shape))] != hidden:
            raise RuntimeError(f"hidden{place} has inconsistent hidden_size: got {shape[1]}, expected {hidden}")
    if shape_of(w_ih)[0] != gates * hidden:
        raise RuntimeError(
            f"weight_ih first dim must be {gates} * hidden_size = {gates * hidden}, but got {shape_of(w_ih)[0]}"
        )


def _samples_of(gates: int, states: int = 1) -> Callable[..., Iterable[Sample]]:
    def samples(make: Any) -> Iterable[Sample]:
        for biases in (2, 0):
            hidden = tuple(make(2, 4) for _ in range(states))
            weights = [make(gates * 4, width, low=-0.6, high=0.6) for width in (3, 4)]
            rest = [make(gates * 4, low=-0.6, high=0.6) for _ in range(biases)]
            yield Sample(make(2, 3), hidden if states > 1 else hidden[0], *weights, *rest)

    return samples


def _errors_of(gates: int, states: int = 1) -> Callable[[], Iterable[Sample]]:
    def errors() -> Iterable[Sample]:
        def zeros(*shape: int) -> np.ndarray:
            return np.zeros(shape, np.float32)

        def hx(*shape: int) -> Any:
            return (zeros(*shape),) * states if states > 1 else zeros(*shape)

        w_ih, w_hh = zeros(gates * 4, 3), zeros(gates * 4, 4)
        words = "input has inconsistent input_size: got 5 expected 3"
        yield Sample(zeros(2, 5), hx(2, 4), w_ih, w_hh, error=(RuntimeError, words))
        words = "Input batch size 2 doesn't match hidden0 batch size 3"
        yield Sample(zeros(2, 3), hx(3, 4), w_ih, w_hh, error=(RuntimeError, words))
        words = "hidden0 has inconsistent hidden_size: got 5, expected 4"
        yield Sample(zeros(2, 3), hx(2, 5), w_ih, w_hh, error=(RuntimeError, words))

    return errors


@declare(samples=_samples_of(1), errors=_errors_of(1), method=False, differentiable=True)
def rnn_tanh_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """Returns tanh(W_ih x + b_ih + W_hh h + b_hh): (B, in) and (B, hidden) give (B, hidden)."""
    _check("rnn_tanh_cell", input, (hx,), w_ih, w_hh, 1)
    return tanh(linear(hx, w_hh, b_hh) + linear(input, w_ih, b_ih))


@declare(samples=_samples_of(1), errors=_errors_of(1), method=False, differentiable=True)
def rnn_relu_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """Returns relu(W_ih x + b_ih + W_hh h + b_hh): (B, in) and (B, hidden) give (B, hidden)."""
    _check("rnn_relu_cell", input, (hx,), w_ih, w_hh, 1)
    return relu(linear(hx, w_hh, b_hh) + linear(input, w_ih, b_ih))


@declare(samples=_samples_of(3), errors=_errors_of(3), method=False, differentiable=True)
def gru_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """Returns the next state of a gated recurrent unit: (B, in) and (B, hidden) give (B, hidden).

    Gates r, z, n in this order in the weights (3 * hidden, in) and (3 * hidden, hidden): h' = (1 - z) n + z h, and r scales
    W_hn h + b_hn inside n. Source: Cho et al. 2014, equations 5 to 8.
    """
    _check("gru_cell", input, (hx,), w_ih, w_hh, 3)
    xr, xz, xn = chunk(linear(input, w_ih, b_ih), 3, 1)
    hr, hz, hn = chunk(linear(hx, w_hh, b_hh), 3, 1)
    n = tanh(xn + sigmoid(xr + hr) * hn)
    return (hx - n) * sigmoid(xz + hz) + n


def _lstm_errors() -> Iterable[Sample]:
    yield from _errors_of(4, 2)()
    x, w_ih, w_hh = (np.zeros(shape, np.float32) for shape in ((2, 3), (16, 3), (16, 4)))
    h, longer = np.zeros((2, 4), np.float32), np.zeros((3, 4), np.float32)
    yield Sample(x, (h,), w_ih, w_hh, error=(RuntimeError, "lstm_cell expects two hidden states"))
    yield Sample(x, (h, longer), w_ih, w_hh, error=(RuntimeError, "doesn't match hidden1 batch size 3"))
    yield Sample(x, (h, h), w_ih[:15], w_hh, error=(RuntimeError, "first dim must be 4 * hidden_size = 16, but got 15"))
    yield Sample(x, h, w_ih, w_hh, error=(TypeError, "must be tuple of Tensors, not Tensor"))


@declare(samples=_samples_of(4, 2), errors=_lstm_errors, method=False, differentiable=True)
def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns the next hidden and cell states of a long short-term memory: (B, in) and two (B, hidden) give two (B, hidden).

    Gates i, f, g, o in this order in the weights (4 * hidden, in) and (4 * hidden, hidden): c' = f c + i g, h' = o tanh(c').
    Source: Gers et al. 2000, equations 1 to 6.
    """
    if not isinstance(hx, (tuple, list)):
        raise TypeError(f"lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors, not {type(hx).__name__}")
    if len(hx) != 2:
        raise RuntimeError("lstm_cell expects two hidden states")
    _check("lstm_cell", input, hx, w_ih, w_hh, 4)
    h, c = hx
    i, f, g, o = chunk(linear(h, w_hh, b_hh) + linear(input, w_ih, b_ih), 4, 1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c
