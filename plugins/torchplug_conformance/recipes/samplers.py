"""Sampling orders: every sampler, and what data loaders make of them, from one seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchplug_conformance.recipes.running import plain

__all__ = ["SAMPLERS", "run_sampler"]

ITEMS = 11


def _batches(torch: Any, **options: Any) -> list[Any]:
    """Returns the batches of a loader over the numbers 0 to 10."""
    return [batch.tolist() for batch in torch.utils.data.DataLoader(torch.arange(ITEMS), **options)]


def _shares(torch: Any, epoch: int, **options: Any) -> list[list[int]]:
    """Returns what each of three processes gets of one epoch."""
    shares = []
    for rank in range(3):
        sampler = torch.utils.data.DistributedSampler(range(ITEMS), num_replicas=3, rank=rank, **options)
        sampler.set_epoch(epoch)
        shares.append(list(sampler))
    return shares


def _mixed(torch: Any) -> list[Any]:
    data = torch.utils.data
    numbers, squares = torch.arange(6), torch.arange(6) ** 2
    pairs = data.TensorDataset(numbers, squares)
    whole = data.ConcatDataset([data.Subset(pairs, [5, 0, 3]), pairs])
    return [[part.tolist() for part in batch] for batch in data.DataLoader(whole, batch_size=4, shuffle=True)]


def _streamed(torch: Any) -> list[Any]:
    class Counting(torch.utils.data.IterableDataset):  # type: ignore[misc]  # of whichever library runs the recipe
        def __init__(self, first: int, end: int) -> None:
            self.first, self.end = first, end

        def __iter__(self) -> Any:
            return iter(range(self.first, self.end))

    chain = torch.utils.data.ChainDataset([Counting(0, 4), Counting(10, 13)])
    return [batch.tolist() for batch in torch.utils.data.DataLoader(chain, batch_size=3)]


SAMPLERS: dict[str, Callable[[Any], Any]] = {
    "SequentialSampler": lambda t: list(t.utils.data.SequentialSampler(range(5))),
    "RandomSampler": lambda t: list(t.utils.data.RandomSampler(range(9))),
    "RandomSampler-more-than-there-are": lambda t: list(t.utils.data.RandomSampler(range(5), num_samples=12)),
    "RandomSampler-replacement": lambda t: list(t.utils.data.RandomSampler(range(9), replacement=True, num_samples=40)),
    "RandomSampler-generator": lambda t: list(
        t.utils.data.RandomSampler(range(9), generator=t.Generator().manual_seed(3))
    ),
    "SubsetRandomSampler": lambda t: list(t.utils.data.SubsetRandomSampler([3, 5, 8, 9])),
    "WeightedRandomSampler": lambda t: list(t.utils.data.WeightedRandomSampler([0.1, 0.9, 0.4], 7)),
    "WeightedRandomSampler-without-replacement": lambda t: list(
        t.utils.data.WeightedRandomSampler([0.1, 0.9, 0.4, 0.2], 3, replacement=False)
    ),
    "BatchSampler": lambda t: list(t.utils.data.BatchSampler(t.utils.data.RandomSampler(range(7)), 3, False)),
    "BatchSampler-drop-last": lambda t: list(
        t.utils.data.BatchSampler(t.utils.data.SequentialSampler(range(7)), 3, True)
    ),
    "DistributedSampler": lambda t: [_shares(t, epoch) for epoch in (0, 1)],
    "DistributedSampler-in-order": lambda t: _shares(t, 0, shuffle=False),
    "DistributedSampler-drop-last": lambda t: _shares(t, 2, seed=7, drop_last=True),
    "random-split": lambda t: [part.indices for part in t.utils.data.random_split(range(10), [6, 4])],
    "random-split-by-parts": lambda t: [part.indices for part in t.utils.data.random_split(range(10), [0.5, 0.3, 0.2])],
    "DataLoader-in-order": lambda t: _batches(t, batch_size=4),
    "DataLoader-drop-last": lambda t: _batches(t, batch_size=4, shuffle=True, drop_last=True),
    "DataLoader-shuffle": lambda t: _batches(t, batch_size=4, shuffle=True),
    "DataLoader-generator": lambda t: _batches(t, batch_size=4, shuffle=True, generator=t.Generator().manual_seed(3)),
    "DataLoader-sampler": lambda t: _batches(
        t, batch_size=3, sampler=t.utils.data.WeightedRandomSampler([1.0] * ITEMS, 8)
    ),
    "DataLoader-batch-sampler": lambda t: _batches(
        t, batch_sampler=t.utils.data.BatchSampler(t.utils.data.RandomSampler(range(ITEMS)), 5, True)
    ),
    "DataLoader-single": lambda t: _batches(t, batch_size=None, shuffle=True),
    "DataLoader-of-datasets": _mixed,
    "DataLoader-of-a-stream": _streamed,
}
"""Class or function, perhaps with a variant after a dash -> the orders it gives."""


def run_sampler(torch: Any, name: str) -> Any:
    """Returns two orders in a row from seed 42, and the number of the default generator that follows them."""
    torch.manual_seed(42)
    first, second = SAMPLERS[name](torch), SAMPLERS[name](torch)
    return plain([first, second, torch.rand(1)])
