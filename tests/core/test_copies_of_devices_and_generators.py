"""Devices and generators are pickled and copied as PyTorch's are, and read back where no torch can be imported."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import torchplug

torch = pytest.importorskip("torch")

COPIES = {
    **{f"pickle {protocol}": lambda x, p=protocol: pickle.loads(pickle.dumps(x, p)) for protocol in range(6)},
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "nested": lambda x: copy.deepcopy({"x": [x]})["x"][0],
}
DEVICES = ("cpu", "cuda", "cuda:1", "meta")


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("way", COPIES)
def test_a_copied_device_is_the_same_device(way, name):
    for lib in (torch, torchplug):
        device = lib.device(name)
        made = COPIES[way](device)
        assert made == device
        assert (repr(made), hash(made)) == (repr(device), hash(device))


def test_a_copied_device_keeps_its_engine(backend):
    device = torchplug.ones(2).device
    for way in COPIES.values():
        with torchplug.use_backend("numpy"):
            assert torchplug.zeros(1, device=way(device)).device == device


@pytest.mark.parametrize("way", COPIES)
def test_a_copied_generator_draws_the_same_numbers_on_its_own(way):
    drawn = []
    for lib in (torch, torchplug):
        first = lib.Generator().manual_seed(7)
        lib.randn(3, generator=first)
        second = COPIES[way](first)
        assert second is not first
        assert (second.initial_seed(), second.device.type) == (7, "cpu")
        numbers = lib.rand(4, generator=first).tolist()
        assert lib.rand(4, generator=second).tolist() == numbers
        drawn.append(numbers)
    assert drawn[0] == drawn[1]


READER = """
import pickle, sys
sys.modules["torch"] = None
device, generator = pickle.loads(bytes.fromhex(sys.stdin.read()))
import torchplug
print(device, torchplug.rand(2, generator=generator).tolist())
"""


def test_pickles_are_read_where_there_is_no_torch():
    generator = torchplug.Generator().manual_seed(5)
    sent = pickle.dumps((torchplug.device("cuda:1"), generator)).hex()
    roots = [
        str(Path(module.__file__).parents[1])
        for module in (torchplug, sys.modules["torchplug_spec"], sys.modules["torchplug_numpy"])
    ]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {roots!r}\n{READER}"],
        input=sent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split("\n")[0] == f"cuda:1 {torchplug.rand(2, generator=generator).tolist()}"
