"""Optimizer steps written into the memory of parameters and states, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from torchplug_numpy.quiet import quiet_context
from torchplug_spec.backend import Array, kernel

__all__ = ["OptimizerKernels"]

_PIECE = 65536
"""Elements handled at a time: four float32 arrays of them and a scratch array stay in a cache of 2 MB."""

Arrays = Sequence[Array]
Result = tuple[Arrays, Arrays]


class OptimizerKernels:
    """The steps most programs take; the others run their default compositions."""

    @kernel("sgd_step")
    def sgd_step(self, params: Arrays, grads: Arrays, states: Arrays, numbers: tuple, options: tuple) -> Result:
        return quiet_context().run(_sgd_step, params, grads, states, numbers, options)

    @kernel("adam_step")
    def adam_step(self, params: Arrays, grads: Arrays, states: Arrays, numbers: tuple, options: tuple) -> Result:
        quiet_context().run(_each, _adam, params, grads, states, numbers, options)
        return params, states


def _scalars(numbers: tuple, like: Array) -> list[Array]:
    """Returns numbers as 0-d arrays: a ufunc takes them 250 ns faster than Python floats."""
    dtype = like.dtype
    return [np.array(number, dtype) for number in numbers]


def _pieces(arrays: Sequence[Array]) -> Iterator[Sequence[Array]]:
    """Yields the arrays, or matching pieces of them where they are long and contiguous."""
    size = arrays[0].size
    if not arrays[0].ndim:  # ufuncs give scalars for 0-d arrays, and nothing can be written into these
        yield [x.reshape(1) for x in arrays]
        return
    if size <= _PIECE or not all([x.flags.c_contiguous for x in arrays]):
        yield arrays
        return
    flat = [x.reshape(-1) for x in arrays]
    for start in range(0, size, _PIECE):
        yield [x[start : start + _PIECE] for x in flat]


def _each(
    formula: Callable[..., None], params: Arrays, grads: Arrays, states: Arrays, numbers: tuple, options: tuple
) -> None:
    """Runs `formula(p, g, states, numbers, options)`, which writes p and its states, over all parameters."""
    scalars = _scalars(numbers, params[0])
    count = len(params)
    for place, p in enumerate(params):
        for p_piece, g_piece, *pieces in _pieces((p, grads[place], *states[place::count])):
            formula(p_piece, g_piece, pieces, scalars, options)


def _decayed(p: Array, g: Array, weight_decay: Array, decays: bool, maximize: bool) -> Array:
    """Returns the gradient to follow; `g` itself where nothing changes it."""
    if maximize:
        g = np.negative(g)
    if not decays:
        return g
    pull = np.multiply(p, weight_decay)
    return np.add(pull, g, pull)


def _sgd_step(params: Arrays, grads: Arrays, states: Arrays, numbers: tuple, options: tuple) -> Result:
    if options[1] and not states:
        states = [np.array(g) for g in grads]
        _each(_sgd_first, params, grads, states, numbers, options)
    else:
        _each(_sgd, params, grads, states, numbers, options)
    return params, states


def _sgd_first(p: Array, g: Array, states: Arrays, numbers: Sequence[Array], options: tuple) -> None:
    """The first step with momentum, whose buffer holds a copy of the gradient."""
    lr, momentum, _, weight_decay = numbers
    decays, _, nesterov, maximize = options
    (buffer,) = states
    if decays or maximize:
        buffer[...] = _decayed(p, g, weight_decay, decays, maximize)
    step = buffer
    if nesterov:
        step = np.multiply(buffer, momentum)
        np.add(step, buffer, step)
    np.subtract(p, np.multiply(step, lr), p)


def _sgd(p: Array, g: Array, states: Arrays, numbers: Sequence[Array], options: tuple) -> None:
    lr, momentum, undamped, weight_decay = numbers
    decays, has_momentum, nesterov, maximize = options
    step = _decayed(p, g, weight_decay, decays, maximize) if decays or maximize else g
    if has_momentum:
        (buffer,) = states
        np.multiply(buffer, momentum, buffer)
        np.add(buffer, step if undamped == 1 else np.multiply(step, undamped), buffer)
        step = np.add(step, np.multiply(buffer, momentum)) if nesterov else buffer
    np.subtract(p, np.multiply(step, lr), p)


def _adam(p: Array, g: Array, states: Arrays, numbers: Sequence[Array], options: tuple) -> None:
    step_size, root, rest1, beta2, rest2, eps, decay = numbers
    decays, decoupled, amsgrad, maximize = options
    if decays and decoupled:
        np.multiply(p, decay, p)
        decays = False
    if decays or maximize:
        g = _decayed(p, g, decay, decays, maximize)
    mean, square = states[0], states[1]
    scratch = np.subtract(g, mean)
    np.multiply(scratch, rest1, scratch)
    np.add(mean, scratch, mean)
    np.multiply(square, beta2, square)
    np.multiply(g, g, scratch)
    np.multiply(scratch, rest2, scratch)
    np.add(square, scratch, square)
    if amsgrad:
        square = np.maximum(states[2], square, out=states[2])
    np.sqrt(square, scratch)
    np.divide(scratch, root, scratch)
    np.add(scratch, eps, scratch)
    np.divide(mean, scratch, scratch)
    np.multiply(scratch, step_size, scratch)
    np.subtract(p, scratch, p)
