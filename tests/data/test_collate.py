"""Collating gives PyTorch's structure, dtypes and errors, and batches of their own memory."""

from __future__ import annotations

from collections import OrderedDict, UserDict, namedtuple
from collections.abc import Callable
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import pytest

import torchplug
import torchplug.utils.data
from torchplug.utils.data._utils.collate import collate, default_collate_fn_map

Point = namedtuple("Point", ["x", "y"])


class Tagged(list[Any]):
    """A list that carries something beside its entries."""

    tag = "kept"


@pytest.fixture
def torch() -> ModuleType:
    """PyTorch, with its data package."""
    module = pytest.importorskip("torch")
    pytest.importorskip("torch.utils.data")
    assert isinstance(module, ModuleType)
    return module


SAMPLES: dict[str, Callable[[Any], Any]] = {
    "tensors": lambda lib: [lib.arange(6).reshape(2, 3), lib.arange(6).reshape(3, 2).t()],
    "0-d tensors": lambda lib: [lib.tensor(1.5), lib.tensor(2.5)],
    "empty tensors": lambda lib: [lib.zeros(0, 3), lib.zeros(0, 3)],
    "bfloat16": lambda lib: [lib.ones(2, dtype=lib.bfloat16)] * 3,
    "mixed dtypes": lambda lib: [lib.ones(2), lib.ones(2, dtype=lib.float64)],
    "ints": lambda lib: [1, 2, 3],
    "bools": lambda lib: [True, False],
    "floats": lambda lib: [0.5, 1.5],
    "ints then floats": lambda lib: [1, 2.5],
    "floats then ints": lambda lib: [1.5, 2],
    "texts": lambda lib: ["a", "b"],
    "bytes": lambda lib: [b"a", b"b"],
    "arrays": lambda lib: [np.ones((2, 2), np.float16), np.zeros((2, 2), np.float16)],
    "arrays of different dtypes": lambda lib: [np.ones(2, np.float32), np.zeros(2, np.float64)],
    "0-d arrays": lambda lib: [np.array(3), np.array(4)],
    "numpy scalars": lambda lib: [np.float32(1), np.float32(2)],
    "numpy bools": lambda lib: [np.bool_(True), np.bool_(False)],
    "tuples": lambda lib: [(1, lib.ones(2)), (2, lib.zeros(2))],
    "lists": lambda lib: [[1, "a"], [2, "b"]],
    "list subclass": lambda lib: [Tagged([1, 2]), Tagged([3, 4])],
    "dicts": lambda lib: [{"a": 1, "b": {"c": lib.ones(1)}}, {"b": {"c": lib.zeros(1)}, "a": 2}],
    "ordered dicts": lambda lib: [OrderedDict(b=1, a=2), OrderedDict(b=3, a=4)],
    "mapping of one's own": lambda lib: [UserDict(a=1), UserDict(a=2)],
    "read-only mappings": lambda lib: [MappingProxyType({"a": 1}), MappingProxyType({"a": 2})],
    "named tuples": lambda lib: [Point(1, 0.5), Point(2, 1.5)],
    "ranges": lambda lib: [range(2), range(2)],
}


def plain(value: Any) -> Any:
    """A value with its tensors as (dtype, numbers), and the types of its containers."""
    if hasattr(value, "tolist"):
        return str(getattr(value, "dtype", "")), tuple(value.shape), value.tolist()
    if isinstance(value, dict | UserDict | MappingProxyType):
        return type(value), [(key, plain(entry)) for key, entry in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [plain(entry) for entry in value]
    return value


@pytest.mark.parametrize("name", SAMPLES)
def test_batches_are_pytorchs(torch: ModuleType, name: str) -> None:
    ours = torchplug.utils.data.default_collate(SAMPLES[name](torchplug))
    theirs = torch.utils.data.default_collate(SAMPLES[name](torch))
    assert plain(ours) == plain(theirs)


@pytest.mark.parametrize("name", SAMPLES)
def test_converted_samples_are_pytorchs(torch: ModuleType, name: str) -> None:
    ours = torchplug.utils.data.default_convert(SAMPLES[name](torchplug))
    theirs = torch.utils.data.default_convert(SAMPLES[name](torch))
    assert plain(ours) == plain(theirs)


WRONG: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "sizes": (lambda lib: [lib.ones(2), lib.ones(3)], RuntimeError, r"equal size, but got \[2\] at entry 0 and \[3\]"),
    "lengths": (lambda lib: [[1], [1, 2]], RuntimeError, "each element in list of batch should be of equal size"),
    "objects": (lambda lib: [object(), object()], TypeError, "must contain tensors, numpy arrays, numbers"),
    "None": (lambda lib: [None], TypeError, "found <class 'NoneType'>"),
    "text arrays": (lambda lib: [np.array(["a"])], TypeError, "found <U1"),
    "object arrays": (lambda lib: [np.array([None])], TypeError, "found object"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_collated_is_refused_in_pytorchs_words(name: str) -> None:
    samples, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        torchplug.utils.data.default_collate(samples(torchplug))
    torch = pytest.importorskip("torch")
    with pytest.raises(error, match=words):
        pytest.importorskip("torch.utils.data").default_collate(samples(torch))


@pytest.mark.parametrize("shape", [(), (3,), (2, 0)])
def test_a_batch_has_memory_of_its_own(shape: tuple[int, ...]) -> None:
    sample = torchplug.zeros(shape)
    array = np.zeros(3)
    torchplug.utils.data.default_collate([sample]).fill_(1)
    torchplug.utils.data.default_collate([array]).fill_(1)
    assert not sample.any() and not array.any()


def test_a_batch_of_tensors_that_record_gradients_records_them() -> None:
    samples = [torchplug.ones(2, requires_grad=True) for _ in range(3)]
    torchplug.utils.data.default_collate(samples).sum().backward()
    assert all(sample.grad is not None and sample.grad.tolist() == [1, 1] for sample in samples)


def test_types_of_ones_own_are_collated_by_ones_own_function() -> None:
    class Box:
        def __init__(self, value: int) -> None:
            self.value = value

    def collate_boxes(batch: list[Box], *, collate_fn_map: Any = None) -> int:
        return sum(box.value for box in batch)

    assert collate([(Box(1), 1), (Box(2), 1)], collate_fn_map={**default_collate_fn_map, Box: collate_boxes})[0] == 3
