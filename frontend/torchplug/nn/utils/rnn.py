"""Sequences of different lengths: packed for recurrent networks, padded, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from torchplug._core.host import host_array
from torchplug._core.tensor import Tensor
from torchplug.ops.from_data import tensor
from torchplug.ops.packing import _pack_padded_sequence, _pad_packed_sequence, pad_sequence, sizes_tensor
from torchplug.ops.scattering import index_select
from torchplug_spec import dtypes as dt

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence", "pad_sequence",
    "unpack_sequence", "unpad_sequence",
]  # fmt: skip


class PackedSequence_(NamedTuple):
    """The fields of a PackedSequence."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(PackedSequence_):
    """The steps of a batch of sequences without padding: first all first steps, then all second steps, and so on.

    Shape: data (sum of lengths, ...); batch_sizes (T,) int64 on the CPU, how many sequences there are at each step;
    sorted_indices (B,) the sequences by falling length and unsorted_indices the way back, or None. Made by
    pack_padded_sequence and pack_sequence.
    """

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not isinstance(data, (list, tuple)) or len(data) != 2:
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. They should "
                "be instantiated by functions like pack_sequence and pack_padded_sequences in nn.utils.rnn. "
                "https://pytorch.org/docs/stable/nn.html#torch.nn.utils.rnn.pack_sequence"
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Returns the sequences with `data.to(*args, **kwargs)`, itself if nothing changes; the indices go along."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        indices = [None if x is None else x.to(data.device) for x in (self.sorted_indices, self.unsorted_indices)]
        return type(self)(data, self.batch_sizes, *indices)

    def pin_memory(self) -> PackedSequence:
        """Returns the sequences in pinned memory."""
        indices = [None if x is None else x.pin_memory() for x in (self.sorted_indices, self.unsorted_indices)]
        return type(self)(self.data.pin_memory(), self.batch_sizes, *indices)

    def cuda(self, device: Any = None) -> PackedSequence:
        """Returns the sequences on a GPU."""
        return self.to(device="cuda" if device is None else device)

    def cpu(self) -> PackedSequence:
        """Returns the sequences on the CPU."""
        return self.to(device="cpu")

    def double(self) -> PackedSequence:
        """Returns the sequences as float64."""
        return self.to(dtype=dt.float64)

    def float(self) -> PackedSequence:
        """Returns the sequences as float32."""
        return self.to(dtype=dt.float32)

    def half(self) -> PackedSequence:
        """Returns the sequences as float16."""
        return self.to(dtype=dt.float16)

    def long(self) -> PackedSequence:
        """Returns the sequences as int64."""
        return self.to(dtype=dt.int64)

    def int(self) -> PackedSequence:
        """Returns the sequences as int32."""
        return self.to(dtype=dt.int32)

    def short(self) -> PackedSequence:
        """Returns the sequences as int16."""
        return self.to(dtype=dt.int16)

    def char(self) -> PackedSequence:
        """Returns the sequences as int8."""
        return self.to(dtype=dt.int8)

    def byte(self) -> PackedSequence:
        """Returns the sequences as uint8."""
        return self.to(dtype=dt.uint8)

    @property
    def is_cuda(self) -> bool:
        """Whether the data are on a GPU."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Says whether the data are in pinned memory."""
        return self.data.is_pinned()


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """Returns the permutation that undoes one, (B,) int64; None for None."""
    if permutation is None:
        return None
    inverse = np.argsort(host_array(permutation), kind="stable").astype(np.int64)
    return tensor(inverse, dtype=permutation.dtype, device=permutation.device)


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Returns padded sequences packed.

    Shape: input (T, B, ...), or (B, T, ...) if `batch_first`; lengths (B,) on the CPU, falling unless `enforce_sorted` is False.
    """
    values = host_array(lengths) if isinstance(lengths, Tensor) else np.asarray(lengths)
    values = values.astype(np.int64)
    if enforce_sorted:
        return PackedSequence(*_pack_padded_sequence(input, sizes_tensor(values), batch_first))
    places = np.argsort(-values, kind="stable")
    order, back = (tensor(x, dtype=dt.int64, device=input.device) for x in (places, np.argsort(places)))
    rows = index_select(input, 0 if batch_first else 1, order)
    return PackedSequence(*_pack_padded_sequence(rows, sizes_tensor(values[places]), batch_first), order, back)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns packed sequences padded, (T, B, ...), or (B, T, ...) if `batch_first`, and their lengths (B,) on the CPU.

    T is the longest length, or `total_length`. Raises ValueError if that is too small.
    """
    longest = sequence.batch_sizes.size(0)
    if total_length is not None and total_length < longest:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total_length} and max sequence length being {longest}"
        )
    padded, lengths = _pad_packed_sequence(
        sequence.data,
        sequence.batch_sizes,
        batch_first,
        padding_value,
        longest if total_length is None else total_length,
    )
    back = sequence.unsorted_indices
    if back is None:
        return padded, lengths
    return index_select(padded, 0 if batch_first else 1, back), lengths[back.cpu()]


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """Returns the sequences of a padded batch, each as long as it is.

    Shape: padded_sequences (T, B, ...), or (B, T, ...) if `batch_first`; lengths (B,).
    """
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[: int(length)] for row, length in zip(rows.unbind(0), host_array(lengths), strict=False)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Returns a list of sequences (L, ...) packed; by falling length unless `enforce_sorted` is False."""
    lengths = [x.size(0) for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Returns packed sequences as a list."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
