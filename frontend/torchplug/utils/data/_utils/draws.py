"""Random indices and seeds, drawn on the host as PyTorch draws them, whatever the default backend is."""

from __future__ import annotations

from typing import Any

import numpy as np

from torchplug._core.random import Generator, default_generator

__all__ = ["fresh_generator", "integers", "permutation", "seed_from", "weighted"]


def permutation(n: int, generator: Generator | None) -> np.ndarray:
    """Returns `torch.randperm(n)` as an int64 array."""
    order: np.ndarray = _host(generator).randperm(n, np.int64)
    return order


def integers(high: int, count: int, generator: Generator | None) -> list[int]:
    """Returns `torch.randint(high, (count,))` as a list."""
    drawn: list[int] = _host(generator).randint((count,), 0, high, np.int64).tolist()
    return drawn


def weighted(weights: np.ndarray, count: int, replacement: bool, generator: Generator | None) -> list[int]:
    """Returns `torch.multinomial(weights, count, replacement)` as a list."""
    drawn: list[int] = _host(generator).multinomial(weights, count, replacement).tolist()
    return drawn


def seed_from(generator: Generator | None) -> int:
    """Returns what `torch.empty((), dtype=torch.int64).random_(generator=generator)` draws: a seed, 63 bits."""
    return int(_host(generator).random_((), np.int64))


def fresh_generator() -> Generator:
    """Returns a generator seeded from the default one."""
    return Generator().manual_seed(seed_from(None))


def _host(generator: Generator | None) -> Any:
    return (default_generator if generator is None else generator).host
