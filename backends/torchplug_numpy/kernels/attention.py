"""Scaled dot product attention: batches of matrix products with a softmax between, in place."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from torchplug_numpy.kernels.fused import fused
from torchplug_numpy.kernels.rows import by_rows, row_maxima, row_sums
from torchplug_spec.backend import Array

__all__ = ["AttentionKernels"]


@functools.lru_cache(maxsize=8)
def _later(rows: int, columns: int, character: str) -> Array:
    """Returns minus infinity where a key comes after its query, else 0."""
    return np.where(np.tri(rows, columns, dtype=bool), 0, -np.inf).astype(character)


def _softmax_in_place(scores: Array) -> Array:
    width = scores.shape[-1]

    def block(out: Array, x: Array) -> None:
        np.subtract(x, row_maxima(x), out)
        np.exp(out, out)
        np.divide(out, row_sums(out), out)

    return by_rows(block, -1, scores) if width else scores


def _attention(query: Array, key: Array, value: Array, bias: Array | None, causal: bool, scale: float) -> Any:
    if query.dtype.char not in "fd" or bias is not None or not query.size or not key.size:
        return NotImplemented
    scores = np.matmul(np.multiply(query, query.dtype.type(scale)), key.swapaxes(-1, -2))
    if causal:
        np.add(scores, _later(*scores.shape[-2:], scores.dtype.char), scores)
    weights = _softmax_in_place(scores)
    return np.matmul(weights, value), weights


def _attention_backward(
    g: Array,
    query: Array,
    key: Array,
    value: Array,
    weights: Array,
    scale: float,
    bias_shape: tuple,
    needs: tuple[bool, ...],
) -> Any:
    if needs[3] or g.dtype.char not in "fd" or not query.shape[:-2] == key.shape[:-2] == value.shape[:-2]:
        return NotImplemented
    slope: Any = None
    if needs[0] or needs[1]:
        slope = np.matmul(g, value.swapaxes(-1, -2))
        flat, rows = slope.reshape(-1, slope.shape[-1]), weights.reshape(-1, slope.shape[-1])
        np.multiply(flat, rows, flat)
        np.subtract(flat, np.multiply(rows, row_sums(flat)), flat)
        np.multiply(flat, g.dtype.type(scale), flat)
    return (
        np.matmul(slope, key) if needs[0] else None,
        np.matmul(slope.swapaxes(-1, -2), query) if needs[1] else None,
        np.matmul(weights.swapaxes(-1, -2), g) if needs[2] else None,
        None,
    )


class AttentionKernels:
    """Kernels without a mask but the causal one; others are left to the composition."""

    attention = fused("attention", _attention, partial=True)
    attention_backward = fused("attention_backward", _attention_backward, partial=True)
