"""Rows taken by index, and gradients added to them: sorted runs, never `np.add.at` on rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from torchplug_numpy.kernels.fused import fused
from torchplug_spec.backend import Array, Shape

__all__ = ["EmbeddingKernels"]


def _embedding(weight: Array, indices: Array, padding_idx: int, scale_by_frequency: bool) -> Array:
    return weight.take(indices, 0)


def _embedding_backward(g: Array, indices: Array, rows: int, padding_idx: int, scale_by_frequency: bool) -> Any:
    if scale_by_frequency:
        return NotImplemented
    out = add_rows(g.reshape(-1, g.shape[-1]), indices.reshape(-1), rows)
    if padding_idx >= 0:
        out[padding_idx] = 0
    return out


def add_rows(values: Array, places: Array, rows: int) -> Array:
    """Returns (rows, width) with every row of `values` added at its place."""
    out = np.zeros((rows, values.shape[1]), values.dtype)
    if not values.size:
        return out
    order = places.argsort(kind="stable")
    placed = places[order]
    starts = np.flatnonzero(np.concatenate([[True], placed[1:] != placed[:-1]]))
    if len(starts) == len(placed):  # no place twice
        out[places] = values
        return out
    out[placed[starts]] = np.add.reduceat(values[order], starts, 0)
    return out


def _take_backward(g: Array, indices: Array, shape: Shape, axis: int) -> Any:
    if axis != 0 or g.ndim != 2 or g.dtype.kind == "b":
        return NotImplemented
    return add_rows(g, indices, shape[0])


class EmbeddingKernels:
    """Kernels over rows; gradients scaled by frequency are left to the composition."""

    embedding = fused("embedding", _embedding)
    embedding_backward = fused("embedding_backward", _embedding_backward, partial=True)
    take_backward = fused("take_backward", _take_backward, partial=True)
