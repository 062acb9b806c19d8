"""Optimizer steps written into the memory of parameters and states, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from torchplug_numpy.kernels.windows import scratch
from torchplug_numpy.quiet import quiet_context
from torchplug_numpy.threads import get_num_threads, run_blocks
from torchplug_spec.backend import Array, kernel

__all__ = ["OptimizerKernels"]

_SMALL = 4096
"""Elements below which fresh memory is found faster than a scratch array."""

_PIECE = 1 << 17
"""Elements handled at a time, so that scratch arrays stay in a second-level cache."""

Arrays = Sequence[Array]
Result = tuple[Arrays, Arrays]


class OptimizerKernels:
    """The steps most programs take; the others run their default compositions."""

    @kernel("sgd_step")
    def sgd_step(self, params: Arrays, grads: Arrays, states: Arrays, numbers: tuple, options: tuple) -> Result:
        return quiet_context().run(_sgd_step, params, grads, states, numbers, options)

    @kernel("adam_step")
    def adam_step(self, params: Arrays, grads: Arrays, states: Arrays, numbers: tuple, options: tuple) -> Result:
        step_size, root, rest1, _, rest2, eps, decay = numbers
        # m / (sqrt(v) / root + eps) is root * m / (sqrt(v) + root * eps), one pass less.
        folded = step_size * root, rest1, rest2, root * eps, decay
        quiet_context().run(_each, _adam, params, grads, states, folded, options)
        return params, states


def _scalars(numbers: tuple, like: Array) -> list[Array]:
    """Returns numbers as 0-d arrays: a ufunc takes them 250 ns faster than Python floats."""
    dtype = like.dtype
    return [np.array(number, dtype) for number in numbers]


def _pieces(arrays: Sequence[Array]) -> Iterator[Sequence[Array]]:
    """Yields matching pieces of arrays: whole ones, or parts of them where they are long and contiguous."""
    if not arrays[0].ndim:  # ufuncs give scalars for 0-d arrays, and nothing can be written into these
        yield [x.reshape(1) for x in arrays]
        return
    if not all([x.flags.c_contiguous for x in arrays]):
        yield arrays
        return
    flat = [x.reshape(-1) for x in arrays]
    for start in range(0, arrays[0].size, _PIECE):
        yield [x[start : start + _PIECE] for x in flat]


def _each(
    formula: Callable[..., None], params: Arrays, grads: Arrays, states: Arrays, numbers: tuple, options: tuple
) -> None:
    """Runs `formula(p, g, states, numbers, options)`, which writes p and its states, over all parameters."""
    scalars = _scalars(numbers, params[0])
    count = len(params)

    def step(arrays: Sequence[Array]) -> None:
        formula(arrays[0], arrays[1], arrays[2:], scalars, options)

    shared: list[Sequence[Array]] = []
    short = _PIECE if get_num_threads() == 1 else _SMALL
    for place, p in enumerate(params):
        if p.size <= short and p.ndim:
            formula(p, grads[place], states[place::count], scalars, options)
        else:
            shared += _pieces((p, grads[place], *states[place::count]))
    run_blocks(step, shared)


def _decayed(p: Array, g: Array, weight_decay: Array, decays: bool, maximize: bool) -> Array:
    """Returns the gradient to follow; `g` itself where nothing changes it."""
    if maximize:
        g = np.negative(g)
    if not decays:
        return g
    pull = np.multiply(p, weight_decay)
    return np.add(pull, g, pull)


def _sgd_step(params: Arrays, grads: Arrays, states: Arrays, numbers: tuple, options: tuple) -> Result:
    if not any(options):
        _plain_sgd(params, grads, np.array(numbers[0], params[0].dtype))
    elif options[1] and not states:
        states = [np.array(g) for g in grads]
        _each(_sgd_first, params, grads, states, numbers, options)
    else:
        _each(_sgd, params, grads, states, numbers, options)
    return params, states


def _plain_sgd(params: Arrays, grads: Arrays, lr: Array) -> None:
    """Steps against the gradients: no momentum, no decay."""

    def step(arrays: Sequence[Array]) -> None:
        target, slope = arrays
        np.subtract(target, np.multiply(slope, lr, scratch("step", slope.shape, slope.dtype)), target)

    for p, g in zip(params, grads, strict=True):
        if p.ndim and p.size <= _SMALL:
            np.subtract(p, np.multiply(g, lr), p)
            continue
        run_blocks(step, list(_pieces((p, g))))


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
    step_size, rest1, rest2, eps, decay = numbers
    decays, decoupled, amsgrad, maximize = options
    if decays and decoupled:
        np.multiply(p, decay, p)
        decays = False
    if decays or maximize:
        g = _decayed(p, g, decay, decays, maximize)
    mean, square = states[0], states[1]
    spare = scratch("step", g.shape, g.dtype) if g.size > _SMALL else np.empty(g.shape, g.dtype)
    np.subtract(g, mean, spare)
    np.multiply(spare, rest1, spare)
    np.add(mean, spare, mean)
    np.multiply(g, g, spare)
    np.subtract(spare, square, spare)
    np.multiply(spare, rest2, spare)
    np.add(square, spare, square)
    if amsgrad:
        square = np.maximum(states[2], square, out=states[2])
    np.sqrt(square, spare)
    np.add(spare, eps, spare)
    np.divide(mean, spare, spare)
    np.multiply(spare, step_size, spare)
    np.subtract(p, spare, p)
