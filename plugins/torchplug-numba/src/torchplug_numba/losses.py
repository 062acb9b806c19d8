"""The negative log-likelihood and its derivative: with log_softmax they are cross entropy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from torchplug_numba.arrays import fits, is_index
from torchplug_numba.compiling import compiled, number

__all__ = ["KERNELS"]

# Scores are (samples, classes, positions), targets (samples, positions). A loop that finds a target that is no class
# returns its place, for the caller to raise, and has written nothing outside its arrays; -1 if all are classes.


@compiled()
def _weight_of(target: Any, weight: Any, classes: int, ignored: int, one: Any) -> Any:
    """Returns the weight of a target (0 for an ignored one) and whether it is a class or ignored."""
    if target == ignored:
        return one - one, True
    if target < 0 or target >= classes:
        return one - one, False
    return (weight[target] if weight.size else one), True


@compiled()
def _nll(losses: Any, totals: Any, x: Any, target: Any, weight: Any, ignored: int) -> int:
    """Writes the losses, if there is room for them, and the totals of losses and of weights."""
    one, loss_total, weight_total = number(1.0, x[0, 0, 0]), 0.0, 0.0
    samples, classes, positions = x.shape
    for sample in range(samples):
        for place in range(positions):
            label = target[sample, place]
            share, known = _weight_of(label, weight, classes, ignored, one)
            if not known:
                return sample * positions + place
            # Ignored places count nothing, whatever x holds there.
            loss = one - one if label == ignored else -x[sample, label, place] * share
            if losses.size:
                losses[sample, place] = loss
            loss_total += loss
            weight_total += share
    totals[0], totals[1] = loss_total, weight_total
    return -1


@compiled()
def _nll_backward(out: Any, g: Any, target: Any, weight: Any, ignored: int, averages: bool) -> int:
    """Adds minus the weighted gradient at each target to `out`; `g` has one element, or one for each target."""
    one, weight_total = number(1.0, out[0, 0, 0]), 0.0
    samples, classes, positions = out.shape
    if averages:
        for sample in range(samples):
            for place in range(positions):
                weight_total += _weight_of(target[sample, place], weight, classes, ignored, one)[0]
    scale = number(weight_total, one) if averages else one
    for sample in range(samples):
        for place in range(positions):
            label = target[sample, place]
            share, known = _weight_of(label, weight, classes, ignored, one)
            if not known:
                return sample * positions + place
            if label != ignored:
                slope = g[0] if g.size == 1 else g[sample * positions + place]
                out[sample, label, place] = -(share * (slope / scale))
    return -1


# ---- the kernels -----------------------------------------------------------------------------------------------------


def _sizes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return (shape[0], shape[1], math.prod(shape[2:])) if len(shape) > 1 else (1, shape[0], 1)


def _takes(scores: Any, shape: tuple[int, ...], target: Any, weight: Any) -> bool:
    if not fits(scores, *(() if weight is None else (weight,))) or not is_index(target):
        return False
    samples, _, positions = _sizes(shape) if shape else (0, 0, 0)
    return 0 < target.size == samples * positions


def _checked(place: int, labels: np.ndarray) -> None:
    if place >= 0:
        raise IndexError(f"Target {labels.flat[place]} is out of bounds.")


def _weights(weight: Any, dtype: np.dtype) -> np.ndarray:
    return np.empty(0, dtype) if weight is None else weight


def nll_loss(x: Any, target: Any, weight: Any, reduction: str, ignore_index: int) -> Any:
    if not _takes(x, x.shape, target, weight):
        return NotImplemented
    samples, classes, positions = _sizes(x.shape)
    out = np.empty(target.shape if reduction == "none" else 0, x.dtype)
    losses = out.reshape(samples, positions) if reduction == "none" else out.reshape(0, 0)
    totals = np.empty(2)
    scores, labels = x.reshape(samples, classes, positions), target.reshape(samples, positions)
    _checked(_nll(losses, totals, scores, labels, _weights(weight, x.dtype), ignore_index), labels)
    if reduction == "none":
        return out
    loss, counted = totals.astype(x.dtype)
    with np.errstate(all="ignore"):
        return np.asarray(loss if reduction == "sum" else loss / counted)


def nll_loss_backward(
    g: Any, target: Any, weight: Any, reduction: str, ignore_index: int, shape: tuple[int, ...]
) -> Any:
    if not _takes(g, shape, target, weight) or g.size not in (1, target.size):
        return NotImplemented
    out = np.zeros(shape, g.dtype)
    if not out.size:
        return out
    sizes = _sizes(shape)
    labels = target.reshape(sizes[0], sizes[2])
    weights, averages = _weights(weight, g.dtype), reduction == "mean"
    _checked(_nll_backward(out.reshape(sizes), g.reshape(-1), labels, weights, ignore_index, averages), labels)
    return out


KERNELS: Final[dict[str, Callable[..., Any]]] = {"nll_loss": nll_loss, "nll_loss_backward": nll_loss_backward}
"""Kernel name -> function; NotImplemented leaves a call to the kernel it replaces."""
