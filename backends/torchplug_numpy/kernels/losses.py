"""Losses: a class picked from every row, and squared differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from torchplug_numpy.kernels.fused import fused
from torchplug_spec.backend import Array

__all__ = ["LossKernels"]


def _picked_places(target: Array, classes: int, ignore_index: int) -> tuple[Array, Array | None]:
    """Returns flat places of the targets in (N, C), and which count (None if all do)."""
    labels = target.reshape(-1)
    ignored = labels == ignore_index
    if ignored.any():
        return np.arange(len(labels)) * classes + np.where(ignored, 0, labels), ~ignored
    places = np.arange(0, len(labels) * classes, classes)
    places += labels
    return places, None


def _nll_loss(x: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int) -> Any:
    count, classes, positions = x.shape
    if positions != 1 or weight is not None:
        return NotImplemented
    places, counts = _picked_places(target, classes, ignore_index)
    losses = x.reshape(-1).take(places)
    if counts is not None:
        losses[~counts] = 0
    np.negative(losses, losses)
    if reduction == "none":
        return losses.reshape(count, 1)
    total = losses.sum()
    if reduction == "sum":
        return np.asarray(total)
    number = count if counts is None else int(counts.sum())
    return np.asarray(np.divide(total, x.dtype.type(number)))


def _nll_loss_backward(
    g: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int, shape: tuple[int, int, int]
) -> Any:
    count, classes, positions = shape
    if positions != 1 or weight is not None:
        return NotImplemented
    places, counts = _picked_places(target, classes, ignore_index)
    values: Any = np.negative(g)
    if reduction == "mean":
        number = count if counts is None else int(counts.sum())
        values = np.divide(values, g.dtype.type(number))
    out = np.zeros(count * classes, g.dtype)
    values = np.broadcast_to(values.reshape(-1) if reduction == "none" else values, (count,))
    if counts is not None:
        out[places[counts]] = values[counts]
    else:
        out[places] = values
    return out.reshape(shape)


def _check_targets(target: Array, classes: int, ignore_index: int) -> None:
    labels = target.reshape(-1)
    # As unsigned numbers, negative ones are the greatest.
    if len(labels) and labels.view("u8").max() >= classes:
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
    check_targets = fused("check_targets", _check_targets)
    check_rows = fused("check_rows", _check_rows)
    mse_loss = fused("mse_loss", _mse_loss, partial=True)
    mse_loss_backward = fused("mse_loss_backward", _mse_loss_backward, partial=True)
