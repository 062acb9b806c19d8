"""Recurrent layers of a single step: RNNCell, LSTMCell, GRUCell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torchplug._core.device import DeviceLike
from torchplug._core.tensor import Parameter, Tensor
from torchplug.nn import init
from torchplug.nn.modules.module import Module
from torchplug.ops.creation import empty, zeros
from torchplug.ops.recurrent_cells import gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]


class RNNCellBase(Module):
    """What the cells share: the weights of `num_chunks` gates, their start, and how inputs are checked."""

    __constants__: tuple[str, ...] = ("input_size", "hidden_size", "bias")
    input_size: int
    hidden_size: int
    bias: bool
    weight_ih: Tensor
    weight_hh: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: DeviceLike = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty((rows, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(empty((rows, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            if bias:
                setattr(self, name, Parameter(empty(rows, device=device, dtype=dtype)))
            else:
                self.register_parameter(name, None)
        self.reset_parameters()

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.bias is not True:
            parts.append(f"bias={self.bias}")
        nonlinearity = self.__dict__.get("nonlinearity", "tanh")
        if nonlinearity != "tanh":
            parts.append(f"nonlinearity={nonlinearity}")
        return ", ".join(parts)

    def reset_parameters(self) -> None:
        """Draws the weights anew, uniform in ±1/√hidden_size."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _check_dimensions(self, x: Tensor, name: str) -> None:
        if x.dim() not in (1, 2):
            raise ValueError(f"{type(self).__name__}: Expected {name} to be 1D or 2D, got {x.dim()}D instead")

    def _weights(self) -> tuple[Tensor, ...]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _batch_of(self, input: Tensor, hx: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns input and state with a batch dimension, zeros for a state that is not given."""
        self._check_dimensions(input, "input")
        if hx is not None:
            self._check_dimensions(hx, "hidden")
        batched = input.dim() == 2
        input = input if batched else input.unsqueeze(0)
        if hx is None:
            return input, self._zeros(input)
        return input, hx if batched else hx.unsqueeze(0)

    def _zeros(self, input: Tensor) -> Tensor:
        return zeros(input.size(0), self.hidden_size, dtype=input.dtype, device=input.device)


class RNNCell(RNNCellBase):
    """Computes h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu of it, for one step.

    Shape: input (B, input_size) or (input_size), hx (B, hidden_size) or (hidden_size), zeros if not given.
    """

    __constants__ = ("input_size", "hidden_size", "bias", "nonlinearity")
    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: DeviceLike = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        rows, state = self._batch_of(input, hx)
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        cell = rnn_tanh_cell if self.nonlinearity == "tanh" else rnn_relu_cell
        out = cell(rows, state, *self._weights())
        return out if input.dim() == 2 else out.squeeze(0)


class LSTMCell(RNNCellBase):
    """Computes one step of a long short-term memory; gates i, f, g, o.

    Shape: input (B, input_size) or (input_size), hx a pair of (B, hidden_size) or (hidden_size), zeros if not given. Returns
    the next pair.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: DeviceLike = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: Sequence[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        self._check_dimensions(input, "input")
        batched = input.dim() == 2
        rows = input if batched else input.unsqueeze(0)
        if hx is None:
            start = self._zeros(rows)
            hx = (start, start)
        elif isinstance(hx, (tuple, list)):
            for place, state in enumerate(hx):
                self._check_dimensions(state, f"hx[{place}]")
            hx = hx if batched else tuple(state.unsqueeze(0) for state in hx)
        h, c = lstm_cell(rows, hx, *self._weights())
        return (h, c) if batched else (h.squeeze(0), c.squeeze(0))


class GRUCell(RNNCellBase):
    """Computes one step of a gated recurrent unit; gates r, z, n.

    Shape: input (B, input_size) or (input_size), hx (B, hidden_size) or (hidden_size), zeros if not given.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: DeviceLike = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        rows, state = self._batch_of(input, hx)
        out = gru_cell(rows, state, *self._weights())
        return out if input.dim() == 2 else out.squeeze(0)
