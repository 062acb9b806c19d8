"""Where loaded tensors go: `map_location` as a device, a name, a dict, a function."""

from __future__ import annotations

import io

import pytest

import torchplug as torch


def _saved(value):
    stream = io.BytesIO()
    torch.save(value, stream)
    stream.seek(0)
    return stream


def _saved_on_cuda():
    """Returns a real PyTorch file whose storage says cuda:1; PyTorch writes it without having the device."""
    real = pytest.importorskip("torch")
    stream = io.BytesIO()
    real.save({"x": real.ones(2)}, stream, _use_new_zipfile_serialization=False)
    data = stream.getvalue().replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:1")
    assert b"cuda:1" in data
    return io.BytesIO(data)


def test_without_a_map_the_saved_device_is_used(backend):
    loaded = torch.load(_saved(torch.ones(2)))
    assert loaded.device == torch.device("cpu")
    assert loaded.device.engine == backend


@pytest.mark.parametrize(
    "map_location", ["cpu", torch.device("cpu"), {"cpu": "cpu"}, {"cuda:0": "cpu"}, b"cpu"], ids=str
)
def test_every_form_is_understood(map_location):
    assert torch.load(_saved(torch.ones(2)), map_location=map_location).tolist() == [1, 1]


@pytest.mark.parametrize("map_location", ["strict", torch.device("strict"), {"cpu": "strict"}], ids=str)
def test_a_map_may_name_another_engine(map_location):
    loaded = torch.load(_saved(torch.ones(2)), map_location=map_location)
    assert loaded.device.engine == "strict"
    assert (loaded + 1).tolist() == [2, 2]


def test_a_function_is_given_each_storage_and_its_location():
    seen = []

    def keep(storage, location):
        seen.append((storage.nbytes(), location))
        return storage

    torch.load(_saved([torch.ones(2), torch.ones(3)]), map_location=keep)
    assert sorted(seen) == [(8, "cpu"), (12, "cpu")]


def test_a_function_that_returns_none_leaves_the_choice():
    assert torch.load(_saved(torch.ones(2)), map_location=lambda storage, location: None).tolist() == [1, 1]


def test_a_function_may_move_the_storage():
    loaded = torch.load(_saved(torch.ones(2)), map_location=lambda storage, location: storage.to(device="strict"))
    assert loaded.device.engine == "strict"


def test_a_function_must_return_a_storage():
    with pytest.raises(TypeError, match="map_location returned int, expected a storage or None"):
        torch.load(_saved(torch.ones(2)), map_location=lambda storage, location: 3)


def test_a_device_that_is_not_there_is_reported_as_pytorch_does():
    with pytest.raises(
        RuntimeError, match=r"Attempting to deserialize object on a CUDA device but torch\.cuda\.is_available\(\)"
    ):
        torch.load(_saved_on_cuda())


@pytest.mark.parametrize(
    "map_location", ["cpu", {"cuda:1": "cpu"}, lambda storage, location: storage], ids=["name", "table", "function"]
)
def test_tensors_saved_on_a_gpu_load_without_one(map_location):
    assert torch.load(_saved_on_cuda(), map_location=map_location)["x"].tolist() == [1, 1]


def test_nonsense_is_refused():
    with pytest.raises(TypeError, match="got map_location of type int"):
        torch.load(_saved(torch.ones(2)), map_location=3)
