"""DataLoader in one process: PyTorch's batches, order, draws, lengths, warnings and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import torchplug
import torchplug.utils.data
from torchplug.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset


@pytest.fixture
def torch() -> ModuleType:
    """PyTorch, with its data package."""
    module = pytest.importorskip("torch")
    pytest.importorskip("torch.utils.data")
    assert isinstance(module, ModuleType)
    return module


def stream_of(lib: ModuleType, stop: int, announced: int | None = None) -> Any:
    class Stream(lib.utils.data.IterableDataset):  # type: ignore[misc,name-defined]  # a class of either library
        def __iter__(self) -> Iterator[int]:
            return iter(range(stop))

        def __len__(self) -> int:
            if announced is None:
                raise TypeError("no length")
            return announced

        def __repr__(self) -> str:
            return "Stream"

    return Stream()


LOADERS: dict[str, Callable[[Any], Any]] = {
    "one by one": lambda lib: lib.utils.data.DataLoader(list(range(3))),
    "batches": lambda lib: lib.utils.data.DataLoader(list(range(10)), 4),
    "whole batches": lambda lib: lib.utils.data.DataLoader(list(range(10)), 4, drop_last=True),
    "shuffled": lambda lib: lib.utils.data.DataLoader(list(range(10)), 4, shuffle=True),
    "shuffled by a generator": lambda lib: lib.utils.data.DataLoader(
        list(range(10)), 4, shuffle=True, generator=lib.Generator().manual_seed(4)
    ),
    "sampler": lambda lib: lib.utils.data.DataLoader(list(range(10)), 3, sampler=[5, 3, 1, 0]),
    "batch sampler": lambda lib: lib.utils.data.DataLoader(list(range(10)), batch_sampler=[[1, 2], [3]]),
    "not batched": lambda lib: lib.utils.data.DataLoader([np.arange(i) for i in range(4)], None),
    "not batched, by lists": lambda lib: lib.utils.data.DataLoader(
        lib.utils.data.TensorDataset(lib.arange(10)), None, sampler=[[1, 2], [3]]
    ),
    "collate": lambda lib: lib.utils.data.DataLoader(list(range(5)), 2, collate_fn=sum),
    "tensors": lambda lib: lib.utils.data.DataLoader(
        lib.utils.data.TensorDataset(lib.arange(10.0), lib.eye(10)), 4, shuffle=True
    ),
    "subset": lambda lib: lib.utils.data.DataLoader(
        lib.utils.data.Subset(lib.utils.data.TensorDataset(lib.arange(10.0)), [3, 1, 4, 1, 5]), 2, shuffle=True
    ),
    "stream": lambda lib: lib.utils.data.DataLoader(stream_of(lib, 10, 10), 4),
    "stream of whole batches": lambda lib: lib.utils.data.DataLoader(stream_of(lib, 10, 10), 4, drop_last=True),
    "stream, not batched": lambda lib: lib.utils.data.DataLoader(stream_of(lib, 3, 3), None),
}


def plain(batch: Any) -> Any:
    if isinstance(batch, list | tuple):
        return [plain(part) for part in batch]
    return (str(batch.dtype), batch.tolist()) if hasattr(batch, "dtype") else batch


@pytest.mark.parametrize("name", LOADERS)
def test_two_epochs_and_what_is_drawn_after_them_are_pytorchs(torch: ModuleType, name: str) -> None:
    results = []
    for lib in (torchplug, torch):
        lib.manual_seed(11)
        loader = LOADERS[name](lib)
        epochs = [[plain(batch) for batch in loader] for _ in range(2)]
        results.append((epochs, len(loader), lib.rand(3).tolist()))
    assert results[0] == results[1]


def test_a_recorded_shuffle() -> None:
    torchplug.manual_seed(0)
    order = [int(batch) for batch in DataLoader(list(range(10)), shuffle=True)]  # type: ignore[arg-type]  # a sequence
    assert order == RECORDED_SHUFFLE


RECORDED_SHUFFLE = [6, 7, 1, 4, 2, 0, 9, 8, 3, 5]
"""PyTorch 2.13.0: manual_seed(0); [int(batch) for batch in DataLoader(list(range(10)), shuffle=True)]."""


DATA = list(range(4))

WRONG: dict[str, Callable[[Any], Any]] = {
    "negative workers": lambda data: data.DataLoader(DATA, num_workers=-1),
    "negative timeout": lambda data: data.DataLoader(DATA, timeout=-1),
    "prefetch without workers": lambda data: data.DataLoader(DATA, prefetch_factor=2),
    "negative prefetch": lambda data: data.DataLoader(DATA, num_workers=1, prefetch_factor=-1),
    "persistent without workers": lambda data: data.DataLoader(DATA, persistent_workers=True),
    "sampler and shuffle": lambda data: data.DataLoader(DATA, sampler=DATA, shuffle=True),
    "batch sampler and size": lambda data: data.DataLoader(DATA, 2, batch_sampler=[DATA]),
    "batch sampler and drop_last": lambda data: data.DataLoader(DATA, batch_sampler=[DATA], drop_last=True),
    "no batch and drop_last": lambda data: data.DataLoader(DATA, None, drop_last=True),
    "zero batch": lambda data: data.DataLoader(DATA, 0),
    "float batch": lambda data: data.DataLoader(DATA, 2.0),
    "empty and shuffled": lambda data: data.DataLoader([], shuffle=True),
    "context without workers": lambda data: data.DataLoader(DATA, multiprocessing_context="spawn"),
    "unknown context": lambda data: data.DataLoader(DATA, num_workers=1, multiprocessing_context="teleport"),
    "no context": lambda data: data.DataLoader(DATA, num_workers=1, multiprocessing_context=3),
    "batch size set later": lambda data: setattr(data.DataLoader(DATA), "batch_size", 3),
    "dataset set later": lambda data: setattr(data.DataLoader(DATA), "dataset", DATA),
    "length of a stream without one": lambda data: len(data.DataLoader(data.ChainDataset(DATA))),
    "shuffled stream": lambda data: data.DataLoader(data.ChainDataset([]), shuffle=True),
    "sampled stream": lambda data: data.DataLoader(data.ChainDataset([]), sampler=DATA),
    "batch-sampled stream": lambda data: data.DataLoader(data.ChainDataset([]), batch_sampler=[DATA]),
    "timeout without workers": lambda data: iter(data.DataLoader(DATA, timeout=1)),
    "pickled iterator": lambda data: iter(data.DataLoader(DATA)).__reduce_ex__(2),
}


def message(make: Callable[[Any], Any], data: Any) -> tuple[str, str]:
    with pytest.raises(Exception) as caught:
        make(data)
    return type(caught.value).__name__, " ".join(str(caught.value).split())


@pytest.mark.parametrize("name", [name for name in WRONG if name != "pickled iterator"])
def test_wrong_arguments_are_refused_in_pytorchs_words(torch: ModuleType, name: str) -> None:
    ours, theirs = [message(WRONG[name], lib.utils.data) for lib in (torchplug, torch)]
    assert ours == theirs


def test_an_iterator_refuses_to_be_pickled() -> None:
    assert message(WRONG["pickled iterator"], torchplug.utils.data)[0] == "NotImplementedError"


def test_a_stream_longer_than_it_announced_is_warned_of(torch: ModuleType) -> None:
    texts = []
    for lib in (torchplug, torch):
        loader = lib.utils.data.DataLoader(stream_of(lib, 3, 2), None)
        assert len(loader) == 2
        with pytest.warns(UserWarning) as warned:
            list(loader)
        texts.append([str(each.message) for each in warned])
    assert texts[0] == texts[1]


def test_pinning_without_an_accelerator_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="'pin_memory' argument is set as true but no accelerator is found"):
        list(DataLoader(DATA, pin_memory=True))  # type: ignore[arg-type]  # any sequence will do


def test_more_workers_than_processors_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="This DataLoader will create 4096 worker processes in total"):
        DataLoader(DATA, num_workers=4096)  # type: ignore[arg-type]  # any sequence will do


def test_the_default_backend_decides_where_numbers_and_arrays_go() -> None:
    with torchplug.use_backend("strict"):
        number, array = next(iter(DataLoader([(1, np.ones(2))])))  # type: ignore[arg-type]  # any sequence will do
    assert {number._kind.engine.name, array._kind.engine.name} == {"strict"}


class Rows(TensorDataset):
    """A TensorDataset whose samples are not its rows."""

    def __getitem__(self, index: Any) -> Any:
        return 2 * super().__getitem__(index)[0]


class RowBatches(TensorDataset):
    """A TensorDataset whose batches are not its rows."""

    def __getitems__(self, indices: list[int]) -> Any:
        return [self.tensors[0][index] + 1 for index in indices]


class OwnBatches(Dataset[Any]):
    """A dataset that collates its own batches."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return torchplug.tensor(float(index))

    def __getbatch__(self, indices: list[int]) -> Any:
        return NotImplemented if 3 in indices else torchplug.tensor(indices).float()


def test_a_subclass_that_changes_samples_changes_batches() -> None:
    for kind, expected in ((Rows, [0, 2, 4]), (RowBatches, [1, 2, 3])):
        assert next(iter(DataLoader(kind(torchplug.arange(3)), 3))).tolist() == expected
        assert next(iter(DataLoader(Subset(kind(torchplug.arange(3)), [2, 0]), 2))).tolist() == expected[::-2]


def test_a_dataset_may_collate_the_batches_it_can() -> None:
    loader = DataLoader(OwnBatches(), 2)
    assert [batch.tolist() for batch in loader] == [[0.0, 1.0], [2.0, 3.0]]
    assert [batch for batch in DataLoader(OwnBatches(), 2, collate_fn=len)] == [2, 2]


def test_an_empty_dataset_gives_no_batches() -> None:
    assert list(DataLoader([])) == []  # type: ignore[arg-type]  # any sequence will do


def test_a_stream_is_an_iterable_dataset() -> None:
    assert isinstance(stream_of(torchplug, 1), IterableDataset)
