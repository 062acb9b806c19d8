"""Gradients added to the rows they were read from, each where it belongs, without sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from torchplug_numba.arrays import fits, is_index
from torchplug_numba.compiling import compiled, number

__all__ = ["KERNELS"]


@compiled()
def _add_rows(out: Any, g: Any, places: Any, padding: int) -> bool:
    """Adds each row of g to its row of out, but for the padding; False, with nothing added, if there is no such row."""
    for i in range(places.size):
        if places[i] < 0 or places[i] >= out.shape[0]:
            return False
    for i in range(places.size):
        if places[i] != padding:
            slope, line = g[i], out[places[i]]
            for column in range(line.size):
                line[column] += slope[column]
    return True


@compiled()
def _divide_by_times(out: Any, places: Any) -> None:
    """Divides every row by how often it was read."""
    times = np.zeros(out.shape[0], np.int64)
    for i in range(places.size):
        times[places[i]] += 1
    for row in range(out.shape[0]):
        if times[row] > 1:
            share = number(1.0, out[0, 0]) / number(times[row], out[0, 0])
            for column in range(out.shape[1]):
                out[row, column] *= share


def _added(g: Any, indices: Any, rows: int, padding: int) -> Any:
    width = g.shape[-1] if g.ndim else 0
    if not fits(g) or not is_index(indices) or indices.size * width != g.size:
        return NotImplemented
    out = np.zeros((rows, width), g.dtype)
    if not _add_rows(out, g.reshape(-1, width), indices.reshape(-1), padding):
        raise IndexError("index out of range in self")
    return out


def embedding_backward(g: Any, indices: Any, rows: int, padding_idx: int, scale_by_frequency: bool) -> Any:
    out = _added(g, indices, rows, padding_idx)
    if scale_by_frequency and out is not NotImplemented:
        _divide_by_times(out, indices.reshape(-1))
    return out


def take_backward(g: Any, indices: Any, shape: tuple[int, ...], axis: int) -> Any:
    if axis != 0 or g.ndim != 2:
        return NotImplemented
    return _added(g, indices, shape[0], -1)


KERNELS: Final[dict[str, Callable[..., Any]]] = {
    "embedding_backward": embedding_backward,
    "take_backward": take_backward,
}
"""Kernel name -> function; NotImplemented leaves a call to the kernel it replaces."""
