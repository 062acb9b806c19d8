"""Samplers: in which order a DataLoader reads a dataset. The orders are PyTorch's for the same seed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from torchplug._core.host import host_array
from torchplug._core.kind import engine_for
from torchplug._core.random import Generator
from torchplug._core.tensor import Tensor, wrap
from torchplug.utils.data._utils import draws
from torchplug_spec import dtypes as dt

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]

_T_co = TypeVar("_T_co", covariant=True)


class Sampler(Generic[_T_co]):
    """An order of indices (or of lists of indices): subclasses define `__iter__`, and `__len__` where it is known.

    `data_source` is not used: older programs pass it.
    """

    def __init__(self, data_source: Sized | None = None) -> None:
        pass

    def __iter__(self) -> Iterator[_T_co]:
        raise NotImplementedError("Subclasses of Sampler should implement __iter__.")


class SequentialSampler(Sampler[int]):
    """0, 1, ..., len(data_source) - 1."""

    data_source: Sized

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Indices in random order: permutations one after another, or drawn with replacement; `num_samples` in all.

    Lazy: only one permutation, or 32 numbers, is held at a time. Without a generator, each iteration draws the seed of
    one of its own from the default generator.

    Raises: TypeError for a replacement that is no bool, ValueError for a num_samples that is no positive int.
    """

    data_source: Sized
    replacement: bool

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        count: Any = self.num_samples
        if not isinstance(count, int) or count <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={count}")

    @property
    def num_samples(self) -> int:
        """How many indices one iteration yields: as asked for, else the present length of the data source."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n = len(self.data_source)
        if self.replacement:
            return self._with_replacement(n)
        return itertools.chain.from_iterable(self._permutations(n))

    def _with_replacement(self, n: int) -> Iterator[int]:
        generator = self.generator or draws.fresh_generator()
        for _ in range(self.num_samples // 32):
            yield from draws.integers(n, 32, generator)
        yield from draws.integers(n, self.num_samples % 32, generator)

    def _permutations(self, n: int) -> Iterator[list[int]]:
        generator = self.generator or draws.fresh_generator()
        for _ in range(self.num_samples // n):
            yield draws.permutation(n, generator).tolist()
        rest = self.num_samples % n
        # PyTorch draws the last permutation even when none of it is used, which moves a generator of the user's on.
        if rest or self.generator is not None:
            yield draws.permutation(n, generator).tolist()[:rest]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order."""

    indices: Sequence[int]

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for place in draws.permutation(len(self.indices), self.generator).tolist():
            yield self.indices[place]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices of `weights`, drawn with those weights, which need not sum to 1.

    Raises: ValueError for weights that are not one-dimensional, a num_samples that is no positive int, a replacement
    that is no bool.
    """

    weights: Tensor
    num_samples: int
    replacement: bool

    def __init__(
        self,
        weights: Sequence[float] | Tensor,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        _check_count(num_samples, "num_samples")
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.weights = _host_doubles(weights)
        if self.weights.ndim != 1:
            raise ValueError(
                f"weights should be a 1d sequence but given weights have shape {tuple(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        weights = self.weights.numpy()
        yield from draws.weighted(weights, self.num_samples, self.replacement, self.generator)

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices that another sampler (or any iterable) yields.

    Raises: ValueError for a batch_size that is no positive int and a drop_last that is no bool.
    """

    def __init__(self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool) -> None:
        _check_count(batch_size, "batch_size")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]  # an iterable without a length raises TypeError here
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


def _host_doubles(weights: Any) -> Tensor:
    values = host_array(weights) if isinstance(weights, Tensor) else weights
    kind = engine_for("numpy").kind(dt.float64)
    return wrap(np.asarray(values, np.float64), kind)


def _check_count(value: Any, name: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")
