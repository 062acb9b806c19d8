"""Files go both ways: what torchplug writes PyTorch reads with weights_only=True, and what PyTorch writes torchplug reads."""

from __future__ import annotations

import io
import pathlib
from collections import Counter, OrderedDict

import numpy as np
import pytest
from same_value import assert_same

import torchplug

real = pytest.importorskip("torch")

DTYPES = (
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64",
    "complex128",
)  # fmt: skip


def _tensors(torch):
    found = {dtype: torch.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(torch, dtype)) for dtype in DTYPES}
    found["empty"] = torch.zeros(0, 3)
    found["scalar"] = torch.tensor(3.5)
    found["special"] = torch.tensor([float("nan"), float("inf"), -0.0])
    return found


def _views(torch):
    base = torch.arange(24.0).reshape(2, 3, 4)
    return {
        "base": base, "transposed": base.transpose(0, 2), "slice": base[1, 1:, ::2], "expanded": base[:, :1, :1].expand(2, 5, 4),
        "row": base[0, 0], "again": base, "element": base[1, 2, 3],
    }  # fmt: skip


def _parameters(torch):
    weight = torch.nn.Parameter(torch.ones(2, 3))
    frozen = torch.nn.Parameter(torch.zeros(2), requires_grad=False)
    return {"weight": weight, "frozen": frozen, "grad": torch.ones(2, requires_grad=True), "tied": [weight, weight]}


def _network(torch):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8, 3)
    )


def _trained(torch, name="Adam"):
    network = _network(torch)
    optimizer = getattr(torch.optim, name)(network.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    for _ in range(3):
        optimizer.zero_grad()
        network(torch.ones(2, 1, 4, 4)).sum().backward()
        optimizer.step()
        schedule.step()
    return network, optimizer, schedule


def _checkpoint(torch):
    network, optimizer, schedule = _trained(torch)
    return {
        "model": network.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(), "epoch": 3,
    }  # fmt: skip


def _small_things(torch):
    return {
        "size": torch.Size([2, 3]), "cpu": torch.device("cpu"), "cuda": torch.device("cuda", 1), "dtype": torch.float16,
        "text": "é\n", "bytes": b"\x00\xff", "none": None, "flags": [True, False], "numbers": [1, -2, 2**40, 2**70, 1.5, 2j],
        "set": {1, 2}, "ordered": OrderedDict(b=1, a=2), "counter": Counter("aab"), "nested": ((1,), [], {}, ()),
        "bytearray": bytearray(b"xy"), 3: "integer key", (1, "a"): "tuple key",
    }  # fmt: skip


CONTENTS = {
    "tensors": _tensors, "views": _views, "parameters": _parameters, "checkpoint": _checkpoint, "small things": _small_things,
}  # fmt: skip


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("content", CONTENTS)
def test_pytorch_reads_what_torchplug_writes(backend, tmp_path, content, legacy):
    path = tmp_path / "file.pt"
    written = CONTENTS[content](torchplug)
    torchplug.save(written, path, _use_new_zipfile_serialization=not legacy)
    assert_same(written, real.load(path, weights_only=True))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("content", CONTENTS)
def test_torchplug_reads_what_pytorch_writes(backend, tmp_path, content, legacy):
    path = tmp_path / "file.pt"
    written = CONTENTS[content](real)
    real.save(written, path, _use_new_zipfile_serialization=not legacy)
    assert_same(torchplug.load(path), written)


@pytest.mark.parametrize("content", CONTENTS)
def test_torchplug_reads_what_it_writes(backend, content):
    stream = io.BytesIO()
    written = CONTENTS[content](torchplug)
    torchplug.save(written, stream)
    stream.seek(0)
    assert_same(torchplug.load(stream), written)


@pytest.mark.parametrize("writer", ["torchplug", "torch", "torch legacy"])
def test_tensors_that_share_a_storage_share_it_again(backend, tmp_path, writer):
    path = str(tmp_path / "shared.pt")
    torch = torchplug if writer == "torchplug" else real
    torch.save(_views(torch), path, _use_new_zipfile_serialization=writer != "torch legacy")
    loaded = torchplug.load(path)
    assert loaded["again"] is loaded["base"]
    loaded["row"].fill_(-1)
    loaded["element"].zero_()
    assert loaded["base"][0, 0].tolist() == [-1] * 4
    assert loaded["transposed"][:, 0, 0].tolist() == [-1] * 4
    assert loaded["slice"][-1, -1].item() == 22
    assert loaded["base"][1, 2, 3].item() == 0
    assert not loaded["slice"]._is_view()


def test_two_savings_of_one_object_are_the_same_bytes():
    first, second = io.BytesIO(), io.BytesIO()
    for stream in (first, second):
        torchplug.save(_checkpoint(torchplug), stream)
    assert first.getvalue() == second.getvalue()


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad", "NAdam", "RMSprop"])
def test_training_goes_on_from_a_checkpoint_of_pytorchs(backend, tmp_path, name):
    network, optimizer, _ = _trained(real, name)
    real.save({"model": network.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "checkpoint.pt")
    loaded = torchplug.load(tmp_path / "checkpoint.pt")
    ours = _network(torchplug)
    ours.load_state_dict(loaded["model"])
    our_optimizer = getattr(torchplug.optim, name)(ours.parameters())
    our_optimizer.load_state_dict(loaded["optimizer"])
    for torch, net, opt in ((real, network, optimizer), (torchplug, ours, our_optimizer)):
        opt.zero_grad()
        net(torch.ones(2, 1, 4, 4)).sum().backward()
        opt.step()
    for mine, theirs in zip(ours.state_dict().values(), network.state_dict().values(), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-7)


LAYERS = {
    "Linear": (3, 2), "Bilinear": (2, 2, 2), "Conv1d": (1, 2, 3), "Conv2d": (1, 2, 3), "ConvTranspose2d": (1, 2, 3),
    "BatchNorm1d": (3,), "BatchNorm2d": (3,), "LayerNorm": (4,), "GroupNorm": (2, 4), "Embedding": (5, 3), "Dropout": (0.5,),
    "ReLU": (), "GELU": (), "Softmax": (1,), "MaxPool2d": (2,), "AvgPool2d": (2,), "Flatten": (), "PReLU": (),
    "CrossEntropyLoss": (), "MSELoss": (), "Identity": (), "LeakyReLU": (0.1,), "InstanceNorm2d": (3,), "Upsample": (None, 2),
    "ZeroPad2d": (1,), "PixelShuffle": (2,), "AdaptiveAvgPool2d": (1,), "Hardtanh": (), "Softplus": (),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_whole_layer_of_pytorchs_loads(tmp_path, name):
    layer = getattr(real.nn, name)(*LAYERS[name])
    real.save(real.nn.Sequential(layer), tmp_path / "layer.pt")
    loaded = torchplug.load(tmp_path / "layer.pt")
    assert type(loaded[0]) is getattr(torchplug.nn, name)
    assert repr(loaded) == repr(real.nn.Sequential(layer))
    assert_same(loaded.state_dict(), real.nn.Sequential(layer).state_dict())


def test_a_whole_network_goes_both_ways_and_computes_the_same(backend, tmp_path):
    network = _network(real).eval()
    real.save(network, tmp_path / "network.pt")
    loaded = torchplug.load(tmp_path / "network.pt")
    images = np.random.RandomState(0).rand(2, 1, 4, 4).astype(np.float32)
    expected = network(real.tensor(images)).detach().numpy()
    np.testing.assert_allclose(loaded(torchplug.tensor(images)).detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    torchplug.save(loaded, tmp_path / "again.pt")
    again = real.load(tmp_path / "again.pt", weights_only=False)
    np.testing.assert_allclose(again(real.tensor(images)).detach().numpy(), expected, rtol=1e-6)


def test_numpy_numbers_and_arrays_of_pytorchs_files_load():
    stream = io.BytesIO()
    written = {
        "f8": np.float64(1.5), "i4": np.int32(-3), "b": np.bool_(True), "dtype": np.dtype(np.float32),
        "array": np.arange(6.0).reshape(2, 3), "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    }  # fmt: skip
    real.save(written, stream)
    stream.seek(0)
    assert_same(torchplug.load(stream), written)


def test_numpy_numbers_that_torchplug_writes_load_in_pytorch_once_allowed():
    stream = io.BytesIO()
    torchplug.save({"best": np.float64(0.9)}, stream)
    stream.seek(0)
    with real.serialization.safe_globals([np._core.multiarray.scalar, np.dtype, np.dtypes.Float64DType]):
        assert real.load(stream, weights_only=True) == {"best": 0.9}


def test_generators_keep_their_place_in_the_stream():
    ours, theirs = torchplug.Generator().manual_seed(3), real.Generator().manual_seed(3)
    torchplug.rand(5, generator=ours), real.rand(5, generator=theirs)
    stream = io.BytesIO()
    real.save({"object": theirs, "state": theirs.get_state()}, stream)
    stream.seek(0)
    loaded = torchplug.load(stream)
    expected = real.rand(4, generator=theirs).tolist()
    assert torchplug.rand(4, generator=loaded["object"]).tolist() == expected
    other = torchplug.Generator()
    other.set_state(loaded["state"])
    assert torchplug.rand(4, generator=other).tolist() == expected
    stream = io.BytesIO()
    torchplug.save({"object": ours, "state": ours.get_state()}, stream)
    stream.seek(0)
    loaded = real.load(stream, weights_only=False)
    assert real.rand(4, generator=loaded["object"]).tolist() == expected


def test_parameters_keep_attributes_set_on_them():
    for torch, other in ((torchplug, real), (real, torchplug)):
        weight = torch.nn.Parameter(torch.ones(2))
        weight.role = "decoder"
        stream = io.BytesIO()
        torch.save({"weight": weight, "tensor": weight.detach()}, stream)
        stream.seek(0)
        loaded = other.load(stream, weights_only=True)
        assert loaded["weight"].role == "decoder"
        assert isinstance(loaded["weight"], other.nn.Parameter)


def test_lazily_conjugated_and_negated_tensors_of_pytorchs_load_as_their_values():
    stream = io.BytesIO()
    conjugate = real.tensor([1 + 2j, 3 - 1j]).conj()
    real.save({"conjugate": conjugate, "imag": conjugate.clone().conj().imag}, stream)
    stream.seek(0)
    loaded = torchplug.load(stream)
    assert loaded["conjugate"].tolist() == conjugate.tolist()
    assert loaded["imag"].tolist() == [2, -1]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_of_pytorchs_loads(protocol):
    stream = io.BytesIO()
    real.save(_small_things(real) | _views(real), stream, pickle_protocol=protocol)
    stream.seek(0)
    assert_same(torchplug.load(stream), _small_things(real) | _views(real))


def test_every_pickle_protocol_can_be_written():
    for protocol in (2, 3, 4, 5):
        stream = io.BytesIO()
        torchplug.save(_small_things(torchplug), stream, pickle_protocol=protocol)
        stream.seek(0)
        assert_same(torchplug.load(stream), _small_things(torchplug))


def test_files_without_checksums_load():
    real.serialization.set_crc32_options(False)
    try:
        stream = io.BytesIO()
        real.save(_views(real), stream)
    finally:
        real.serialization.set_crc32_options(True)
    stream.seek(0)
    assert_same(torchplug.load(stream), _views(real))


@pytest.mark.parametrize("writer", [torchplug, real])
def test_a_mapped_file_gives_the_same_tensors(backend, tmp_path, writer):
    path = tmp_path / "mapped.pt"
    writer.save(_views(writer) | _tensors(writer), path)
    loaded = torchplug.load(path, mmap=True)
    assert_same(loaded, (_views(writer) | _tensors(writer)))
    loaded["base"].zero_()
    assert torchplug.load(path)["base"].sum().item() > 0


def test_pytorch_maps_what_torchplug_writes(tmp_path):
    torchplug.save(_views(torchplug), tmp_path / "mapped.pt")
    assert_same(_views(torchplug), real.load(tmp_path / "mapped.pt", mmap=True))


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_untyped_and_typed_storages_are_saved_as_such():
    stream = io.BytesIO()
    base = torchplug.arange(4.0)
    torchplug.save([base, base.untyped_storage().clone()], stream)
    stream.seek(0)
    loaded, storage = real.load(stream, weights_only=True)
    assert storage.tolist() == loaded.untyped_storage().tolist()
    stream.seek(0)
    loaded, storage = torchplug.load(stream)
    assert storage.tolist() == loaded.untyped_storage().tolist()


def test_one_memory_seen_as_two_types_is_refused():
    z = torchplug.ones(2, dtype=torchplug.complex64)
    with pytest.raises(
        RuntimeError, match="Cannot save multiple tensors or storages that view the same data as different"
    ):
        torchplug.save([z, torchplug.view_as_real(z)], io.BytesIO())


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_paths_may_be_strings_or_path_objects(tmp_path, kind):
    path = kind(str(tmp_path / "naïve.tar.pt"))
    torchplug.save([1], path)
    assert torchplug.load(path) == real.load(path) == [1]


def test_a_stream_may_begin_in_the_middle():
    stream = io.BytesIO()
    stream.write(b"a header")
    torchplug.save([torchplug.ones(2)], stream)
    stream.seek(8)
    assert torchplug.load(stream)[0].tolist() == [1, 1]


ERRORS = {
    "no such folder": lambda torch: torch.save(1, "/no/such/folder/x.pt"),
    "not a file": lambda torch: torch.save(1, 3),
    "no such file": lambda torch: torch.load("/no/such/file.pt"),
    "not seekable": lambda torch: torch.load(3),
    "map of a stream": lambda torch: torch.load(_stream_of(torch), mmap=True),
    "pickle module": lambda torch: torch.load(_stream_of(torch), weights_only=True, pickle_module=io),
}


def _stream_of(torch):
    stream = io.BytesIO()
    torch.save(torch.ones(2), stream)
    stream.seek(0)
    return stream


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_pytorchs(case):
    def outcome(torch):
        with pytest.raises(Exception) as caught:  # noqa: B017, PT011 -- the type is what is compared
            ERRORS[case](torch)
        return type(caught.value), str(caught.value)

    assert outcome(torchplug) == outcome(real)
