"""Recurrent networks over whole sequences: rnn_tanh, rnn_relu, gru, lstm, in layers and in both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from torchplug._core.autocasting import CASTING, casting, uncast
from torchplug._core.autocasting import state as autocast_state
from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import argument_error, convert
from torchplug._core.naming import scalar_type_name
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.dropout import dropout as drop
from torchplug.ops.joining import cat, stack
from torchplug.ops.packing import check_rows, host_sizes, pack_steps, pad_steps
from torchplug.ops.products import CPP_NAMES, shapes_error
from torchplug.ops.recurrent_layers import GRU_LAYER, LSTM_LAYER, LSTM_LAYER_STEPS, RNN_LAYER
from torchplug.ops.views import select, transpose
from torchplug_spec import dtypes as dt

__all__ = ["Call", "gru", "lstm", "rnn_relu", "rnn_tanh", "run_gru", "run_lstm", "run_rnn"]

BatchSizes = tuple[int, ...] | None
Weights = Sequence[Tensor | None]
Layer = Callable[[Tensor, "tuple[Tensor, ...]", Weights, BatchSizes, bool], tuple[Tensor, ...]]


class Call(NamedTuple):
    """The arguments of one call, packed (`batch_sizes` given) or not."""

    input: Tensor
    batch_sizes: Tensor | None
    hx: Any
    params: Sequence[Tensor]
    has_biases: bool
    num_layers: int
    dropout: float
    train: bool
    bidirectional: bool
    batch_first: bool = False


_TAIL = ("params", "has_biases", "num_layers", "dropout", "train", "bidirectional")
_FORMS = (("input", "hx", *_TAIL, "batch_first"), ("data", "batch_sizes", "hx", *_TAIL))


def _bound(name: str, args: tuple, keywords: dict[str, Any]) -> Call:
    """Returns the arguments of one of the two forms: packed data have the batch sizes before the states."""
    packed = "batch_sizes" in keywords or (len(args) > 2 and type(args[1]) is Tensor and _states_first(args[2]))
    names = _FORMS[packed]
    given = dict(zip(names, args, strict=False)) | keywords
    if len(given) != len(args) + len(keywords) or set(given) != set(names) or len(args) > len(names):
        shown = ", ".join([type(each).__name__ for each in args] + [f"{key}=" for key in keywords])
        forms = " or ".join(f"({', '.join(form)})" for form in _FORMS)
        raise TypeError(f"{name}() got ({shown}), expected {forms}")
    data = given.pop("data" if packed else "input")
    if not isinstance(data, Tensor):
        raise argument_error(name, names[0], "Tensor", data, 1)
    return Call(input=data, batch_sizes=given.pop("batch_sizes", None), **given)


def _states_first(x: Any) -> bool:
    """Says whether an argument is states, one tensor or two, and not the list of weights that follows them."""
    return isinstance(x, Tensor) or (isinstance(x, (tuple, list)) and len(x) <= 2 and all(_is_deep(each) for each in x))


def _is_deep(x: Any) -> bool:
    return isinstance(x, Tensor) and len(shape_of(x)) == 3


# ---- layers ----------------------------------------------------------------------------------------------------------


def _run(call: Call, layer: Layer, states: list[tuple[Tensor, ...]], groups: list[Weights]) -> tuple[Tensor, ...]:
    """Returns the outputs of the last layer, and the last states of all layers and directions, each stacked."""
    directions = 2 if call.bidirectional else 1
    batch_sizes = None if call.batch_sizes is None else host_sizes(call.batch_sizes)
    x = transpose(call.input, 0, 1) if call.batch_first else call.input
    if batch_sizes is not None:
        check_rows(x, batch_sizes)
        x = pad_steps(x, batch_sizes)
    lasts: list[tuple[Tensor, ...]] = []
    for number in range(call.num_layers):
        if number and call.train and call.dropout:
            x = _dropped(x, call.dropout, batch_sizes)
        outs = []
        for place in range(directions * number, directions * (number + 1)):
            y, *last = layer(x, states[place], groups[place], batch_sizes, place % directions == 1)
            outs.append(y)
            lasts.append(tuple(last))
        x = outs[0] if directions == 1 else cat(outs, 2)
    if batch_sizes is not None:
        x = pack_steps(x, batch_sizes)
    elif call.batch_first:
        x = transpose(x, 0, 1)
    return x, *[stack(each) for each in zip(*lasts, strict=True)]


def _dropped(x: Tensor, p: float, batch_sizes: BatchSizes) -> Tensor:
    """Drops between layers; of packed sequences PyTorch draws for the steps that exist alone."""
    if batch_sizes is None:
        return drop(x, p)
    return pad_steps(drop(pack_steps(x, batch_sizes), p), batch_sizes)


def _prepared(
    name: str, call: Call, hidden: Sequence[Tensor], gates: int, extra: int = 0
) -> tuple[list[tuple[Tensor, ...]], list[Weights]]:
    """Returns the first states and the weights of each layer and direction, checked.

    Weights are w_ih, w_hh, b_ih, b_hh, and w_hr if there is an `extra` one.
    """
    count = call.num_layers * (2 if call.bidirectional else 1)
    size = (4 if call.has_biases else 2) + extra
    input = call.input
    if call.batch_sizes is None and shape_of(input)[1 if call.batch_first else 0] == 0:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    if len(call.params) != count * size:
        raise RuntimeError("got an incorrect number of RNN parameters")
    if any(shape_of(each)[0] != count for each in hidden):
        raise RuntimeError("Expected more hidden states in stacked_rnn")
    _check_types(name, input, (*hidden, *call.params))
    groups: list[Weights] = []
    for start in range(0, count * size, size):
        own = list(call.params[start : start + size])
        biases = own[2:4] if call.has_biases else [None, None]
        groups.append([*own[:2], *biases, own[-1] if extra else None])
    _check_sizes(call, hidden, groups, gates)
    return [tuple(select(each, 0, place) for each in hidden) for place in range(count)], groups


def _check_types(name: str, input: Tensor, others: Sequence[Any]) -> None:
    kind = input._kind
    for x in others:
        if not isinstance(x, Tensor):
            raise argument_error(name, "params", "Tensor", x)
        if x._kind.dtype is not kind.dtype:
            names = [CPP_NAMES[dtype.name] for dtype in (x._kind.dtype, kind.dtype)]
            raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {names[0]} != {names[1]}")
    if not kind.dtype.is_floating_point:
        raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_type_name(kind.dtype)}'")


def _check_sizes(call: Call, hidden: Sequence[Tensor], groups: Sequence[Weights], gates: int) -> None:
    size = shape_of(call.input)
    rows, batch = size[0], None
    if call.batch_sizes is None:
        rows, batch = size[0] * size[1], size[0 if call.batch_first else 1]
    directions = 2 if call.bidirectional else 1
    width = size[-1]
    for place, (w_ih, w_hh, *_) in enumerate(groups):
        if place and place % directions == 0:
            width = shape_of(hidden[0])[2] * directions
        for weight, entry in ((w_ih, (rows, width)), (w_hh, shape_of(hidden[0])[1:])):
            if weight is None or len(shape_of(weight)) != 2 or shape_of(weight)[1] != entry[1]:
                shape = shape_of(weight) if weight is not None else ()
                raise shapes_error(entry, shape[::-1] if len(shape) == 2 else (*shape, 1)[:2])
        for weight in (w_ih, w_hh):
            if weight is not None and shape_of(weight)[0] != gates * shape_of(hidden[-1])[2]:
                raise RuntimeError(
                    f"got a weight of shape {list(shape_of(weight))}, expected {gates} * hidden_size = "
                    f"{gates * shape_of(hidden[-1])[2]} rows"
                )
    for state in hidden:
        if batch is not None and shape_of(state)[1] != batch:
            raise RuntimeError(
                f"The size of tensor a ({shape_of(state)[1]}) must match the size of tensor b ({batch}) at non-singleton dimension 0"
            )


def run_rnn(call: Call, relu: bool) -> tuple[Tensor, Tensor]:
    """Returns the outputs and the last states of a plain recurrent network."""
    if CASTING and (cast := casting("rnn_relu" if relu else "rnn_tanh")) is not None:
        return cast(lambda *fields: run_rnn(Call(*fields), relu), *call)

    def layer(x: Tensor, state: tuple[Tensor, ...], weights: Weights, sizes: BatchSizes, reverse: bool) -> Any:
        return RNN_LAYER(x, *state, *weights[:4], relu, sizes, reverse)

    y, h = _run(call, layer, *_prepared("rnn_relu" if relu else "rnn_tanh", call, (call.hx,), 1))
    return y, h


def run_gru(call: Call) -> tuple[Tensor, Tensor]:
    """Returns the outputs and the last states of a gated recurrent unit."""
    if CASTING and (cast := casting("gru")) is not None:
        return cast(lambda *fields: run_gru(Call(*fields)), *call)

    def layer(x: Tensor, state: tuple[Tensor, ...], weights: Weights, sizes: BatchSizes, reverse: bool) -> Any:
        return GRU_LAYER(x, *state, *weights[:4], sizes, reverse)

    y, h = _run(call, layer, *_prepared("gru", call, (call.hx,), 3))
    return y, h


def run_lstm(call: Call) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the outputs, the last hidden states and the last cell states of a long short-term memory."""
    if not isinstance(call.hx, (tuple, list)) or len(call.hx) != 2:
        raise RuntimeError("lstm expects two hidden states")
    hidden, cells = call.hx
    projected = shape_of(hidden)[-1] != shape_of(cells)[-1]
    if CASTING and (cast := casting("lstm")) is not None:
        if call.input._kind.device.type != "cpu" or not (projected or call.batch_sizes is not None):
            return cast(lambda *fields: run_lstm(Call(*fields)), *call)
        # Such memories PyTorch's CPU computes step by step: cells stay in float32, and so does all that is not projected.
        y, h, c = uncast(run_lstm, call)
        lower = autocast_state().dtypes["cpu"] if projected and y._kind.dtype is not dt.float64 else y._kind.dtype
        return convert(y, lower), convert(h, lower), c
    steps = projected or call.batch_sizes is not None or call.input._kind.dtype is not dt.float32
    op = LSTM_LAYER_STEPS if steps else LSTM_LAYER

    def layer(x: Tensor, state: tuple[Tensor, ...], weights: Weights, sizes: BatchSizes, reverse: bool) -> Any:
        return op(x, *state, *weights, sizes, reverse)

    y, h, c = _run(call, layer, *_prepared("lstm", call, (hidden, cells), 4, int(projected)))
    return y, h, c


# ---- the functions ---------------------------------------------------------------------------------------------------


def _weights(make: Any, sizes: Sequence[int], hidden: int, gates: int, biases: bool, project: int = 0) -> tuple:
    """Returns the weights of layers whose inputs have these sizes."""
    made = []
    for size in sizes:
        made += [
            make(gates * hidden, size, low=-0.6, high=0.6),
            make(gates * hidden, project or hidden, low=-0.6, high=0.6),
        ]
        if biases:
            made += [make(gates * hidden, low=-0.6, high=0.6), make(gates * hidden, low=-0.6, high=0.6)]
        if project:
            made.append(make(project, hidden, low=-0.6, high=0.6))
    return tuple(made)


def _samples_of(gates: int, hx: Callable[..., Any]) -> Callable[..., Iterable[Sample]]:
    def samples(make: Any) -> Iterable[Sample]:
        def weights(*sizes: int, biases: bool = True) -> tuple:
            return _weights(make, sizes, 4, gates, biases)

        # Packed calls are no samples: PyTorch reads batch sizes that are not contiguous beyond their memory.
        # x, states, weights, has_biases, num_layers, dropout, train, bidirectional, batch_first
        yield Sample(make(5, 2, 3), hx(make, 1, 2, 4), weights(3), True, 1, 0.0, True, False, False)
        yield Sample(make(2, 4, 3), hx(make, 4, 2, 4), weights(3, 3, 8, 8), True, 2, 0.0, False, True, True)
        yield Sample(make(3, 2, 3), hx(make, 2, 2, 4), weights(3, 4, biases=False), False, 2, 0.4, True, False, False)

    return samples


def _one(make: Any, *shape: int) -> Any:
    return make(*shape, low=-1.0, high=1.0)


def _two(make: Any, *shape: int) -> Any:
    return _one(make, *shape), _one(make, *shape)


def _lstm_samples(make: Any) -> Iterable[Sample]:
    yield from _samples_of(4, _two)(make)
    hx = (_one(make, 2, 2, 2), _one(make, 2, 2, 4))
    yield Sample(make(3, 2, 3), hx, _weights(make, (3, 3), 4, 4, True, 2), True, 1, 0.0, False, True, False)


def _errors_of(gates: int, pair: bool = False) -> Callable[[], Iterable[Sample]]:
    def errors() -> Iterable[Sample]:
        def zeros(*shape: int) -> np.ndarray:
            return np.zeros(shape, np.float32)

        def call(x: np.ndarray, h: np.ndarray, w_ih: np.ndarray, **facts: Any) -> Sample:
            return Sample(
                x, (h, h) if pair else h, (w_ih, zeros(gates * 4, 4)), False, 1, 0.0, False, False, False, **facts
            )

        x, h, w_ih = zeros(5, 2, 3), zeros(1, 2, 4), zeros(gates * 4, 3)
        if not pair:  # oneDNN has other words, or none
            yield call(x, zeros(2, 2, 4), w_ih, error=(RuntimeError, "Expected more hidden states in stacked_rnn"))
            yield call(x, zeros(1, 3, 4), w_ih, error=(RuntimeError, "The size of tensor a (3) must match the size"))
            yield call(x, h, zeros(gates * 4, 7), error=(RuntimeError, "cannot be multiplied (10x3 and 7x"))
            yield call(x, h.astype(np.float64), w_ih, error=(RuntimeError, "to have the same dtype, but got: double"))
            words = "got an incorrect number of RNN parameters"
            yield Sample(x, h, (w_ih,), False, 1, 0.0, False, False, False, error=(RuntimeError, words))
        else:
            words = "lstm expects two hidden states"
            yield Sample(x, (h,), (w_ih, w_ih), False, 1, 0.0, False, False, False, error=(RuntimeError, words))
        words = "Expected sequence length to be larger than 0 in RNN"
        yield call(x[:0], h, w_ih, error=(RuntimeError, words))

    return errors


@declare(op=RNN_LAYER, samples=_samples_of(1, _one), errors=_errors_of(1), method=False, asks=True)
def rnn_tanh(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """Returns the outputs and the last states of h' = tanh(W_ih x + b_ih + W_hh h + b_hh).

    Takes (input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first), or packed
    (data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional).
    Shape: input (T, B, in), or (B, T, in) if batch_first; hx (layers * directions, B, hidden); params are w_ih, w_hh, b_ih,
    b_hh of each layer and direction. The outputs are (T, B, directions * hidden).
    """
    return run_rnn(_bound("rnn_tanh", args, kwargs), False)


@declare(op=RNN_LAYER, samples=_samples_of(1, _one), errors=_errors_of(1), method=False, asks=True)
def rnn_relu(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """Returns the outputs and the last states of h' = relu(W_ih x + b_ih + W_hh h + b_hh). Takes what `rnn_tanh` takes."""
    return run_rnn(_bound("rnn_relu", args, kwargs), True)


@declare(op=GRU_LAYER, samples=_samples_of(3, _one), errors=_errors_of(3), method=False, asks=True)
def gru(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """Returns the outputs and the last states of gated recurrent units; gates r, z, n. Takes what `rnn_tanh` takes."""
    return run_gru(_bound("gru", args, kwargs))


@declare(op=LSTM_LAYER, samples=_lstm_samples, errors=_errors_of(4, True), method=False, asks=True)
def lstm(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the outputs, last hidden states and last cell states of long short-term memories; gates i, f, g, o.

    Takes what `rnn_tanh` takes, but hx is a pair: hidden states (layers * directions, B, hidden or projected) and cell states
    (layers * directions, B, hidden). If the two sizes differ, each layer has a fifth weight, w_hr (projected, hidden).
    """
    return run_lstm(_bound("lstm", args, kwargs))
