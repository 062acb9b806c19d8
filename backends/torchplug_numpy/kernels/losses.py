"""Losses: a class picked from every row, the cross entropy of the rows, and squared differences."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from torchplug_numpy.kernels.fused import BLOCK, fused
from torchplug_numpy.kernels.rows import row_maxima, row_sums
from torchplug_numpy.sums import sum_over
from torchplug_spec.backend import Array

__all__ = ["LossKernels"]


def _picked_places(target: Array, classes: int, ignore_index: int) -> tuple[Array, Array | None]:
    """Returns flat places of the targets in (N, C), and which count (None if all do)."""
    places = _starts(len(target), classes)
    # As unsigned numbers, negative ones are the greatest. What is no class must be the ignored one: the targets are checked.
    if 0 <= ignore_index < classes or (len(target) and np.maximum.reduce(target.view("u8")) >= classes):
        ignored = target == ignore_index
        if ignored.any():
            return places + np.where(ignored, 0, target), ~ignored
    return places + target, None


@functools.lru_cache(maxsize=32)
def _starts(count: int, classes: int) -> Array:
    """Returns where the rows of (count, classes) begin; read only by agreement."""
    return np.arange(0, count * classes, classes)


def _nll_loss(x: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int) -> Any:
    if x.ndim != 2 or weight is not None:
        return NotImplemented
    count, classes = x.shape
    places, counts = _picked_places(target, classes, ignore_index)
    losses = x.reshape(-1).take(places)
    return _reduced(np.negative(losses, losses), counts, reduction)


def _nll_loss_backward(
    g: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int, shape: tuple[int, ...]
) -> Any:
    if len(shape) != 2 or weight is not None:
        return NotImplemented
    count, classes = shape
    places, counts = _picked_places(target, classes, ignore_index)
    values: Any = np.negative(g)
    if reduction == "mean":
        values = np.divide(values, g.dtype.type(count if counts is None else counts.sum()))
    out = np.zeros(count * classes, g.dtype)
    if counts is None:
        out[places] = values
    else:
        out[places[counts]] = values[counts] if reduction == "none" else values
    return out.reshape(shape)


def _cross_entropy(x: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int) -> Any:
    """Returns the loss and the softmax: one exp for both, and none left for the gradient."""
    if x.ndim != 2 or weight is not None or x.dtype.char not in "fd" or not x.size:
        return NotImplemented
    count, classes = x.shape
    places, counts = _picked_places(target, classes, ignore_index)
    probabilities, losses = np.empty((count, classes), x.dtype), np.empty(count, x.dtype)
    step = max(1, BLOCK // classes)
    if count <= step:
        _entropy_rows(probabilities, losses, x, places)
    else:
        for start in range(0, count, step):
            rows = slice(start, start + step)
            _entropy_rows(probabilities[rows], losses[rows], x[rows], places[rows] - start * classes)
    return _reduced(losses, counts, reduction), probabilities


def _entropy_rows(out: Array, losses: Array, x: Array, places: Array) -> None:
    np.subtract(x, row_maxima(x), out)
    shifted = out.reshape(-1).take(places)
    np.exp(out, out)
    total = row_sums(out)
    np.divide(out, total, out)
    total = total.reshape(-1)
    np.subtract(np.log(total, total), shifted, losses)


def _reduced(losses: Array, counts: Array | None, reduction: str) -> Array:
    """Returns losses reduced, those that do not count as 0. Overwrites `losses`."""
    if counts is not None:
        losses[~counts] = 0
    if reduction == "none":
        return losses
    total = sum_over(losses, None, False)
    if reduction == "mean":
        total = np.divide(total, losses.dtype.type(len(losses) if counts is None else counts.sum()))
    return np.asarray(total)


def _cross_entropy_backward(
    g: Array, probabilities: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int
) -> Any:
    if probabilities.ndim != 2 or weight is not None or g.dtype.char not in "fd":
        return NotImplemented
    count, classes = probabilities.shape
    places, counts = _picked_places(target, classes, ignore_index)
    slope: Any = g
    if reduction == "mean":
        slope = np.divide(g, g.dtype.type(count if counts is None else counts.sum()))
    if counts is not None:
        slope = np.where(counts, slope, g.dtype.type(0))
    out = np.multiply(probabilities, slope[:, None] if slope.ndim else slope)
    flat = out.reshape(-1)
    flat[places] = np.subtract(flat.take(places), slope)
    return out


def _check_targets(target: Array, classes: int, ignore_index: int) -> None:
    labels = target.reshape(-1)
    # As unsigned numbers, negative ones are the greatest.
    if len(labels) and np.maximum.reduce(labels.view("u8")) >= classes:
        wrong = ((labels < 0) | (labels >= classes)) & (labels != ignore_index)
        if wrong.any():
            raise IndexError(f"Target {labels[wrong][0]} is out of bounds.")


def _check_rows(indices: Array, rows: int) -> None:
    if indices.size and (indices.min() < 0 or indices.max() >= rows):
        raise IndexError("index out of range in self")


def _mse_loss(x: Array, y: Array, reduction: str) -> Any:
    if x.dtype.char not in "fd" or reduction == "none" or x.shape != y.shape:
        return NotImplemented
    gap = np.subtract(x, y).reshape(-1)
    if len(gap) > 1 << 15:  # a longer dot product would lose digits
        return NotImplemented
    total = gap.dot(gap)
    return np.asarray(total if reduction == "sum" else np.divide(total, x.dtype.type(len(gap))))


def _mse_loss_backward(g: Array, x: Array, y: Array, reduction: str) -> Any:
    if x.dtype.char not in "fd" or x.shape != y.shape:
        return NotImplemented
    gap = np.asarray(np.subtract(x, y))
    scale = np.multiply(g, x.dtype.type(2 / max(x.size, 1) if reduction == "mean" else 2))
    return np.multiply(gap, scale, gap) if gap.ndim else np.multiply(gap, scale)


class LossKernels:
    """Kernels for the plain cases: no class weights, no positions beside the batch."""

    nll_loss = fused("nll_loss", _nll_loss, partial=True)
    nll_loss_backward = fused("nll_loss_backward", _nll_loss_backward, partial=True)
    cross_entropy = fused("cross_entropy", _cross_entropy, partial=True)
    cross_entropy_backward = fused("cross_entropy_backward", _cross_entropy_backward, partial=True)
    check_targets = fused("check_targets", _check_targets)
    check_rows = fused("check_rows", _check_rows)
    mse_loss = fused("mse_loss", _mse_loss, partial=True)
    mse_loss_backward = fused("mse_loss_backward", _mse_loss_backward, partial=True)
