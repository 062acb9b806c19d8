"""Datasets and functions that worker processes can import; see test_workers.py."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np

import torchplug as torch
from torchplug.utils.data import Dataset, IterableDataset, get_worker_info


class Squares(Dataset[Any]):
    """Sample i is a tensor of i squared, i, and the text of i."""

    def __init__(self, length: int = 23) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return torch.full((2, 3), float(index * index)), index, str(index)


class Shared(Dataset[Any]):
    """Rows of one large tensor, which workers see without a copy of their own until they write."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        row = self.rows[index].clone()
        self.rows[index] = -1.0
        return row


class Draws(Dataset[Any]):
    """What each of three generators draws for a sample, and the worker's seeds."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        me = get_worker_info()
        assert me is not None
        return (
            index,
            me.id,
            me.seed,
            torch.initial_seed(),
            torch.rand(()).item(),
            random.random(),
            float(np.random.rand()),
        )


class Where(Dataset[Any]):
    """Who reads a sample."""

    def __init__(self, tag: str = "") -> None:
        self.tag = tag

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        me = get_worker_info()
        assert me is not None
        return (index, me.id, me.num_workers, me.dataset is self, self.tag, torch.get_backend())


class Counting(IterableDataset[Any]):
    """0, 1, ... below a number, dealt out to the workers."""

    def __init__(self, stop: int, announced: int | None = None) -> None:
        self.stop = stop
        self.announced = announced

    def __iter__(self) -> Iterator[int]:
        me = get_worker_info()
        return iter(range(self.stop)) if me is None else iter(range(me.id, self.stop, me.num_workers))

    def __len__(self) -> int:
        if self.announced is None:
            raise TypeError("no length")
        return self.announced


class Fails(Dataset[Any]):
    """Raises the given exception for one sample."""

    def __init__(self, error: Exception, at: int = 3) -> None:
        self.error = error
        self.at = at

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        if index == self.at:
            raise self.error
        return index


class Lifelike(Dataset[Any]):
    """Samples of every element type and of tensors with gradients."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return {
            name: torch.full((2,), index, dtype=getattr(torch, name))
            for name in ("bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64")
        }


class TwoArguments(Exception):
    """An exception that cannot be made from a message alone."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first, second)


def tag_worker(number: int) -> None:
    """A worker_init_fn that writes to the worker's copy of the dataset."""
    me = get_worker_info()
    assert me is not None
    me.dataset.tag = f"worker {number}"


def refuse_worker(number: int) -> None:
    """A worker_init_fn that fails."""
    raise ValueError(f"not worker {number}")


def as_texts(samples: list[Any]) -> str:
    """A collate_fn."""
    return " ".join(str(sample[1]) for sample in samples)


def with_lambda(samples: list[Any]) -> Any:
    """A collate_fn whose batch cannot be sent."""
    return lambda: samples
