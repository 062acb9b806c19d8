"""Arguments for every kernel of the plugin: random ones, and such with NaN, infinities and numbers far out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["CALLS", "KERNELS", "SPECIAL", "random_array"]

SPECIAL = [
    np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 6.0, 20.0, 20.5, -20.0, 87.0, -87.0, 90.0, -90.0,
    1e-3, -1e-3, 1e-30, -1e-30, 1e15, -1e15, 1e30, -1e30,
]  # fmt: skip

Make = Callable[..., np.ndarray]
Arguments = tuple[Any, ...]


def random_array(dtype: type, seed: int = 0) -> Make:
    """Returns a function that makes arrays of a shape, with values in [-3, 3]."""
    source = np.random.default_rng(seed)
    return lambda *shape: source.uniform(-3, 3, shape).astype(dtype)


def _elementwise(operands: int, *numbers: Any) -> Callable[[Make], Iterator[Arguments]]:
    def calls(make: Make) -> Iterator[Arguments]:
        for shape in ((3, 5), (), (7,), (2, 3, 33), (0, 3)):
            yield *(make(*shape) for _ in range(operands)), *numbers

    return calls


def _along_rows(operands: int) -> Callable[[Make], Iterator[Arguments]]:
    def calls(make: Make) -> Iterator[Arguments]:
        last = ((3, 5), 1), ((7,), 0), ((2, 3, 33), 2), ((2, 3, 4), -1), ((2, 5000), 1), ((4, 1), 1)
        for shape, dim in (*last, ((3, 4), 0)):
            yield *(make(*shape) for _ in range(operands)), dim

    return calls


def _attention(make: Make) -> Iterator[Arguments]:
    for batch, queries, keys in (((2, 3), 4, 6), ((2,), 5, 5), ((), 7, 4), ((2,), 3, 5000)):
        given = make(*batch, queries, 5), make(*batch, keys, 5), make(*batch, keys, 2)
        yield *given, None, False, 0.3
        yield *given, None, True, 0.7
        yield *given, make(queries, keys), True, 0.7


def _attention_backward(make: Make) -> Iterator[Arguments]:
    for query, key, value, _, _, scale in _attention(make):
        if len(key) < 5000:
            weights = abs(make(*query.shape[:-1], key.shape[-2])) / 6
            for needs in ((True, True, True, False), (False, False, True, False), (True, False, True, False)):
                yield make(*query.shape[:-1], 2), query, key, value, weights, scale, (), needs


def _layer_norm(make: Make) -> Iterator[Arguments]:
    for shape, count in (((3, 5), 1), ((2, 3, 4), 2), ((2, 5000), 1), ((200, 3), 1), ((0, 3), 1)):
        features = shape[len(shape) - count :]
        yield make(*shape), make(*features), make(*features), count, 1e-5
        yield make(*shape), None, None, count, 1e-3
        yield make(*shape), None, make(*features), count, 0.1


def _layer_norm_backward(make: Make) -> Iterator[Arguments]:
    for shape, count in (((3, 5), 1), ((2, 3, 4), 2), ((200, 3), 1)):
        kept = shape[: len(shape) - count] + (1,) * count
        given = make(*shape), make(*shape)
        weight = make(*shape[len(shape) - count :])
        statistics = make(*kept), abs(make(*kept)) + 0.5
        yield *given, weight, *statistics, count, (True, True, True)
        yield *given, weight, *statistics, count, (True, False, False)
        yield *given, None, *statistics, count, (True, False, False)
        yield *given, weight, *statistics, count, (False, False, True)


def _rms_norm(make: Make) -> Iterator[Arguments]:
    for x, weight, _, count, eps in _layer_norm(make):
        yield x, weight, count, eps


def _rms_norm_backward(make: Make) -> Iterator[Arguments]:
    for g, x, weight, _, scale, count, needs in _layer_norm_backward(make):
        if any(needs[:2]):
            yield g, x, weight, scale, count, needs[:2]


def _labels(*shape: int, classes: int) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int)).reshape(shape) * 5 % classes


def _nll(make: Make) -> Iterator[Arguments]:
    for shape in ((4, 6), (2, 3, 4), (2, 3, 2, 5), (6,)):
        classes = shape[1] if len(shape) > 1 else shape[0]
        target = _labels(*shape[:1], *shape[2:], classes=classes) if len(shape) > 1 else np.array(2)
        for reduction in ("mean", "sum", "none"):
            yield make(*shape), target, None, reduction, -100
            yield make(*shape), target, abs(make(classes)), reduction, -100
            yield make(*shape), target, abs(make(classes)), reduction, 2
    yield make(4, 6), np.full(4, -100), None, "mean", -100


def _nll_backward(make: Make) -> Iterator[Arguments]:
    for x, target, weight, reduction, ignored in _nll(make):
        g = make(*target.shape) if reduction == "none" else make()
        yield g, target, weight, reduction, ignored, x.shape


def _embedding_backward(make: Make) -> Iterator[Arguments]:
    for shape in ((7,), (2, 3), ()):
        indices = _labels(*shape, classes=4)
        for padding, by_frequency in ((-1, False), (2, False), (-1, True), (1, True)):
            yield make(*shape, 5), indices, 6, padding, by_frequency


def _take_backward(make: Make) -> Iterator[Arguments]:
    yield make(7, 5), _labels(7, classes=4), (6, 5), 0
    yield make(5, 7), _labels(7, classes=4), (5, 6), 1
    yield make(0, 5), _labels(0, classes=4), (6, 5), 0


def _sgd_step(make: Make) -> Iterator[Arguments]:
    for decays in (True, False):
        for momentum, nesterov in ((False, False), (True, False), (True, True)):
            for started in (True, False):
                group = [make(3, 4), make(5)], [make(3, 4), make(5)]
                states = [make(3, 4), make(5)] if momentum and started else []
                yield *group, states, (0.1, 0.9, 0.8, 0.01), (decays, momentum, nesterov, started)


def _adam_step(make: Make) -> Iterator[Arguments]:
    for decays, decoupled, amsgrad, maximize in ((1, 0, 0, 0), (1, 1, 0, 1), (0, 0, 1, 0), (1, 1, 1, 0)):
        states = [make(3, 4), make(5), *(abs(make(*shape)) for _ in range(1 + amsgrad) for shape in ((3, 4), (5,)))]
        numbers = (0.1, 0.7, 0.1, 0.999, 0.001, 1e-8, 0.99)
        options = tuple(map(bool, (decays, decoupled, amsgrad, maximize)))
        yield [make(3, 4), make(5)], [make(3, 4), make(5)], states, numbers, options


CALLS: dict[str, Callable[[Make], Iterator[Arguments]]] = {
    "softmax": _along_rows(1), "log_softmax": _along_rows(1),
    "softmax_backward": _along_rows(2), "log_softmax_backward": _along_rows(2),
    "attention": _attention, "attention_backward": _attention_backward,
    "layer_norm": _layer_norm, "layer_norm_backward": _layer_norm_backward,
    "rms_norm": _rms_norm, "rms_norm_backward": _rms_norm_backward,
    "nll_loss": _nll, "nll_loss_backward": _nll_backward,
    "embedding_backward": _embedding_backward, "take_backward": _take_backward,
    "sgd_step": _sgd_step, "adam_step": _adam_step,
}  # fmt: skip
"""Kernel name -> what gives its arguments, one tuple for each call."""

ELEMENTWISE: dict[str, tuple[Any, ...]] = {
    "sigmoid": (), "silu": (), "log_sigmoid": (), "mish": (), "hardswish": (), "tanh": (),
    "softplus": (1.5, 20.0), "elu": (0.7, 1.1, 1.3), "leaky_relu": (0.2,), "threshold": (0.5,), "hardtanh": (-1, 2.5),
}  # fmt: skip
"""Function -> its numbers; those of its derivative are the same."""

for _name, _numbers in ELEMENTWISE.items():
    CALLS[_name] = _elementwise(1, *_numbers)
    CALLS[f"{_name}_backward"] = _elementwise(2, *_numbers)
for _form in ("none", "tanh"):
    CALLS[f"gelu {_form}"] = _elementwise(1, _form)
    CALLS[f"gelu_backward {_form}"] = _elementwise(2, _form)
for _absent in ("tanh", "threshold", "hardtanh"):
    del CALLS[_absent]

KERNELS = {call.partition(" ")[0] for call in CALLS}
