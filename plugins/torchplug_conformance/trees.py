"""Nested containers of arguments and results: walking them, and results as host values without an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torchplug._core.tensor import Tensor, array_of
from torchplug_spec import DType

__all__ = ["Leaf", "arrays_in", "snapshot", "tensors_in", "tree_map"]


class Leaf:
    """The host values and the dtype of a tensor."""

    __slots__ = ("dtype", "values")

    def __init__(self, values: np.ndarray, dtype: DType) -> None:
        self.values = values
        self.dtype = dtype

    def __repr__(self) -> str:
        return f"{self.dtype}{list(self.values.shape)}"


def tree_map(function: Callable[[Any], Any], value: Any) -> Any:
    """Returns nested lists, tuples and dicts with `function` applied to their leaves; named tuples become tuples."""
    if isinstance(value, tuple):
        return tuple(tree_map(function, item) for item in value)
    if isinstance(value, list):
        return [tree_map(function, item) for item in value]
    if isinstance(value, dict):
        return {key: tree_map(function, item) for key, item in value.items()}
    return function(value)


def arrays_in(value: Any) -> list[np.ndarray]:
    """Returns the NumPy arrays inside nested containers, in order."""
    return _found(value, np.ndarray)


def tensors_in(value: Any) -> list[Tensor]:
    """Returns the tensors inside nested containers, in order."""
    return _found(value, Tensor)


def _found(value: Any, kind: type) -> list[Any]:
    found: list[Any] = []
    tree_map(lambda item: found.append(item) if isinstance(item, kind) else None, value)
    return found


def snapshot(value: Any) -> Any:
    """Returns a result with its tensors copied to the host."""
    return tree_map(lambda item: _leaf(item) if isinstance(item, Tensor) else item, value)


def _leaf(tensor: Tensor) -> Leaf:
    # A copy, because on an engine that shares memory with NumPy later writes would reach the snapshot.
    return Leaf(np.array(tensor._kind.F.to_numpy(array_of(tensor))), tensor._kind.dtype)
