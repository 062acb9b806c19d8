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

    def kernel(
        F: Any, params: Arrays, grads: Arrays, states: Arrays, numbers: tuple, options: tuple
    ) -> tuple[list, list]:
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


@_step
def adagrad_step(F: Any, p: Any, g: Any, states: Arrays, numbers: tuple, options: tuple) -> tuple[Any, ...]:
    """Adagrad (Duchi et al., 2011): states [sum of squares]; the learning rate comes with its decay applied."""
    lr, eps, weight_decay = numbers
    g = _penalized(F, p, g, weight_decay, *options)
    total = F.add(states[0], F.multiply(g, g))
    return _moved(F, p, g, F.add(F.sqrt(total), eps), lr), total


@_step
def adadelta_step(F: Any, p: Any, g: Any, states: Arrays, numbers: tuple, options: tuple) -> tuple[Any, ...]:
    """Adadelta (Zeiler, 2012): states [mean square gradient, mean square update]."""
    lr, rho, rest, eps, weight_decay = numbers
    g = _penalized(F, p, g, weight_decay, *options)
    square = _mean_square(F, states[0], g, rho, rest)
    change = F.multiply(F.divide(F.sqrt(F.add(states[1], eps)), F.sqrt(F.add(square, eps))), g)
    return F.subtract(p, F.multiply(change, lr)), square, _mean_square(F, states[1], change, rho, rest)


@_step
def rmsprop_step(F: Any, p: Any, g: Any, states: Arrays, numbers: tuple, options: tuple) -> tuple[Any, ...]:
    """RMSprop (Hinton, 2012), centred as Graves (2013) does: states [mean square, buffer if momentum, mean if centred]."""
    lr, alpha, rest, eps, weight_decay, momentum = numbers
    decays, has_momentum, centered, maximize = options
    g = _penalized(F, p, g, weight_decay, decays, maximize)
    square = _mean_square(F, states[0], g, alpha, rest)
    made = [square]
    spread = square
    if centered:
        mean = _toward(F, states[-1], g, rest)
        spread = F.subtract(square, F.multiply(mean, mean))
    scale = F.add(F.sqrt(spread), eps)
    if has_momentum:
        made.append(F.add(F.multiply(states[1], momentum), F.divide(g, scale)))
        p = F.subtract(p, F.multiply(made[1], lr))
    else:
        p = _moved(F, p, g, scale, lr)
    return p, *made, *([mean] if centered else [])


@_step
def adamax_step(F: Any, p: Any, g: Any, states: Arrays, numbers: tuple, options: tuple) -> tuple[Any, ...]:
    """Adamax (Kingma and Ba, 2015): states [mean, largest]; numbers: lr / (1 - beta1^t), 1 - beta1, beta2, eps, weight_decay."""
    step_size, rest1, beta2, eps, weight_decay = numbers
    g = _penalized(F, p, g, weight_decay, *options)
    mean = _toward(F, states[0], g, rest1)
    largest = F.maximum(F.multiply(states[1], beta2), F.add(F.abs(g), eps))
    return _moved(F, p, mean, largest, step_size), mean, largest


@_step
def nadam_step(F: Any, p: Any, g: Any, states: Arrays, numbers: tuple, options: tuple) -> tuple[Any, ...]:
    """NAdam (Dozat, 2016): states [mean, square]; the step is split between the gradient and the mean."""
    g_size, mean_size, correction2, rest1, beta2, rest2, eps, decay = numbers
    decays, decoupled, maximize = options
    if decays and decoupled:
        p = F.multiply(p, decay)
    g = _penalized(F, p, g, decay, decays and not decoupled, maximize)
    mean = _toward(F, states[0], g, rest1)
    square = _mean_square(F, states[1], g, beta2, rest2)
    scale = F.add(F.sqrt(F.divide(square, correction2)), eps)
    return _moved(F, _moved(F, p, g, scale, g_size), mean, scale, mean_size), mean, square


@_step
def radam_step(F: Any, p: Any, g: Any, states: Arrays, numbers: tuple, options: tuple) -> tuple[Any, ...]:
    """RAdam (Liu et al., 2020): states [mean, square]; `rectifier` is 0 while the variance is not yet tractable."""
    step_size, rectifier, rest1, beta2, rest2, eps, decay = numbers
    decays, decoupled, maximize = options
    if decays and decoupled:
        p = F.multiply(p, decay)
    g = _penalized(F, p, g, decay, decays and not decoupled, maximize)
    mean = _toward(F, states[0], g, rest1)
    square = _mean_square(F, states[1], g, beta2, rest2)
    rectifier = _array(F, p, rectifier)
    adaptive = F.divide(rectifier, F.add(F.sqrt(square), eps))
    scale = F.where(F.equal(rectifier, 0), F.full_of(p, tuple(p.shape), 1), adaptive)
    return F.subtract(p, F.multiply(F.multiply(mean, step_size), scale)), mean, square


@_step
def asgd_step(F: Any, p: Any, g: Any, states: Arrays, numbers: tuple, options: tuple) -> tuple[Any, ...]:
    """Averaged gradient descent (Polyak and Juditsky, 1992): states [average]; `shrink` is 1 - lambd * eta."""
    eta, shrink, mu, weight_decay = numbers
    g = _penalized(F, p, g, weight_decay, *options)
    p = F.subtract(F.multiply(p, shrink), F.multiply(g, eta))
    return p, _toward(F, states[0], p, mu)


@_step
def rprop_step(F: Any, p: Any, g: Any, states: Arrays, numbers: tuple, options: tuple) -> tuple[Any, ...]:
    """Resilient backpropagation (Riedmiller and Braun, 1993): states [previous gradient, step sizes]."""
    shorter, longer, shortest, longest = [_array(F, p, number) for number in numbers]
    (maximize,) = options
    g = _ascended(F, g, maximize)
    agreement = F.multiply(g, states[0])
    zero, one = F.full_of(p, (), 0), F.full_of(p, (), 1)
    turned = F.less(agreement, zero)
    factor = F.where(turned, shorter, F.where(F.less(zero, agreement), longer, one))
    size = F.minimum(F.maximum(F.multiply(states[1], factor), shortest), longest)
    g = F.where(turned, zero, g)
    direction = F.where(F.less(zero, g), one, F.where(F.less(g, zero), F.negative(one), zero))
    return F.subtract(p, F.multiply(direction, size)), g, size


def _penalized(F: Any, p: Any, g: Any, weight_decay: Any, decays: bool, maximize: bool) -> Any:
    """Returns the gradient to follow: turned round, and with the pull of the weights towards 0."""
    g = _ascended(F, g, maximize)
    return F.add(g, F.multiply(p, weight_decay)) if decays else g


def _moved(F: Any, p: Any, direction: Any, scale: Any, lr: Any) -> Any:
    return F.subtract(p, F.multiply(F.divide(direction, scale), lr))


def _array(F: Any, like: Any, number: Any) -> Any:
    return F.full_of(like, (), number) if isinstance(number, (int, float)) else number
