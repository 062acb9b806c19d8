"""Damage is reported: flipped bits, files cut short, bytes changed at random."""

from __future__ import annotations

import io
import os
import pickle
import random
import warnings

import pytest

import torchplug as torch

REPORTED = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError)
FLIPS = int(os.environ.get("TORCHPLUG_FLIPS", "1000"))
MUTATIONS = int(os.environ.get("TORCHPLUG_MUTATIONS", "2000"))


def _content():
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    base = torch.arange(12.0).reshape(3, 4)
    return {"layer": layer.state_dict(), "view": base.t()[1:], "base": base, "epoch": 7, "name": "run"}


def _bytes(legacy=False):
    stream = io.BytesIO()
    torch.save(_content(), stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def _same(loaded, expected):
    return (
        type(loaded) is dict
        and list(loaded) == list(expected)
        and loaded["epoch"] == 7
        and loaded["name"] == "run"
        and all(torch.equal(loaded[name], expected[name]) for name in ("view", "base"))
        and all(torch.equal(loaded["layer"][name], value) for name, value in expected["layer"].items())
    )


def test_every_flipped_bit_is_reported_or_lies_in_unused_bytes():
    data, expected = _bytes(), _content()
    places = random.Random(0).sample(range(8 * len(data)), FLIPS)
    reported = 0
    for place in places:
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        try:
            loaded = torch.load(io.BytesIO(bytes(damaged)))
        except REPORTED:
            reported += 1
        else:
            assert _same(loaded, expected), f"bit {place} went unnoticed"
    assert reported > FLIPS // 4


def test_every_flipped_bit_of_a_tensor_is_reported():
    stream = io.BytesIO()
    torch.save(torch.arange(32, dtype=torch.uint8) + 200, stream)
    data = stream.getvalue()
    start = data.index(bytes(range(200, 232)))
    for place in range(8 * 32):
        damaged = bytearray(data)
        damaged[start + place // 8] ^= 1 << place % 8
        with pytest.raises(RuntimeError, match=r"failed reading file data/0: the data is damaged"):
            torch.load(io.BytesIO(bytes(damaged)))


def test_flipped_bits_of_pytorchs_tensors_are_reported_too():
    real = pytest.importorskip("torch")
    stream = io.BytesIO()
    real.save(real.arange(32, dtype=real.uint8) + 200, stream)
    damaged = bytearray(stream.getvalue())
    damaged[bytes(damaged).index(bytes(range(200, 232))) + 5] ^= 4
    with pytest.raises(RuntimeError, match=r"failed reading file data/0: the data is damaged"):
        torch.load(io.BytesIO(bytes(damaged)))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_file_cut_short_anywhere_is_reported(legacy):
    data = _bytes(legacy)
    for length in range(0, len(data), 7):
        with pytest.raises(REPORTED):
            torch.load(io.BytesIO(data[:length]))


def test_a_file_cut_short_is_reported_in_pytorchs_words():
    with pytest.raises(
        RuntimeError, match="PytorchStreamReader failed reading zip archive: failed finding central directory"
    ):
        torch.load(io.BytesIO(_bytes()[:500]))


def test_an_empty_file_is_reported():
    with pytest.raises(EOFError, match="Ran out of input"):
        torch.load(io.BytesIO(b""))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_files_with_random_changes_never_crash(legacy):
    data = _bytes(legacy)
    rng = random.Random(1)
    for _ in range(MUTATIONS):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 2, 5, 20))):
            kind = rng.randrange(4)
            place = rng.randrange(len(damaged))
            if kind == 0:
                damaged[place] = rng.randrange(256)
            elif kind == 1:
                del damaged[place : place + rng.randrange(1, 20)]
            elif kind == 2:
                damaged[place:place] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
            else:
                other = rng.randrange(len(damaged))
                damaged[place : place + 8] = damaged[other : other + 8]
        try:
            torch.load(io.BytesIO(bytes(damaged)))
        except REPORTED:
            pass


def test_pickles_with_random_changes_never_crash():
    """As above, with checksums made right again, so that the changes reach the unpickler."""
    from hostile_files import archive, parts_of

    parts = parts_of(_bytes())
    rng = random.Random(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(MUTATIONS):
            pickled = bytearray(parts["data.pkl"])
            for _ in range(rng.choice((1, 2, 5))):
                place = rng.randrange(len(pickled))
                if rng.random() < 0.7:
                    pickled[place] = rng.randrange(256)
                else:
                    other = rng.randrange(len(pickled))
                    pickled[place : place + 6] = pickled[other : other + 6]
            try:
                torch.load(io.BytesIO(archive({**parts, "data.pkl": bytes(pickled)})))
            except REPORTED:
                pass
