"""Recurrent layers over whole sequences: RNN, LSTM, GRU; and the cells, which take single steps."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

from torchplug._core.device import DeviceLike
from torchplug._core.host import host_array
from torchplug._core.tensor import Parameter, Tensor
from torchplug.nn import init
from torchplug.nn.modules.module import Module
from torchplug.nn.modules.recurrent_cells import GRUCell, LSTMCell, RNNCell, RNNCellBase
from torchplug.nn.utils.rnn import PackedSequence
from torchplug.ops.creation import empty, zeros
from torchplug.ops.recurrent import Call, run_gru, run_lstm, run_rnn
from torchplug.ops.scattering import index_select

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

for _cell in (GRUCell, LSTMCell, RNNCell, RNNCellBase):
    _cell.__module__ = __name__  # where PyTorch has it, and pickles say so

States = Any
_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _apply_permutation(x: Tensor, permutation: Tensor, dim: int = 1) -> Tensor:
    return index_select(x, dim, permutation)


class RNNBase(Module):
    """What RNN, LSTM and GRU share: options, weights, checks. `mode` is RNN_TANH, RNN_RELU, LSTM or GRU."""

    __constants__ = (
        "mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size",
    )  # fmt: skip
    mode: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: DeviceLike = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._check_options(dropout)
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse") if bidirectional else ("",):
                self._make_weights(layer, suffix, device, dtype)
        self.reset_parameters()

    def _check_options(self, dropout: Any) -> None:
        if isinstance(dropout, bool) or not isinstance(dropout, numbers.Number) or not 0 <= self.dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if self.dropout > 0 and self.num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers greater "
                f"than 1, but got dropout={self.dropout} and num_layers={self.num_layers}",
                stacklevel=4,
            )
        if not isinstance(self.hidden_size, int):
            raise TypeError(f"hidden_size should be of type int, got: {type(self.hidden_size).__name__}")
        for name in ("input_size", "hidden_size", "num_layers"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if self.proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if self.proj_size >= self.hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if self.mode not in _GATES:
            raise ValueError(f"Unrecognized RNN mode: {self.mode}")

    def _make_weights(self, layer: int, suffix: str, device: DeviceLike, dtype: Any) -> None:
        rows = _GATES[self.mode] * self.hidden_size
        width = self.proj_size or self.hidden_size
        inputs = self.input_size if layer == 0 else width * (2 if self.bidirectional else 1)
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs), "weight_hh": (rows, width)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        for name, shape in shapes.items():
            setattr(self, f"{name}_l{layer}{suffix}", Parameter(empty(shape, device=device, dtype=dtype)))
        self._all_weights.append([f"{name}_l{layer}{suffix}" for name in shapes])

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The weights of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Does nothing: no engine wants the weights in one piece of memory."""

    def reset_parameters(self) -> None:
        """Draws the weights anew, uniform in ±1/√hidden_size."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        known = self.__dict__
        if "all_weights" in state:
            known["_all_weights"] = known.pop("all_weights")
        known.setdefault("proj_size", 0)
        for name in (
            "_flat_weights",
            "_flat_weights_names",
            "_flat_weight_refs",
        ):  # PyTorch's, read from the names here
            known.pop(name, None)

    # ---- checks -----------------------------------------------------------------------------------------------------

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Raises unless the input has the type of the weights and the dimensions of sequences."""
        weight = getattr(self, self._all_weights[0][0])
        if input.dtype is not weight.dtype:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). Convert input: "
                f"input.to({weight.dtype}), or convert model: model.to({input.dtype})"
            )
        expected = 2 if batch_sizes is not None else 3
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}"
            )

    def _count(self) -> int:
        return self.num_layers * (2 if self.bidirectional else 1)

    def _batch(self, input: Tensor, batch_sizes: Tensor | None) -> int:
        if batch_sizes is not None:
            return int(host_array(batch_sizes)[0])
        return input.size(0 if self.batch_first else 1)

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """Returns the shape the hidden states must have."""
        return self._count(), self._batch(input, batch_sizes), self.proj_size or self.hidden_size

    def check_hidden_size(
        self, hx: Tensor, expected_hidden_size: tuple[int, int, int], msg: str = "Expected hidden size {}, got {}"
    ) -> None:
        """Raises RuntimeError unless states have the expected shape."""
        if tuple(hx.shape) != tuple(expected_hidden_size):
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.shape)))

    def check_forward_args(self, input: Tensor, hidden: States, batch_sizes: Tensor | None) -> None:
        """Raises unless input and states fit the layer."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: States, permutation: Tensor | None) -> States:
        """Returns states with the sequences of the batch in another order."""
        return hx if permutation is None else _apply_permutation(hx, permutation)

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.proj_size != 0:
            parts.append(f"proj_size={self.proj_size}")
        if self.num_layers != 1:
            parts.append(f"num_layers={self.num_layers}")
        for name, usual in (("bias", True), ("batch_first", False), ("dropout", 0), ("bidirectional", False)):
            if getattr(self, name) is not usual and getattr(self, name) != usual:
                parts.append(f"{name}={getattr(self, name)}")
        return ", ".join(parts)

    # ---- the run ----------------------------------------------------------------------------------------------------

    def _first_states(self, input: Tensor, batch: int, width: int) -> Tensor:
        return zeros(self._count(), batch, width, dtype=input.dtype, device=input.device)

    def _call(self, input: Tensor, batch_sizes: Tensor | None, hx: States) -> Call:
        return Call(
            input, batch_sizes, hx, self._flat_weights, self.bias, self.num_layers, self.dropout, self.training,
            self.bidirectional, self.batch_first and batch_sizes is None,
        )  # fmt: skip

    def _check_dimensions(self, input: Tensor, words: str) -> bool:
        """Says whether the input has a batch; ValueError if it is neither one sequence nor a batch."""
        if input.dim() not in (2, 3):
            raise ValueError(f"{type(self)._name}: Expected input to be 2D or 3D, got {input.dim()}D{words} instead")
        return input.dim() == 3

    _name = "RNN"


class _OneState(RNNBase):
    """A network with one kind of state: RNN, GRU."""

    def _run(self, call: Call) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _forward(self, input: Any, hx: Tensor | None, words: str) -> tuple[Any, Tensor]:
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        batched = self._check_dimensions(input, words)
        if hx is not None and hx.dim() != input.dim():
            kind = "batched 3-D" if batched else "unbatched 2-D"
            raise RuntimeError(f"For {kind} input, hx should also be {input.dim()}-D but got {hx.dim()}-D tensor")
        if not batched:
            input = input.unsqueeze(0 if self.batch_first else 1)
            hx = None if hx is None else hx.unsqueeze(1)
        if hx is None:
            hx = self._first_states(input, self._batch(input, None), self.hidden_size)
        self.check_forward_args(input, hx, None)
        y, h = self._run(self._call(input, None, hx))
        return (y, h) if batched else (y.squeeze(0 if self.batch_first else 1), h.squeeze(1))

    def _forward_packed(self, packed: PackedSequence, hx: Tensor | None) -> tuple[PackedSequence, Tensor]:
        data, batch_sizes, order, back = packed
        if hx is None:
            hx = self._first_states(data, self._batch(data, batch_sizes), self.hidden_size)
        else:
            hx = self.permute_hidden(hx, order)
        self.check_forward_args(data, hx, batch_sizes)
        y, h = self._run(self._call(data, batch_sizes, hx))
        return PackedSequence(y, batch_sizes, order, back), self.permute_hidden(h, back)


class RNN(_OneState):
    """Runs h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu of it, over sequences. Source: Elman 1990.

    Shape: input (T, B, input_size), (B, T, input_size) if batch_first, (T, input_size), or a PackedSequence; hx
    (num_layers * directions, B, hidden_size), zeros if not given. Returns outputs (T, B, directions * hidden_size) and the
    last states. The weights start uniform in ±1/√hidden_size.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int | None = None,
        device: DeviceLike = None,
        dtype: Any = None,
    ) -> None:
        _refuse_projection(proj_size)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(
            f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device=device, dtype=dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity

    def _run(self, call: Call) -> tuple[Tensor, Tensor]:
        return run_rnn(call, self.mode == "RNN_RELU")

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        return self._forward(input, hx, " tensor")


class GRU(_OneState):
    """Runs gated recurrent units over sequences; gates r, z, n. Source: Cho et al. 2014, with r after the product.

    Shape: input (T, B, input_size), (B, T, input_size) if batch_first, (T, input_size), or a PackedSequence; hx
    (num_layers * directions, B, hidden_size), zeros if not given. Returns outputs (T, B, directions * hidden_size) and the
    last states. The weights start uniform in ±1/√hidden_size.
    """

    _name = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int | None = None,
        device: DeviceLike = None,
        dtype: Any = None,
    ) -> None:
        _refuse_projection(proj_size)
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype
        )  # fmt: skip

    def _run(self, call: Call) -> tuple[Tensor, Tensor]:
        return run_gru(call)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        return self._forward(input, hx, "")


def _refuse_projection(proj_size: int | None) -> None:
    if proj_size is not None:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


class LSTM(RNNBase):
    """Runs long short-term memories over sequences; gates i, f, g, o. Source: Gers et al. 2000; Sak et al. 2014 (proj_size).

    Shape: input (T, B, input_size), (B, T, input_size) if batch_first, (T, input_size), or a PackedSequence; hx a pair, hidden
    states (num_layers * directions, B, proj_size or hidden_size) and cell states (num_layers * directions, B, hidden_size),
    zeros if not given. Returns outputs (T, B, directions * (proj_size or hidden_size)) and the last pair. The weights start
    uniform in ±1/√hidden_size.
    """

    _name = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: DeviceLike = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """Returns the shape the cell states must have."""
        return self._count(), self._batch(input, batch_sizes), self.hidden_size

    def check_forward_args(self, input: Tensor, hidden: States, batch_sizes: Tensor | None) -> None:
        """Raises unless input and states fit the layer."""
        self.check_input(input, batch_sizes)
        for place, expected in enumerate((self.get_expected_hidden_size, self.get_expected_cell_size)):
            words = f"Expected hidden[{place}] size {{}}, got {{}}"
            self.check_hidden_size(hidden[place], expected(input, batch_sizes), words)

    def permute_hidden(self, hx: States, permutation: Tensor | None) -> States:
        """Returns both states with the sequences of the batch in another order."""
        if permutation is None:
            return hx
        return _apply_permutation(hx[0], permutation), _apply_permutation(hx[1], permutation)

    def _zero_states(self, input: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        return (
            self._first_states(input, batch, self.proj_size or self.hidden_size),
            self._first_states(input, batch, self.hidden_size),
        )

    def forward(self, input: Any, hx: Sequence[Tensor] | None = None) -> tuple[Any, tuple[Tensor, Tensor]]:
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        batched = self._check_dimensions(input, "")
        if hx is not None and (hx[0].dim() != input.dim() or hx[1].dim() != input.dim()):
            kind = "batched 3-D" if batched else "unbatched 2-D"
            raise RuntimeError(
                f"For {kind} input, hx and cx should also be {input.dim()}-D but got ({hx[0].dim()}-D, {hx[1].dim()}-D) tensors"
            )
        if not batched:
            input = input.unsqueeze(0 if self.batch_first else 1)
            hx = None if hx is None else (hx[0].unsqueeze(1), hx[1].unsqueeze(1))
        if hx is None:
            hx = self._zero_states(input, self._batch(input, None))
        self.check_forward_args(input, hx, None)
        y, h, c = run_lstm(self._call(input, None, hx))
        return (y, (h, c)) if batched else (y.squeeze(0 if self.batch_first else 1), (h.squeeze(1), c.squeeze(1)))

    def _forward_packed(
        self, packed: PackedSequence, hx: Sequence[Tensor] | None
    ) -> tuple[PackedSequence, tuple[Tensor, Tensor]]:
        data, batch_sizes, order, back = packed
        if hx is None:
            hx = self._zero_states(data, self._batch(data, batch_sizes))
        else:
            hx = self.permute_hidden(hx, order)
        self.check_forward_args(data, hx, batch_sizes)
        y, h, c = run_lstm(self._call(data, batch_sizes, hx))
        return PackedSequence(y, batch_sizes, order, back), self.permute_hidden((h, c), back)
