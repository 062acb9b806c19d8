"""Inputs of recipes, seeded by name, and results as plain numbers."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

__all__ = ["Floats", "Whole", "arrays_for", "plain", "weighted"]


class Floats:
    """A float32 input of a shape, in [low, high)."""

    def __init__(self, *shape: int, low: float = -2.0, high: float = 2.0) -> None:
        self.shape = shape
        self.low = low
        self.high = high

    def draw(self, random: np.random.Generator) -> np.ndarray:
        return np.asarray(random.uniform(self.low, self.high, self.shape), np.float32)


class Whole:
    """An int64 input of a shape, in [low, bound)."""

    def __init__(self, bound: int, *shape: int, low: int = 0) -> None:
        self.low = low
        self.bound = bound
        self.shape = shape

    def draw(self, random: np.random.Generator) -> np.ndarray:
        return np.asarray(random.integers(self.low, self.bound, self.shape), np.int64)


def arrays_for(name: str, inputs: tuple[Any, ...]) -> list[np.ndarray]:
    """Returns the inputs of the recipe `name`, the same ones everywhere; arrays stand for themselves."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    return [spec if isinstance(spec, np.ndarray) else spec.draw(random) for spec in inputs]


def plain(value: Any) -> Any:
    """Returns a result with its tensors as nested lists of numbers of 8 significant digits, which a float32 has."""
    if hasattr(value, "tolist"):
        return plain(value.detach().tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return float(f"{value:.8g}") if isinstance(value, float) else value


def weighted(torch: Any, result: Any, name: str) -> Any:
    """Returns a sum of the float tensors of a result, each element weighted by a number of its own."""
    random = np.random.default_rng(zlib.crc32(f"weights of {name}".encode()))
    tensors = [item for item in _flat(result) if item.is_floating_point()]
    total = None
    for tensor in tensors:
        weights = torch.tensor(np.asarray(random.uniform(0.5, 1.5, tuple(tensor.shape)), np.float32))
        part = (tensor * weights).sum()
        total = part if total is None else total + part
    return total


def _flat(result: Any) -> list[Any]:
    if isinstance(result, (list, tuple)):
        return [item for part in result for item in _flat(part)]
    return [] if result is None else [result]
