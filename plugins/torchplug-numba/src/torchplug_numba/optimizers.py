"""Steps of SGD, Adam and AdamW: every parameter and its states in one pass over the memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from torchplug_numba.arrays import fits
from torchplug_numba.compiling import compiled, number
from torchplug_numba.threads import spread

__all__ = ["KERNELS"]

Arrays = Sequence[Any]


@compiled()
def _followed(p: Any, g: Any, decay: Any, decays: bool, maximize: bool) -> Any:
    """Returns the gradient to follow: turned round, and with the pull of the weight towards 0."""
    g = -g if maximize else g
    return g + p * decay if decays else g


@compiled()
def _sgd(p: Any, g: Any, lr: float, weight_decay: float, decays: bool, maximize: bool) -> None:
    rate, decay = number(lr, p[0]), number(weight_decay, p[0])
    for i in range(p.size):
        p[i] -= _followed(p[i], g[i], decay, decays, maximize) * rate


@compiled()
def _momentum(
    p: Any, g: Any, buffer: Any, lr: float, momentum: float, undamped: float, weight_decay: float,
    decays: bool, nesterov: bool, maximize: bool, first: bool,
) -> None:  # fmt: skip
    rate, decay = number(lr, p[0]), number(weight_decay, p[0])
    kept, new = number(momentum, p[0]), number(undamped, p[0])
    for i in range(p.size):
        step = _followed(p[i], g[i], decay, decays, maximize)
        speed = step if first else buffer[i] * kept + step * new
        buffer[i] = speed
        p[i] -= (step + speed * kept if nesterov else speed) * rate


@compiled()
def _adam(
    p: Any, g: Any, mean: Any, square: Any, most: Any, step_size: float, root: float, rest1: float, beta2: float,
    rest2: float, eps: float, decay: float, decays: bool, decoupled: bool, amsgrad: bool, maximize: bool,
) -> None:  # fmt: skip
    size, wide, small, pull = number(step_size, p[0]), number(root, p[0]), number(eps, p[0]), number(decay, p[0])
    toward, keep, new = number(rest1, p[0]), number(beta2, p[0]), number(rest2, p[0])
    for i in range(p.size):
        weight = p[i] * pull if decays and decoupled else p[i]
        step = _followed(p[i], g[i], pull, decays and not decoupled, maximize)
        average = mean[i] + (step - mean[i]) * toward
        spread = square[i] * keep + step * step * new
        mean[i], square[i] = average, spread
        if amsgrad:
            # Greater, or NaN, as NumPy's maximum has it.
            spread = spread if spread > most[i] or spread != spread else most[i]
            most[i] = spread
        p[i] = weight - average / (number(math.sqrt(spread), spread) / wide + small) * size


# ---- the kernels -----------------------------------------------------------------------------------------------------


def _groups(params: Arrays, grads: Arrays, states: Arrays) -> list[list[Any]] | None:
    """Returns parameter, gradient and states of each parameter, flat; None if any of them does not fit."""
    count = len(params)
    groups = [[p, grads[place], *states[place::count]] for place, p in enumerate(params)]
    if not all([fits(*group) and all([x.shape == group[0].shape for x in group]) for group in groups]):
        return None
    return [[x.reshape(-1) for x in group] for group in groups]


def sgd_step(params: Arrays, grads: Arrays, states: Arrays, numbers: tuple, options: tuple) -> Any:
    lr, momentum, undamped, weight_decay = map(float, numbers)
    decays, has_momentum, nesterov, maximize = map(bool, options)
    first = has_momentum and not states
    if first:
        states = [np.empty(p.shape, p.dtype) for p in params]
    groups = _groups(params, grads, states)
    if groups is None:
        return NotImplemented
    for group in groups:
        if has_momentum:
            spread(_momentum, group, (lr, momentum, undamped, weight_decay, decays, nesterov, maximize, first))
        else:
            spread(_sgd, group, (lr, weight_decay, decays, maximize))
    return params, states


def adam_step(params: Arrays, grads: Arrays, states: Arrays, numbers: tuple, options: tuple) -> Any:
    groups = _groups(params, grads, states)
    if groups is None:
        return NotImplemented
    decays, decoupled, amsgrad, maximize = map(bool, options)
    given = (*map(float, numbers), decays, decoupled, amsgrad, maximize)
    for group in groups:
        # One loop for both: without amsgrad the place of the greatest squares is taken by the squares and not read.
        spread(_adam, group if amsgrad else [*group, group[-1]], given)
    return params, states


KERNELS: Final[dict[str, Callable[..., Any]]] = {"sgd_step": sgd_step, "adam_step": adam_step}
"""Kernel name -> function; NotImplemented leaves a call to the kernel it replaces."""
