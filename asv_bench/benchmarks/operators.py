"""Every declared function on its first sample, engine beside engine: a row per op, from the declarations."""

from __future__ import annotations

from typing import Any

import numpy as np

import torchplug
from benchmarks.libraries import ENGINES, Suite, finish
from torchplug._core.declare import DECLARATIONS


def _made(*shape: int, low: float = 0.1, high: float = 0.9, dtype: Any = np.float32, **_: Any) -> np.ndarray:
    return np.random.default_rng(0).uniform(low, high, shape).astype(dtype)


def _index(shape: tuple[int, ...], bound: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, bound, shape)


def _mask(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).random(shape) < 0.5


_made.index, _made.mask, _made.dtype, _made.kind = _index, _mask, np.dtype(np.float32), "float"  # type: ignore[attr-defined]


def _first(declaration: Any) -> Any:
    try:
        return next(iter(declaration.samples(_made)), None)
    except Exception:  # a family that samples only other dtypes has no row here
        return None


SAMPLES = {
    name: sample
    for name, declaration in DECLARATIONS.items()
    if declaration.samples is not None and "float" in declaration.dtypes and (sample := _first(declaration)) is not None
}


def _tensors(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return torchplug.tensor(value)
    if isinstance(value, (list, tuple)) and any(isinstance(item, np.ndarray) for item in value):
        return type(value)(_tensors(item) for item in value)
    return value


class Operator(Suite):
    """One declared function on the first of its samples."""

    params = [ENGINES, list(SAMPLES)]
    param_names = ["backend", "function"]

    def prepare(self, lib: Any, function: str) -> None:
        sample = SAMPLES[function]
        self.function = DECLARATIONS[function].function
        self.args = [_tensors(arg) for arg in sample.args]
        self.kwargs = {name: _tensors(value) for name, value in sample.kwargs.items()}
        self.function(*self.args, **self.kwargs)

    def time_function(self, name: str, function: str) -> None:
        self.function(*self.args, **self.kwargs)
        finish(name)
