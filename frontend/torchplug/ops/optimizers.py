"""One step of each optimizer as a kernel over lists of arrays: one call per parameter group.

Every kernel is `name(params, grads, states, numbers, options)` and returns `(params, states)`. `states` is one flat list: the
first kind of state of all parameters, then the second, in the order of the formula. `numbers` are Python floats or 0-d
arrays (whatever may change from step to step), `options` static flags. An engine with mutable arrays may write into `params`
and `states` and return them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torchplug._core.kernels import COMPOSITIONS

__all__: list[str] = []

Arrays = Sequence[Any]
Formula = Callable[..., tuple[Any, ...]]


def _step(formula: Formula) -> Formula:
    """Registers the kernel that applies `formula(F, p, g, states, numbers, options) -> (p, *states)` to each parameter."""

    def kernel(F: Any, params: Arrays, grads: Arrays, states: Arrays, numbers: tuple, options: tuple) -> tuple[list, list]:
        count = len(params)
        rows = [
            formula(F, p, g, states[place::count], numbers, options)
            for place, (p, g) in enumerate(zip(params, grads, strict=True))
        ]
        updated = [state for kind in zip(*rows, strict=True) for state in kind]
        return updated[:count], updated[count:]

    kernel.__doc__ = formula.__doc__
    COMPOSITIONS[formula.__name__] = kernel
    return formula


def _toward(F: Any, x: Any, goal: Any, weight: Any) -> Any:
    """Returns x + weight * (goal - x), the running average in PyTorch's order."""
    return F.add(x, F.multiply(F.subtract(goal, x), weight))


def _mean_square(F: Any, average: Any, g: Any, beta: Any, rest: Any) -> Any:
    return F.add(F.multiply(average, beta), F.multiply(F.multiply(g, g), rest))


def _ascended(F: Any, g: Any, maximize: bool) -> Any:
    return F.negative(g) if maximize else g


@_step
def sgd_step(F: Any, p: Any, g: Any, states: Arrays, numbers: tuple, options: tuple) -> tuple[Any, ...]:
    """Gradient descent with momentum (Sutskever et al., 2013): states [buffer], or [] while there is none."""
    lr, momentum, undamped, weight_decay = numbers
    decays, has_momentum, nesterov, maximize = options
    g = _ascended(F, g, maximize)
    if decays:
        g = F.add(g, F.multiply(p, weight_decay))
    if not has_momentum:
        return (F.subtract(p, F.multiply(g, lr)),)
    buffer = F.add(F.multiply(states[0], momentum), F.multiply(g, undamped)) if states else F.copy(g)
    g = F.add(g, F.multiply(buffer, momentum)) if nesterov else buffer
    return F.subtract(p, F.multiply(g, lr)), buffer


@_step
def adam_step(F: Any, p: Any, g: Any, states: Arrays, numbers: tuple, options: tuple) -> tuple[Any, ...]:
    """Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019): states [mean, square, maximal square or none].

    Numbers: lr / (1 - beta1^t), sqrt(1 - beta2^t), 1 - beta1, beta2, 1 - beta2, eps, and weight_decay, or 1 - lr *
    weight_decay where the decay is decoupled.
    """
    step_size, root, rest1, beta2, rest2, eps, decay = numbers
    decays, decoupled, amsgrad, maximize = options
    g = _ascended(F, g, maximize)
    if decays:
        if decoupled:
            p = F.multiply(p, decay)
        else:
            g = F.add(g, F.multiply(p, decay))
    mean = _toward(F, states[0], g, rest1)
    square = _mean_square(F, states[1], g, beta2, rest2)
    largest = [F.maximum(states[2], square)] if amsgrad else []
    scale = F.add(F.divide(F.sqrt(largest[0] if amsgrad else square), root), eps)
    return F.subtract(p, F.multiply(F.divide(mean, scale), step_size)), mean, square, *largest
