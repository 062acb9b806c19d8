"""Batches of rows of tensors, by one gather each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from torchplug._core.modes import grad_enabled
from torchplug._core.tensor import Tensor, array_of, wrap
from torchplug_spec import dtypes as dt

__all__ = ["as_places", "take_rows"]


def take_rows(tensors: Sequence[Tensor], indices: Sequence[int]) -> Any:
    """Returns `[t.index_select(0, indices) for t in tensors]`, new memory, dtype kept.

    NotImplemented where the plain way must decide: gradients are recorded, or an index is no int in range.
    """
    places = as_places(indices, len(tensors[0]))
    if places is None:
        return NotImplemented
    batch = []
    for tensor in tensors:
        if type(tensor) is not Tensor or (tensor._node is not None and grad_enabled()):
            return NotImplemented
        kind = tensor._kind
        F = kind.F
        chosen = F.from_numpy(places, kind.native_device)
        batch.append(wrap(F.take(array_of(tensor), chosen, 0), kind))
    return batch


def as_places(indices: Sequence[int], length: int) -> Any:
    """Returns indices as an int64 array counted from the front, None when one is no int in range."""
    try:
        places = np.array(indices)
    except (TypeError, ValueError, RuntimeError):
        return None
    if places.ndim != 1 or places.size == 0 or places.dtype != dt.int64.numpy:
        return None
    low = places.min()
    if low < -length or places.max() >= length:
        return None
    return np.where(places < 0, places + length, places) if low < 0 else places
