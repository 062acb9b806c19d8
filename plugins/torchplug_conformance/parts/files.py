"""Files: what PyTorch saved is read, what is saved is read back as it was, and a training goes on as if never stopped."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import torchplug
from torchplug._core.host import host_array
from torchplug.serialization import load_safetensors, save_safetensors
from torchplug_conformance.cases import Case, Subject
from torchplug_conformance.parts.recorded import FOLDER, Within, differences
from torchplug_conformance.recipes.files import DTYPES, TRAINED, checkpoint, every_type, learn, typed
from torchplug_conformance.recipes.running import plain
from torchplug_conformance.reference import on_backend
from torchplug_spec import dtypes as dt

__all__ = ["cases"]

EXACT = Within(0.0)
MODEL = Within(2e-5)
"""A step of Adam on the backend under test is not the same to the last bit."""

RECORDED = {"zip": "checkpoint.pt", "legacy": "legacy.pt"}
"""Format -> the checkpoint PyTorch saved in it."""


def cases(subject: Subject) -> Iterator[Case]:
    for kind, file in RECORDED.items():
        yield Case("files", f"read-what-pytorch-saved-{kind}", partial(check_reading, subject, file))
    held = tuple(name for name in DTYPES if subject.has(dt.named(name)))
    if held == DTYPES:
        yield Case("files", "read-every-type-that-pytorch-saved", lambda: check_reading_types(subject, "types.pt"))
        yield Case("files", "read-every-type-of-safetensors", lambda: check_reading_types(subject, "types.safetensors"))
    for kind, carried in CARRIERS.items():
        for name in held:
            if name != "complex128" or kind != "safetensors":  # the format has no such type
                yield Case("files", f"{kind}-{name}", partial(check_type, subject, name, carried))
    yield Case("files", "save-and-read-back", lambda: check_round_trip(subject))
    yield Case("files", "views-share-one-storage", lambda: check_shared_storage(subject))
    yield Case("files", "views-are-refused-by-safetensors", lambda: check_refused_views(subject))
    yield Case("files", "layouts-and-parameters", lambda: check_layouts(subject))
    for name in TRAINED:
        yield Case("files", f"resume-{name}", partial(check_resuming, subject, name))


def _through_buffer(saved: Any) -> Any:
    buffer = io.BytesIO()
    torchplug.save(saved, buffer)
    buffer.seek(0)
    return torchplug.load(buffer)


def _through_legacy(saved: Any) -> Any:
    buffer = io.BytesIO()
    torchplug.save(saved, buffer, _use_new_zipfile_serialization=False)
    buffer.seek(0)
    return torchplug.load(buffer)


def _through_file(saved: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "saved.pt")
        torchplug.save(saved, path)
        return torchplug.load(path)


def _through_safetensors(saved: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "saved.safetensors")
        save_safetensors({"it": saved}, path)
        return load_safetensors(path)["it"]


CARRIERS: dict[str, Callable[[Any], Any]] = {
    "save": _through_buffer,
    "save-to-a-path": _through_file,
    "legacy": _through_legacy,
    "safetensors": _through_safetensors,
}
"""Way to write -> what comes back."""


# ---- what PyTorch saved ----------------------------------------------------------------------------------------------


def check_reading(subject: Subject, file: str) -> Iterator[str]:
    """The checkpoint recorded from PyTorch has the numbers that the same program makes here."""
    with on_backend(subject.name):
        loaded, made = torchplug.load(str(FOLDER / file)), checkpoint(torchplug)
        found, expected = plain(loaded), plain(made)
        yield from _other_bits(loaded["plain"], made["plain"])
    for key in expected:
        tolerance = MODEL if key in ("model", "optimizer") else EXACT
        yield from differences(found[key], expected[key], tolerance, f"checkpoint[{key!r}]")


def check_reading_types(subject: Subject, file: str) -> Iterator[str]:
    """A tensor of each type is read with its type and its bits."""
    path = str(FOLDER / file)
    with on_backend(subject.name):
        loaded = load_safetensors(path) if file.endswith("safetensors") else torchplug.load(path)
        yield from _other_bits(loaded, every_type(torchplug, tuple(loaded)))


def _other_bits(loaded: dict[str, Any], made: dict[str, Any]) -> Iterator[str]:
    for name, expected in made.items():
        got = loaded[name]
        if got.dtype is not expected.dtype:
            yield f"a tensor of {expected.dtype} came back as {got.dtype}"
        elif not _same_bits(host_array(got), host_array(expected)):
            yield f"a tensor of {expected.dtype} came back as {host_array(got)!r}, expected {host_array(expected)!r}"


def _same_bits(got: np.ndarray, expected: np.ndarray) -> bool:
    """Says whether two arrays are equal to the last bit; any NaN is as good as another."""
    if got.dtype != expected.dtype or got.shape != expected.shape:
        return False
    if expected.dtype.kind == "c":
        return _same_bits(got.real, expected.real) and _same_bits(got.imag, expected.imag)
    same = (got == expected) | ((got != got) & (expected != expected))
    return bool(same.all() and (np.signbit(got) == np.signbit(expected))[expected == 0].all())


# ---- what is saved here ----------------------------------------------------------------------------------------------


def check_type(subject: Subject, name: str, carried: Callable[[Any], Any]) -> Iterator[str]:
    """A tensor comes back with its type and its bits, edges included."""
    with on_backend(subject.name):
        made = typed(torchplug, name)
        yield from _other_bits({name: carried(made)}, {name: made})


def check_round_trip(subject: Subject) -> Iterator[str]:
    """Values, types and containers come back as they were saved."""
    with on_backend(subject.name):
        made = checkpoint(torchplug)
        loaded = _through_buffer(made)
        yield from differences(plain(loaded), plain(made), EXACT, "checkpoint")
        yield from _other_bits(loaded["plain"], made["plain"])


def check_shared_storage(subject: Subject) -> Iterator[str]:
    """Views that were saved together write through each other when they are read."""
    with on_backend(subject.name):
        views = _through_buffer(checkpoint(torchplug))["views"]
        views[1].fill_(50)
        seen = plain([view.flatten()[:8] for view in views])
        expected = [[0, 1, 2, 3, 50, 50, 50, 50], [50] * 4, [0, 50, 8, 1, 50, 9, 2, 50], [0, 2, 50, 50, 8, 10]]
        yield from differences(seen, expected, EXACT, "views after a write to one")


def check_refused_views(subject: Subject) -> Iterator[str]:
    """The format that cannot say that tensors share memory does not write such."""
    with on_backend(subject.name), tempfile.TemporaryDirectory() as folder:
        base = torchplug.zeros(3, 4)
        try:
            save_safetensors({"base": base, "row": base[1]}, os.path.join(folder, "views.safetensors"))
        except RuntimeError as error:
            if "share memory" not in str(error):
                yield f"raised RuntimeError: {error}, expected one that says 'share memory'"
        else:
            yield "did not raise, expected RuntimeError: ... share memory"


def check_layouts(subject: Subject) -> Iterator[str]:
    """Transposed, stepped and expanded tensors keep their strides, parameters stay parameters, leaves want gradients."""
    with on_backend(subject.name):
        base = torchplug.tensor(np.arange(12, dtype=np.float32).reshape(3, 4))
        views = {"transposed": base.t(), "stepped": base[::2, 1::2], "expanded": base[:, :1].expand(3, 4)}
        for name, view in views.items():
            loaded = _through_buffer(view)
            yield from differences(plain(loaded), plain(view), EXACT, name)
            if loaded.stride() != view.stride():
                yield f"{name}: came back with strides {loaded.stride()}, expected {view.stride()}"
        parameter, leaf = _through_buffer([torchplug.nn.Parameter(base), base.clone().requires_grad_()])
        if not isinstance(parameter, torchplug.nn.Parameter):
            yield f"a Parameter came back as a {type(parameter).__name__}"
        if not (leaf.requires_grad and leaf.is_leaf):
            yield "a leaf that requires grad came back as one that does not"


def check_resuming(subject: Subject, name: str) -> Iterator[str]:
    """A training whose state goes through a file half way gives, to the last bit, what the uninterrupted one gives."""
    with on_backend(subject.name):
        yield from differences(learn(torchplug, name, _through_buffer), learn(torchplug, name), EXACT)
