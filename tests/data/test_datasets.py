"""Datasets give the samples, lengths and errors of PyTorch's."""

from __future__ import annotations

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


def samples(dataset: Any, indices: Any) -> list[Any]:
    return [tuple(part.tolist() for part in dataset[index]) for index in indices]


def pair_of_tensors(lib: ModuleType) -> tuple[Any, Any]:
    return lib.arange(12).reshape(6, 2), lib.arange(6) * 10


def test_tensor_dataset_gives_rows_of_each_tensor(torch: ModuleType) -> None:
    for index in (0, -1, slice(1, 4), [2, 0]):
        ours, theirs = [
            [part.tolist() for part in lib.utils.data.TensorDataset(*pair_of_tensors(lib))[index]]
            for lib in (torchplug, torch)
        ]
        assert ours == theirs


def test_tensor_dataset_refuses_tensors_of_different_lengths() -> None:
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        torchplug.utils.data.TensorDataset(torchplug.zeros(3), torchplug.zeros(4))


@pytest.mark.parametrize("lengths", [[3, 3, 1], [0.5, 0.5], [0.3, 0.3, 0.4], [0.1, 0.2, 0.7], [7]])
@pytest.mark.parametrize("seed", [0, 42])
def test_random_split_gives_pytorchs_order(torch: ModuleType, lengths: list[float], seed: int) -> None:
    results = []
    for lib in (torchplug, torch):
        lib.manual_seed(seed)
        first = [list(part) for part in lib.utils.data.random_split(range(7), lengths)]
        given = lib.Generator().manual_seed(seed + 1)
        second = [list(part.indices) for part in lib.utils.data.random_split(range(7), lengths, generator=given)]
        results.append((first, second, lib.rand(2).tolist()))
    assert results[0] == results[1]


def test_random_split_of_a_recorded_seed() -> None:
    torchplug.manual_seed(0)
    parts = torchplug.utils.data.random_split(range(10), [7, 3])  # type: ignore[arg-type]  # any sequence will do
    assert [list(part) for part in parts] == RECORDED_SPLIT


RECORDED_SPLIT = [[4, 1, 7, 5, 3, 9, 0], [8, 6, 2]]
"""PyTorch 2.13.0: manual_seed(0); random_split(range(10), [7, 3])."""


@pytest.mark.parametrize(
    "lengths, error", [([3, 3], "Sum of input lengths does not equal"), ([1.5, -0.5], "Fraction at index 0 is not")]
)
def test_random_split_refuses_lengths_that_do_not_fit(lengths: list[float], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        torchplug.utils.data.random_split(range(7), lengths)  # type: ignore[arg-type]  # any sequence will do


def test_random_split_warns_of_an_empty_part() -> None:
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        torchplug.utils.data.random_split(range(2), [0.9, 0.1])  # type: ignore[arg-type]  # any sequence will do


def test_subset_and_concat_find_their_samples(torch: ModuleType) -> None:
    results = []
    for lib in (torchplug, torch):
        data = lib.utils.data
        whole = data.TensorDataset(*pair_of_tensors(lib))
        joined = data.Subset(whole, [4, 2]) + whole
        results.append((len(joined), samples(joined, [0, 1, 2, -1, -8]), joined.cumulative_sizes))
    assert results[0] == results[1]


def test_concat_refuses_what_it_cannot_join() -> None:
    data = torchplug.utils.data
    with pytest.raises(AssertionError, match="datasets should not be an empty iterable"):
        data.ConcatDataset([])
    with pytest.raises(AssertionError, match="does not support IterableDataset"):
        data.ConcatDataset([data.ChainDataset([])])
    with pytest.raises(ValueError, match="absolute value of index should not exceed dataset length"):
        data.ConcatDataset([data.TensorDataset(torchplug.zeros(2))])[-3]


def test_stack_dataset_puts_datasets_side_by_side() -> None:
    data = torchplug.utils.data
    assert data.StackDataset([1, 2], "ab")[1] == (2, "b")
    named = data.StackDataset(number=[1, 2], letter=data.Subset("ab", [1, 0]))  # type: ignore[arg-type]  # a sequence
    assert named.__getitems__([0, 1]) == [{"number": 1, "letter": "b"}, {"number": 2, "letter": "a"}]
    assert len(named) == 2
    for parts in (([1], [1, 2]), ()):
        with pytest.raises(ValueError, match="Size mismatch|At least one dataset"):
            data.StackDataset(*parts)


def test_chain_dataset_goes_through_streams_in_turn() -> None:
    data = torchplug.utils.data

    class Stream(data.IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter((1, 2))

        def __len__(self) -> int:
            return 2

    chained = Stream() + Stream()
    assert (list(chained), len(chained)) == ([1, 2, 1, 2], 4)
    with pytest.raises(AssertionError, match="ChainDataset only supports IterableDataset"):
        list(data.ChainDataset([data.TensorDataset(torchplug.zeros(1))]))


def test_a_subset_that_changes_samples_must_change_batches_too() -> None:
    class Doubled(torchplug.utils.data.Subset[Any]):
        def __getitem__(self, idx: Any) -> Any:
            return 2 * super().__getitem__(idx)

    with pytest.raises(NotImplementedError, match="overrides __getitem__ but not __getitems__"):
        Doubled([1, 2], [0])  # type: ignore[arg-type]  # any sequence will do


def test_a_dataset_without_samples_says_so() -> None:
    with pytest.raises(NotImplementedError, match="should implement __getitem__"):
        torchplug.utils.data.Dataset()[0]


BATCHES: dict[str, list[int]] = {"one": [3], "some": [0, 5, 2, 2], "negative": [-1, -6, 0]}


@pytest.mark.parametrize("indices", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("backend", ["numpy", "strict"])
def test_a_batch_of_rows_equals_the_collated_samples(indices: list[int], backend: str) -> None:
    data = torchplug.utils.data
    with torchplug.use_backend(backend):
        whole = data.TensorDataset(*pair_of_tensors(torchplug))
        for dataset in (whole, data.Subset(whole, [5, 4, 3, 2, 1, 0])):
            batch = dataset.__getbatch__(indices)
            expected = data.default_collate([dataset[index] for index in indices])
            assert [part.tolist() for part in batch] == [part.tolist() for part in expected]
            assert [part.dtype for part in batch] == [part.dtype for part in expected]
            batch[0].zero_()
            assert whole.tensors[0].sum().item() == 66


@pytest.mark.parametrize("indices", [[6], [-7], [0, True], [0.0], ["a"], [[0]], []])
def test_a_batch_of_other_than_places_in_range_is_left_to_the_samples(indices: list[Any]) -> None:
    whole = torchplug.utils.data.TensorDataset(*pair_of_tensors(torchplug))
    if indices == [0, True]:
        assert [part.tolist() for part in whole.__getbatch__(indices)][1] == [0, 10]
    else:
        assert whole.__getbatch__(indices) is NotImplemented


def test_rows_of_tensors_that_record_gradients_keep_their_history() -> None:
    x = torchplug.ones(3, 2, requires_grad=True)
    loader = torchplug.utils.data.DataLoader(torchplug.utils.data.TensorDataset(x), batch_size=3)
    (batch,) = next(iter(loader))
    batch.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[1.0, 1.0]] * 3
