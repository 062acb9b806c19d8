"""Storages: the memory under tensors, as bytes and as elements, on every engine."""

from __future__ import annotations

import pytest

import torchplug as torch


def test_views_have_the_storage_of_their_base(backend):
    base = torch.arange(12.0).reshape(3, 4)
    view = base.t()[1:, 1:]
    assert view.untyped_storage().nbytes() == 48
    assert view.untyped_storage().data_ptr() == base.untyped_storage().data_ptr()
    assert base.clone().untyped_storage().data_ptr() != base.untyped_storage().data_ptr()


def test_bytes_of_a_storage_are_those_of_the_tensor(backend):
    storage = torch.tensor([1.0, -2.0]).untyped_storage()
    assert storage.tolist() == [0, 0, 128, 63, 0, 0, 0, 192]
    assert storage[3] == 63
    assert storage[2:4].tolist() == [128, 63]
    assert len(storage) == storage.size() == 8


def test_writing_bytes_writes_the_tensor(backend):
    x = torch.ones(3)
    x.untyped_storage()[4:8] = 0
    assert x.tolist() == [1, 0, 1]
    x.untyped_storage().fill_(0)
    assert x.tolist() == [0, 0, 0]
    x.untyped_storage().copy_(torch.tensor([5.0, 6, 7]).untyped_storage())
    assert x.tolist() == [5, 6, 7]


def test_a_tensor_can_be_laid_over_a_storage(backend):
    base = torch.arange(12.0)
    over = torch.empty(0).set_(base.untyped_storage(), 1, (2, 3), (4, 1))
    assert over.tolist() == [[1, 2, 3], [5, 6, 7]]
    over.zero_()
    assert base.tolist() == [0, 0, 0, 0, 4, 0, 0, 0, 8, 9, 10, 11]
    assert over.storage_offset() == 1


def test_a_tensor_can_take_the_memory_of_another(backend):
    source = torch.arange(6).reshape(2, 3).t()
    x = torch.empty(0, dtype=torch.int64).set_(source)
    assert x.shape == (3, 2)
    assert x.stride() == (1, 3)
    x[0, 0] = 9
    assert source[0, 0].item() == 9
    assert torch.ones(3).set_().shape == (0,)


@pytest.mark.parametrize(("offset", "size", "stride", "words"), [
    (0, (5,), (1,), "setStorage: sizes [5], strides [1], storage offset 0, and itemsize 4 requiring a storage size of 20 are out of bounds"),
    (3, (2,), (1,), "storage offset 3, and itemsize 4 requiring a storage size of 20 are out of bounds for storage of size 16"),
    (-1, (2,), (1,), "Tensor: invalid storage offset -1"),
    (0, (2, 2), (1,), "got 2 sizes and 1 strides"),
])  # fmt: skip
def test_places_outside_the_storage_are_refused(offset, size, stride, words):
    with pytest.raises(RuntimeError) as caught:
        torch.empty(0).set_(torch.ones(4).untyped_storage(), offset, size, stride)
    assert words in str(caught.value)


def test_set_wants_the_same_element_type():
    with pytest.raises(
        RuntimeError, match=r"Could not set tensor of type torch\.int64 to a tensor of type torch\.float32"
    ):
        torch.ones(2).set_(torch.ones(2, dtype=torch.int64))


def test_typed_storages_hold_elements_and_warn(backend):
    x = torch.tensor([1.0, 2.0, 3.0])
    with pytest.warns(UserWarning, match="TypedStorage is deprecated"):
        storage = x[1:].storage()
    assert storage.tolist() == [1, 2, 3]
    assert storage[1] == 2
    assert len(storage) == 3
    assert storage.untyped().nbytes() == 12
    storage[0] = 7
    assert x[0].item() == 7


def test_a_storage_can_be_made_of_bytes(backend):
    storage = torch.UntypedStorage([0, 0, 128, 63])
    assert torch.empty(0).set_(storage).tolist() == [1.0]
    assert torch.UntypedStorage(3).tolist() == [0, 0, 0]


def test_storages_move_between_engines():
    storage = torch.ones(2).untyped_storage()
    moved = storage.to(device="strict")
    assert moved.device.engine == "strict"
    assert moved.tolist() == storage.tolist()
    assert storage.cpu() is storage
