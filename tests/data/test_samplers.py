"""Samplers give PyTorch's orders for the same seed, lazily, and leave the generators where PyTorch leaves them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import torchplug
import torchplug.utils.data


@pytest.fixture
def torch() -> ModuleType:
    """PyTorch, with its data package."""
    module = pytest.importorskip("torch")
    pytest.importorskip("torch.utils.data")
    assert isinstance(module, ModuleType)
    return module


WEIGHTS = [0.1, 0.9, 0.4, 0.7, 3.0, 0.6]

ORDERS: dict[str, Callable[[Any, Any], Any]] = {
    "sequential": lambda data, g: data.SequentialSampler(range(5)),
    "shuffled": lambda data, g: data.RandomSampler(range(11), generator=g),
    "part of a permutation": lambda data, g: data.RandomSampler(range(11), num_samples=4, generator=g),
    "several permutations": lambda data, g: data.RandomSampler(range(5), num_samples=13, generator=g),
    "with replacement": lambda data, g: data.RandomSampler(range(11), True, 70, g),
    "with replacement, 32 at a time": lambda data, g: data.RandomSampler(range(11), True, 64, g),
    "subset": lambda data, g: data.SubsetRandomSampler([3, 1, 4, 1, 5], generator=g),
    "weighted": lambda data, g: data.WeightedRandomSampler(WEIGHTS, 9, True, generator=g),
    "weighted without replacement": lambda data, g: data.WeightedRandomSampler(WEIGHTS, 6, False, generator=g),
    "batches": lambda data, g: data.BatchSampler(data.RandomSampler(range(11), generator=g), 4, False),
    "whole batches": lambda data, g: data.BatchSampler(data.RandomSampler(range(11), generator=g), 4, True),
    "batches of an iterable": lambda data, g: data.BatchSampler("abcde", 2, False),
    "distributed": lambda data, g: data.DistributedSampler(range(11), 3, 1, seed=5),
    "distributed, few": lambda data, g: data.DistributedSampler(range(2), 5, 4),
    "distributed, in order": lambda data, g: data.DistributedSampler(range(11), 3, 2, shuffle=False, drop_last=True),
}


@pytest.mark.parametrize("given", [False, True], ids=["default generator", "given generator"])
@pytest.mark.parametrize("name", ORDERS)
def test_orders_are_pytorchs(torch: ModuleType, name: str, given: bool) -> None:
    results = []
    for lib in (torchplug, torch):
        lib.manual_seed(3)
        generator = lib.Generator().manual_seed(8) if given else None
        sampler = ORDERS[name](lib.utils.data, generator)
        results.append([list(sampler), list(sampler), len(sampler)])
        results[-1].append(lib.rand(3).tolist())
        if generator is not None:
            results[-1].append(lib.rand(3, generator=generator).tolist())
    assert results[0] == results[1]


def test_a_recorded_shuffle() -> None:
    torchplug.manual_seed(0)
    assert list(torchplug.utils.data.RandomSampler(range(10))) == RECORDED_SHUFFLE


RECORDED_SHUFFLE = [6, 9, 0, 7, 3, 5, 4, 2, 1, 8]
"""PyTorch 2.13.0: manual_seed(0); list(RandomSampler(range(10)))."""


def test_epochs_of_a_distributed_sampler_differ_and_its_shares_are_disjoint() -> None:
    shares = [torchplug.utils.data.DistributedSampler(range(12), 3, rank) for rank in range(3)]
    first = [list(share) for share in shares]
    assert sorted(itertools.chain(*first)) == list(range(12))
    for share in shares:
        share.set_epoch(1)
    assert [list(share) for share in shares] != first


@pytest.mark.parametrize("replacement", [True, False])
def test_ten_thousand_million_samples_take_no_memory(replacement: bool) -> None:
    sampler = torchplug.utils.data.RandomSampler(range(100), replacement, int(1e10))
    assert len(sampler) == 10**10
    batches = iter(torchplug.utils.data.BatchSampler(sampler, 40, False))
    assert len(next(batches) + next(batches) + next(batches)) == 120


def test_the_seed_of_a_shuffle_is_drawn_when_it_begins() -> None:
    torchplug.manual_seed(1)
    untouched = torchplug.rand(1).item()
    torchplug.manual_seed(1)
    iterator = iter(torchplug.utils.data.RandomSampler(range(4)))
    assert torchplug.rand(1).item() == untouched
    assert sorted(iterator) == [0, 1, 2, 3]


WRONG: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "empty": (lambda data: data.RandomSampler([]), ValueError, "positive integer value, but got num_samples=0"),
    "count": (lambda data: data.RandomSampler([1], True, 2.5), ValueError, "but got num_samples=2.5"),
    "replacement": (lambda data: data.RandomSampler([1], "no"), TypeError, "boolean value, but got replacement=no"),
    "weights": (lambda data: data.WeightedRandomSampler([[1.0]], 1), ValueError, r"weights have shape \(1, 1\)"),
    "weighted count": (lambda data: data.WeightedRandomSampler([1.0], 0), ValueError, "but got num_samples=0"),
    "weighted bool": (lambda data: data.WeightedRandomSampler([1.0], 1, 1), ValueError, "but got replacement=1"),
    "batch size": (lambda data: data.BatchSampler([1], 0, False), ValueError, "but got batch_size=0"),
    "bool as batch size": (lambda data: data.BatchSampler([1], True, False), ValueError, "but got batch_size=True"),
    "drop last": (lambda data: data.BatchSampler([1], 1, 1), ValueError, "but got drop_last=1"),
    "rank": (lambda data: data.DistributedSampler([1], 2, 2), ValueError, r"Invalid rank 2, .*\[0, 1\]"),
    "no group": (lambda data: data.DistributedSampler([1]), ValueError, "Default process group has not been init"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_refused_in_pytorchs_words(name: str) -> None:
    make, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        make(torchplug.utils.data)
    torch = pytest.importorskip("torch")
    if name != "no group" or not torch.distributed.is_initialized():
        with pytest.raises(error, match=words):
            make(pytest.importorskip("torch.utils.data"))


def test_a_sampler_of_ones_own_may_call_its_base_with_the_data_source() -> None:
    class Backwards(torchplug.utils.data.Sampler[int]):
        def __init__(self, data: Any) -> None:
            super().__init__(data)
            self.data = data

        def __iter__(self) -> Any:
            return iter(reversed(range(len(self.data))))

    assert list(Backwards("abc")) == [2, 1, 0]
    with pytest.raises(NotImplementedError):
        iter(torchplug.utils.data.Sampler())
