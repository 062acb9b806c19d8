"""Scaled dot product attention: NumPy's matrix products, and between them a softmax in the memory of the scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from torchplug_numba.arrays import fits
from torchplug_numba.compiling import REORDERED, compiled, number
from torchplug_numba.mathematics import exp
from torchplug_numba.reductions import RUN, dot, largest
from torchplug_numba.threads import spread

__all__ = ["KERNELS"]

Needs = tuple[bool, ...]

# The loops write where they read: a separate result could overlap for all the compiler knows, and it does not here.


@compiled(REORDERED)
def _to_powers(x: Any, top: Any) -> Any:
    """Puts exp(x - top) in the place of x and returns the sum."""
    added = number(0.0, x[0])
    for i in range(x.size):
        power = exp(x[i] - top)
        x[i] = power
        added += power
    return added


@compiled()
def _softmax(scores: Any, causal: bool) -> None:
    """Turns scores (batches, queries, keys) into weights; a causal query sees the keys up to its own place."""
    batches, queries, keys = scores.shape
    zero = number(0.0, scores[0, 0, 0])
    for batch in range(batches):
        for query in range(queries):
            line = scores[batch, query, : min(query + 1, keys) if causal else keys]
            top, added = largest(line), 0.0
            for start in range(0, line.size, RUN):
                added += _to_powers(line[start : start + RUN], top)
            scale = number(1.0 / added, zero)
            for i in range(line.size):
                line[i] *= scale
            hidden = scores[batch, query, line.size :]
            for i in range(hidden.size):
                hidden[i] = zero * scale  # NaN where the row is


@compiled()
def _softmax_backward(slope: Any, weights: Any, scale: float) -> None:
    factor = number(scale, slope[0, 0, 0])
    for batch in range(slope.shape[0]):
        for query in range(slope.shape[1]):
            line, powers = slope[batch, query], weights[batch, query]
            share = dot(line, powers)
            for i in range(line.size):
                line[i] = (line[i] * powers[i] - powers[i] * share) * factor


# ---- the kernels -----------------------------------------------------------------------------------------------------


def _matrices(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, *x.shape[-2:])


def attention(query: Any, key: Any, value: Any, bias: Any, causal: bool, scale: float) -> Any:
    same = query.dtype == key.dtype == value.dtype
    if bias is not None or not same or query.dtype.char not in "fd" or not (query.size and key.size):
        return NotImplemented
    with np.errstate(all="ignore"):
        weights = np.matmul(np.multiply(query, query.dtype.type(scale)), key.swapaxes(-1, -2))
        if not fits(weights):
            return NotImplemented
        spread(_softmax, [_matrices(weights)], (bool(causal),))
        return np.matmul(weights, value), weights


def attention_backward(
    g: Any, query: Any, key: Any, value: Any, weights: Any, scale: float, bias_shape: tuple[int, ...], needs: Needs
) -> Any:
    if needs[3] or not fits(weights) or not query.shape[:-2] == key.shape[:-2] == value.shape[:-2]:
        return NotImplemented
    if not g.dtype == query.dtype == key.dtype == value.dtype == weights.dtype:
        return NotImplemented
    with np.errstate(all="ignore"):
        slope: Any = None
        if needs[0] or needs[1]:
            slope = np.matmul(g, value.swapaxes(-1, -2))
            if not fits(slope):
                return NotImplemented
            spread(_softmax_backward, [_matrices(slope), _matrices(weights)], (float(scale),))
        return (
            np.matmul(slope, key) if needs[0] else None,
            np.matmul(slope.swapaxes(-1, -2), query) if needs[1] else None,
            np.matmul(weights.swapaxes(-1, -2), g) if needs[2] else None,
            None,
        )


KERNELS: Final[dict[str, Callable[..., Any]]] = {"attention": attention, "attention_backward": attention_backward}
"""Kernel name -> function; NotImplemented leaves a call to the kernel it replaces."""
