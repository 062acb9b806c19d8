"""Scaled dot product attention: matrix products with a softmax between, in place, for a few images or sentences at a time."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from torchplug_numpy.kernels.fused import BLOCK, fused
from torchplug_numpy.kernels.rows import row_maxima, row_sums
from torchplug_numpy.threads import run_blocks
from torchplug_spec.backend import Array, Shape

__all__ = ["AttentionKernels"]


@functools.lru_cache(maxsize=8)
def _later(rows: int, columns: int, character: str) -> Array:
    """Returns minus infinity where a key comes after its query, else 0."""
    return np.where(np.tri(rows, columns, dtype=bool), 0, -np.inf).astype(character)


def _softmax_in_place(scores: Array) -> None:
    flat = scores.reshape(-1, scores.shape[-1])
    np.subtract(flat, row_maxima(flat), flat)
    np.exp(flat, flat)
    np.divide(flat, row_sums(flat), flat)


def _blocks(shape: Shape) -> list[slice]:
    """Returns slices of the first dimension for which the scores of a shape stay in the cache."""
    if len(shape) < 3:
        return [slice(None)]
    step = max(1, BLOCK * shape[0] // math.prod(shape))
    return [slice(start, start + step) for start in range(0, shape[0], step)]


def _attention(query: Array, key: Array, value: Array, bias: Array | None, causal: bool, scale: float) -> Any:
    if query.dtype.char not in "fd" or bias is not None or not query.size or not key.size:
        return NotImplemented
    lead = query.shape[:-2]
    if not lead == key.shape[:-2] == value.shape[:-2]:
        return NotImplemented
    factor = np.array(scale, query.dtype)
    weights = np.empty((*query.shape[:-1], key.shape[-2]), query.dtype)
    out = np.empty((*query.shape[:-1], value.shape[-1]), query.dtype)

    def block(part: slice) -> None:
        scores = weights[part]
        np.matmul(np.multiply(query[part], factor), key[part].swapaxes(-1, -2), scores)
        if causal:
            np.add(scores, _later(*scores.shape[-2:], scores.dtype.char), scores)
        _softmax_in_place(scores)
        np.matmul(scores, value[part], out[part])

    run_blocks(block, _blocks(weights.shape))
    return out, weights


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
    results = [
        np.empty(x.shape, g.dtype) if need else None for x, need in zip((query, key, value), needs, strict=False)
    ]
    to_query, to_key, to_value = results
    factor = np.array(scale, g.dtype)

    def block(part: slice) -> None:
        if to_value is not None:
            np.matmul(weights[part].swapaxes(-1, -2), g[part], to_value[part])
        if to_query is None and to_key is None:
            return
        slope = np.matmul(g[part], value[part].swapaxes(-1, -2))
        flat, rows = slope.reshape(-1, slope.shape[-1]), weights[part].reshape(-1, slope.shape[-1])
        np.multiply(flat, rows, flat)
        np.subtract(flat, np.multiply(rows, row_sums(flat)), flat)
        np.multiply(flat, factor, flat)
        if to_query is not None:
            np.matmul(slope, key[part], to_query[part])
        if to_key is not None:
            np.matmul(slope.swapaxes(-1, -2), query[part], to_key[part])

    run_blocks(block, _blocks(weights.shape))
    return *results, None


class AttentionKernels:
    """Kernels without a mask but the causal one; others are left to the composition."""

    attention = fused("attention", _attention, partial=True)
    attention_backward = fused("attention_backward", _attention_backward, partial=True)
