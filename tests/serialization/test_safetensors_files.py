"""safetensors files, written and read through the library, on every engine."""

from __future__ import annotations

import os

import numpy as np
import pytest

import torchplug as torch
from torchplug.serialization import load_safetensors, save_safetensors

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


def _tensors(torch):
    found = {dtype: torch.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(torch, dtype)) for dtype in DTYPES}
    return found | {"empty": torch.zeros(0, 2), "scalar": torch.tensor(2.5)}


def _same(ours, theirs):
    assert sorted(ours) == sorted(theirs)
    for name, value in theirs.items():
        assert str(ours[name].dtype) == str(value.dtype)
        assert tuple(ours[name].shape) == tuple(value.shape)
        assert ours[name].float().tolist() == value.float().tolist()


def test_what_is_written_is_read(backend, tmp_path):
    save_safetensors(_tensors(torch), tmp_path / "model.safetensors", metadata={"format": "pt"})
    _same(load_safetensors(tmp_path / "model.safetensors"), _tensors(torch))
    _same(torch.load(tmp_path / "model.safetensors"), _tensors(torch))


def test_files_go_both_ways_with_pytorch(backend, tmp_path):
    real = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    save_safetensors(_tensors(torch), tmp_path / "ours.safetensors")
    _same(library.load_file(tmp_path / "ours.safetensors"), _tensors(real))
    library.save_file(_tensors(real), tmp_path / "theirs.safetensors")
    _same(load_safetensors(tmp_path / "theirs.safetensors"), _tensors(real))


def test_tensors_load_on_the_device_asked_for(tmp_path):
    save_safetensors({"x": torch.ones(2)}, tmp_path / "x.safetensors")
    assert load_safetensors(tmp_path / "x.safetensors", device="strict")["x"].device.engine == "strict"
    assert torch.load(tmp_path / "x.safetensors", map_location="strict")["x"].device.engine == "strict"


def test_tensors_that_share_memory_are_refused(backend, tmp_path):
    x = torch.ones(4)
    with pytest.raises(RuntimeError, match="Some tensors share memory"):
        save_safetensors({"all": x, "half": x[:2]}, tmp_path / "x.safetensors")
    assert os.listdir(tmp_path) == []


def test_tensors_out_of_order_are_refused(tmp_path):
    with pytest.raises(ValueError, match="non contiguous tensor"):
        save_safetensors({"x": torch.ones(2, 3).t()}, tmp_path / "x.safetensors")


def test_only_a_dict_of_tensors_is_accepted(tmp_path):
    with pytest.raises(ValueError, match="Expected a dict"):
        save_safetensors([torch.ones(2)], tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="Key `x` is invalid"):
        save_safetensors({"x": np.ones(2)}, tmp_path / "x.safetensors")


@pytest.mark.parametrize("map_location", [{"cpu": "cpu"}, lambda storage, location: storage], ids=["dict", "function"])
def test_torch_load_refuses_maps_it_cannot_follow(tmp_path, map_location):
    save_safetensors({"x": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(RuntimeError, match="map_location is not supported"):
        torch.load(tmp_path / "x.safetensors", map_location=map_location)
