"""Packed sequences: the steps of sequences of falling lengths one after the other, without the padding."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.dims import wrap_dim
from torchplug._core.elementwise import argument_error, convert
from torchplug._core.host import host_array
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor, cell_of, shape_of
from torchplug.ops.from_data import tensor
from torchplug.ops.joining import cat
from torchplug.ops.views import transpose
from torchplug_spec import dtypes as dt

__all__ = ["batch_sizes_of", "check_rows", "host_sizes", "pack_steps", "pad_sequence", "pad_steps", "sizes_tensor"]

BatchSizes = tuple[int, ...]


# ---- between rows of all steps and padded steps ----------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _places(batch_sizes: BatchSizes, batch: int) -> np.ndarray:
    """Returns where in (T * batch) padded rows each packed row lies."""
    return np.concatenate([time * batch + np.arange(rows) for time, rows in enumerate(batch_sizes)])


@functools.lru_cache(maxsize=256)
def _sources(batch_sizes: BatchSizes, batch: int, length: int) -> np.ndarray:
    """Returns which packed row each of (length * batch) padded rows is; the number of packed rows where it is none."""
    sources = np.full(length * batch, sum(batch_sizes), np.int64)
    sources[_places(batch_sizes, batch)] = np.arange(sum(batch_sizes))
    return sources


def _pack(F: Any, padded: Any, batch_sizes: BatchSizes) -> Any:
    length, batch, *rest = padded.shape
    flat = F.reshape(padded, (length * batch, *rest))
    return F.take(flat, F.host(_places(batch_sizes, batch), flat), 0)


def _pad(F: Any, data: Any, batch_sizes: BatchSizes, batch: int, length: int, value: float) -> Any:
    rest = tuple(data.shape)[1:]
    longer = F.concat([data, F.full_of(data, (1, *rest), value)], 0)
    rows = F.take(longer, F.host(_sources(batch_sizes, batch, length), data), 0)
    return F.reshape(rows, (length, batch, *rest))


def _pack_rule(F: Any, g: Any, padded_shape: tuple[int, ...], batch_sizes: BatchSizes) -> Any:
    return F.pad_packed_rows(g, batch_sizes, padded_shape[1], padded_shape[0], 0)


def _pack_op(node: str) -> Op:
    return Op("pack_padded_rows", ("padded", "batch_sizes"), tensors=("padded",), forward=_pack, node=node,
              rules={"padded": _pack_rule})  # fmt: skip


PACK = _pack_op("PackPaddedSequenceBackward0")
PACK_STEPS = _pack_op("CatBackward0")
"""The same, named as the outputs of PyTorch's packed layers: it joins their steps."""
PAD = Op(
    "pad_packed_rows", ("data", "batch_sizes", "batch", "length", "value"), tensors=("data",), forward=_pad,
    rules={"data": lambda F, g, batch_sizes: F.pack_padded_rows(g, batch_sizes)}, node="CopySlices",
)  # fmt: skip


def pad_steps(data: Tensor, batch_sizes: BatchSizes) -> Tensor:
    """Returns packed rows (sum of batch sizes, ...) as steps (T, B, ...), with zeros where sequences have ended."""
    return PAD(data, batch_sizes, batch_sizes[0], len(batch_sizes), 0)


def pack_steps(padded: Tensor, batch_sizes: BatchSizes) -> Tensor:
    """Returns steps (T, B, ...) as packed rows."""
    return PACK_STEPS(padded, batch_sizes)


def batch_sizes_of(lengths: Sequence[int], longest: int) -> BatchSizes:
    """Returns how many sequences of falling lengths there are at each step."""
    falling = np.asarray(lengths, np.int64)
    return tuple(int(count) for count in (falling[None, :] > np.arange(longest)[:, None]).sum(1))


def host_sizes(sizes: Tensor) -> tuple[int, ...]:
    """Returns the values of a tensor of sizes."""
    return tuple(int(size) for size in host_array(sizes).reshape(-1))


def sizes_tensor(sizes: Sequence[int] | np.ndarray) -> Tensor:
    """Returns sizes as int64 on the CPU, whose values stay known on the host, also while compile traces."""
    values = np.asarray(sizes, np.int64)
    out = tensor(values, dtype=dt.int64, device="cpu")
    if not out._kind.mutable:
        cell = cell_of(out)
        cell.array, cell.mirror = None, values
        cell.forget()
    return out


def check_rows(data: Tensor, batch_sizes: BatchSizes) -> None:
    """Raises RuntimeError unless there are as many packed rows as the batch sizes say."""
    size = shape_of(data)
    if size[0] != sum(batch_sizes):
        shape = [len(batch_sizes), *batch_sizes[:1], *size[1:]]
        raise RuntimeError(f"shape '{shape}' is invalid for input of size {math.prod(size)}")


# ---- the functions ---------------------------------------------------------------------------------------------------


def _pack_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(5, 3, 2), np.array([5, 3, 1]), False)
    yield Sample(make(2, 4), np.array([4, 4]), True)
    yield Sample(make(4, 2, 2, 1), np.array([3, 2]), False)


def _pack_errors() -> Iterable[Sample]:
    x = np.ones((5, 2, 3), np.float32)
    yield Sample(x, np.array([3, 5]), False, error=(RuntimeError, "must be sorted in decreasing order"))
    yield Sample(x, np.array([5, 0]), False, error=(RuntimeError, "has to be greater than 0"))
    yield Sample(x, np.array([5]), False, error=(RuntimeError, "to be equal to batch_size, but got 1 (batch_size=2)"))
    yield Sample(x, np.array([[5, 2]]), False, error=(RuntimeError, "should be a 1D CPU int64 tensor, but got 2D"))
    yield Sample(x[:0], np.array([5, 2]), False, error=(RuntimeError, "Cannot pack empty tensors."))
    yield Sample(x[0, 0], np.array([5]), False, error=(IndexError, "Dimension out of range"))


@declare(op=PACK, samples=_pack_samples, errors=_pack_errors, method=False, dtypes=("float", "complex", "int"))
def _pack_padded_sequence(input: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
    """Returns the rows of all steps (sum of lengths, ...), and how many sequences there are at each step, int64.

    Shape: input (T, B, ...), or (B, T, ...) if `batch_first`; lengths (B,), falling, on the CPU.
    """
    _check_pack(input, lengths)
    steps = transpose(input, 0, 1) if batch_first else input
    size = shape_of(steps)
    host = host_sizes(lengths)
    if len(host) != size[1]:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(host)} (batch_size={size[1]})"
        )
    if host and min(host) <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if any(one < other for one, other in zip(host, host[1:], strict=False)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you do not need "
            "ONNX exportability."
        )
    if host[0] > size[0]:
        raise RuntimeError(f"got a length of {host[0]}, expected at most {size[0]}, the steps of the padded input")
    batch_sizes = batch_sizes_of(host, host[0])
    return PACK(steps, batch_sizes), sizes_tensor(batch_sizes)


def _check_pack(input: Any, lengths: Any) -> None:
    for name, x in (("input", input), ("lengths", lengths)):
        if not isinstance(x, Tensor):
            raise argument_error("_pack_padded_sequence", name, "Tensor", x)
    if not math.prod(shape_of(input)):
        raise RuntimeError("Cannot pack empty tensors.")
    wrap_dim(1, len(shape_of(input)))
    if len(shape_of(lengths)) != 1 or lengths.device.type != "cpu" or lengths._kind.dtype is not dt.int64:
        raise RuntimeError(
            f"'lengths' argument should be a 1D CPU int64 tensor, but got {len(shape_of(lengths))}D {lengths.device.type} "
            f"{scalar_type_name(lengths._kind.dtype)} tensor"
        )


def _pad_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(9, 2), np.array([3, 2, 2, 1, 1]), False, 0.0, -1)
    yield Sample(make(5), np.array([2, 2, 1]), True, 0.5, 5)


def _pad_errors() -> Iterable[Sample]:
    x = np.ones((6, 3), np.float32)
    words = "Expected total_length to be at least the length of the longest sequence in input, but got total_length=3"
    yield Sample(x, np.array([2, 2, 1, 1]), False, 0.0, 3, error=(RuntimeError, words))


@declare(op=PAD, samples=_pad_samples, errors=_pad_errors, method=False)
def _pad_packed_sequence(
    data: Tensor, batch_sizes: Tensor, batch_first: bool, padding_value: complex, total_length: int = -1
) -> tuple[Tensor, Tensor]:
    """Returns the steps (T, B, ...) of packed rows with `padding_value` after the ends, and the lengths (B,), int64.

    With `batch_first` a transposed view (B, T, ...). T is the longest length, or `total_length` if positive.
    """
    for name, x in (("data", data), ("batch_sizes", batch_sizes)):
        if not isinstance(x, Tensor):
            raise argument_error("_pad_packed_sequence", name, "Tensor", x)
    host = host_sizes(batch_sizes)
    longest = len(host)
    if 0 < total_length < longest:
        raise RuntimeError(
            "Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total_length} and max sequence length being {longest}"
        )
    check_rows(data, host)
    lengths = [sum(rows > place for rows in host) for place in range(host[0])]
    steps = PAD(data, host, host[0], max(longest, total_length), padding_value)
    if batch_first:
        steps = transpose(steps, 0, 1)
    return steps, sizes_tensor(lengths)


# ---- sequences in a list ---------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _list_places(lengths: tuple[int, ...], longest: int, left: bool) -> np.ndarray:
    """Returns where in (B * longest) padded rows the rows of sequences joined end to end lie."""
    starts = [row * longest + (longest - length if left else 0) for row, length in enumerate(lengths)]
    return np.concatenate([start + np.arange(length) for start, length in zip(starts, lengths, strict=True)])


def _pad_list(F: Any, data: Any, lengths: tuple[int, ...], longest: int, left: bool, value: complex) -> Any:
    rest = tuple(data.shape)[1:]
    longer = F.concat([data, F.full_of(data, (1, *rest), value)], 0)
    sources = np.full(len(lengths) * longest, sum(lengths), np.int64)
    sources[_list_places(lengths, longest, left)] = np.arange(sum(lengths))
    return F.reshape(F.take(longer, F.host(sources, data), 0), (len(lengths), longest, *rest))


def _pad_list_rule(F: Any, g: Any, lengths: tuple[int, ...], longest: int, left: bool) -> Any:
    flat = F.reshape(g, (len(lengths) * longest, *tuple(g.shape)[2:]))
    return F.take(flat, F.host(_list_places(lengths, longest, left), flat), 0)


PAD_LIST = Op(
    "pad_sequence", ("data", "lengths", "longest", "left", "value"), tensors=("data",), forward=_pad_list,
    rules={"data": _pad_list_rule}, node="CopySlices",
)  # fmt: skip


def _list_samples(make: Any) -> Iterable[Sample]:
    yield Sample([make(2, 3), make(4, 3), make(1, 3)])
    yield Sample([make(3), make(2)], True, 1.0, "left")
    yield Sample((make(2, 2, 1), make(3, 2, 1)), batch_first=True)


def _list_errors() -> Iterable[Sample]:
    x = np.ones(3, np.float32)
    yield Sample([], error=(RuntimeError, "received an empty list of sequences"))
    yield Sample([x, x], padding_side="foo", error=(RuntimeError, "to be one of left or right, but got foo"))
    yield Sample(3, error=(RuntimeError, "Expected iterable for input sequences, but got arg of type"))
    yield Sample([3], error=(TypeError, "expected Tensor as element 0"))


@declare(op=PAD_LIST, samples=_list_samples, errors=_list_errors, method=False, public=False,
         name="nn.utils.rnn.pad_sequence", dtypes=("float", "complex", "int"))  # fmt: skip
def pad_sequence(
    sequences: Tensor | Sequence[Tensor],
    batch_first: bool = False,
    padding_value: complex = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Returns sequences (L, ...) side by side, (longest, B, ...), or (B, longest, ...) if `batch_first`, in the first's type.

    Shorter ones have `padding_value` after them, or before them if `padding_side` is "left".
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    rows = list(sequences)
    for place, x in enumerate(rows):
        if not isinstance(x, Tensor):
            raise TypeError(f"expected Tensor as element {place} in argument 0, but got {type(x).__name__}")
    if not rows:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    dtype, rest = rows[0]._kind.dtype, shape_of(rows[0])[1:]
    for x in rows:
        if shape_of(x)[1:] != rest:
            raise RuntimeError(
                f"got a sequence of shape {list(shape_of(x))}, expected [any length, {str(list(rest))[1:-1]}] as the first"
            )
    lengths = tuple(shape_of(x)[0] for x in rows)
    data = cat([x if x._kind.dtype is dtype else convert(x, dtype) for x in rows])
    out = PAD_LIST(data, lengths, max(lengths), padding_side == "left", padding_value)
    return out if batch_first else transpose(out, 0, 1).contiguous()
