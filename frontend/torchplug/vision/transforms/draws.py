"""The random choices of transforms: PyTorch's numbers from the default generator, drawn on the host."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from torchplug._core.random import default_generator

__all__ = ["box_of_area", "chance", "chances", "integer", "order", "uniform"]


def uniform(low: float, high: float) -> float:
    """Returns `torch.empty(1).uniform_(low, high).item()`."""
    return float(default_generator.host.uniform((1,), np.float32, float(low), float(high))[0])


def integer(stop: int) -> int:
    """Returns `torch.randint(0, stop, (1,)).item()`."""
    return int(default_generator.host.randint((1,), 0, stop, np.int64)[0])


def order(count: int) -> list[int]:
    """Returns `torch.randperm(count).tolist()`."""
    drawn: list[int] = default_generator.host.randperm(count, np.int64).tolist()
    return drawn


def chances(count: int, p: float) -> np.ndarray:
    """Returns which of `count` draws `torch.rand(1) < p` are true."""
    below: np.ndarray = default_generator.host.rand((count,), np.float32) < np.float32(p)
    return below


def chance(p: float) -> bool:
    """Returns `bool(torch.rand(1) < p)`."""
    return bool(chances(1, p)[0])


def box_of_area(area: float, scale: Sequence[float], ratio: Sequence[float]) -> tuple[float, float]:
    """Returns (side along the ratio, side across it) of a random part of an area with a random ratio of its sides.

    The part is uniform in `scale`, the logarithm of the ratio uniform between those of `ratio`.
    """
    part = area * uniform(scale[0], scale[1])
    logarithms: Any = np.log(np.array(ratio, np.float32))
    aspect = float(np.exp(np.float32(uniform(logarithms[0], logarithms[1]))))
    return math.sqrt(part * aspect), math.sqrt(part / aspect)
