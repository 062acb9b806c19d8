"""The same training steps as one writes them without a framework: with JAX, jitted whole, and with HIPS/autograd.

Only plain functions over arrays: what a user of these packages would write, in the form their tutorials show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["make_step"]

Arrays = list[Any]

PERCEPTRONS = {
    "MLP 64x1000-100-10 SGD": ((64, 1000), (1000, 100, 10), "SGD"),
    "MLP 64x1000-100-10 Adam": ((64, 1000), (1000, 100, 10), "Adam"),
    "MLP 784-512-512-10 batch 128 Adam": ((128, 784), (784, 512, 512, 10), "Adam"),
}
TUTORIAL_NET = "CNN of the tutorials batch 64"


def make_step(name: str, case: str) -> Callable[[], Any]:
    """Returns a training step without arguments, ready when it returns; NotImplementedError for a case without a form."""
    if name == "jax-by-hand" and case in (*PERCEPTRONS, TUTORIAL_NET):
        return _jax_step(case)
    if name == "autograd" and case in PERCEPTRONS:
        return _autograd_step(case)
    raise NotImplementedError(f"{name} has no form of {case}")


def _data(case: str) -> tuple[Any, Any, str]:
    random = np.random.default_rng(0)
    shape, optimizer = ((64, 1, 28, 28), "SGD") if case == TUTORIAL_NET else PERCEPTRONS[case][::2]
    return random.normal(size=shape).astype("f"), random.integers(0, 10, shape[0]), optimizer


def _weights(case: str) -> Arrays:
    random = np.random.default_rng(1)
    if case == TUTORIAL_NET:
        shapes: list[tuple[int, ...]] = [(10, 1, 5, 5), (10,), (20, 10, 5, 5), (20,), (320, 10), (10,)]
    else:
        sizes = PERCEPTRONS[case][1]
        shapes = [shape for one, two in zip(sizes, sizes[1:], strict=False) for shape in ((one, two), (two,))]
    return [(random.normal(size=shape) * 0.05).astype("f") for shape in shapes]


def _perceptron(np_: Any, weights: Arrays, x: Any) -> Any:
    for place in range(0, len(weights), 2):
        x = np_.dot(x, weights[place]) + weights[place + 1]
        if place + 2 < len(weights):
            x = np_.maximum(x, 0)
    return x


def _cross_entropy(np_: Any, scores: Any, labels: Any) -> Any:
    scores = scores - np_.max(scores, axis=1, keepdims=True)
    picked = scores[np.arange(labels.shape[0]), labels]
    return np_.mean(np_.log(np_.sum(np_.exp(scores), axis=1)) - picked)


def _update(np_: Any, optimizer: str, weights: Arrays, grads: Arrays, state: tuple) -> tuple[Arrays, tuple]:
    if optimizer == "SGD":
        return [w - 0.01 * g for w, g in zip(weights, grads, strict=True)], state
    first, second, count = state
    count = count + 1
    first = [0.9 * m + 0.1 * g for m, g in zip(first, grads, strict=True)]
    second = [0.999 * v + 0.001 * g * g for v, g in zip(second, grads, strict=True)]
    rate, scale = 1e-3 / (1 - 0.9**count), (1 - 0.999**count) ** 0.5
    made = [w - rate * m / (np_.sqrt(v) / scale + 1e-8) for w, m, v in zip(weights, first, second, strict=True)]
    return made, (first, second, count)


def _jax_step(case: str) -> Callable[[], Any]:
    import jax
    import jax.numpy as jnp

    def net(weights: Arrays, x: Any) -> Any:
        if case != TUTORIAL_NET:
            return _perceptron(jnp, weights, x)
        for kernel, bias in ((weights[0], weights[1]), (weights[2], weights[3])):
            x = jax.lax.conv(x, kernel, (1, 1), "VALID") + bias[:, None, None]
            batch, channels, rows, columns = x.shape
            x = jnp.max(x.reshape(batch, channels, rows // 2, 2, columns // 2, 2), axis=(3, 5))
            x = jnp.maximum(x, 0)
        return _perceptron(jnp, weights[4:], x.reshape(x.shape[0], -1))

    x, labels, optimizer = _data(case)
    x, labels = jnp.asarray(x), jnp.asarray(labels)

    @jax.jit
    def whole(weights: Arrays, state: tuple) -> tuple[Any, Arrays, tuple]:
        loss, grads = jax.value_and_grad(lambda held: _cross_entropy(jnp, net(held, x), labels))(weights)
        return loss, *_update(jnp, optimizer, weights, grads, state)

    held: list[Any] = [[jnp.asarray(w) for w in _weights(case)], ()]
    if optimizer == "Adam":
        held[1] = ([jnp.zeros_like(w) for w in held[0]], [jnp.zeros_like(w) for w in held[0]], jnp.float32(0))

    def step() -> Any:
        loss, held[0], held[1] = whole(*held)
        return loss.block_until_ready()

    step()
    return step


def _autograd_step(case: str) -> Callable[[], Any]:
    import autograd.numpy as anp

    from autograd import value_and_grad

    x, labels, optimizer = _data(case)
    both = value_and_grad(lambda weights: _cross_entropy(anp, _perceptron(anp, weights, x), labels))
    held: list[Any] = [_weights(case), ()]
    if optimizer == "Adam":
        held[1] = ([np.zeros_like(w) for w in held[0]], [np.zeros_like(w) for w in held[0]], 0)

    def step() -> Any:
        loss, grads = both(held[0])
        held[0], held[1] = _update(np, optimizer, held[0], grads, held[1])
        return loss

    step()
    return step
