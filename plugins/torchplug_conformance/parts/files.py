"""Files: what PyTorch saved is read, and what is saved is read back as it was."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import torchplug
from torchplug_conformance.cases import Case, Subject
from torchplug_conformance.parts.recorded import FOLDER, Within, differences
from torchplug_conformance.recipes.files import DTYPES, checkpoint
from torchplug_conformance.recipes.running import plain
from torchplug_conformance.reference import on_backend
from torchplug_spec import dtypes as dt

__all__ = ["cases"]

EXACT = Within(0.0)
MODEL = Within(2e-5)
"""A step of Adam on the backend under test is not the same to the last bit."""


def cases(subject: Subject) -> Iterator[Case]:
    if not hasattr(torchplug, "load"):
        return
    yield Case("files", "read-what-pytorch-saved", lambda: check_reading(subject))
    yield Case("files", "save-and-read-back", lambda: check_round_trip(subject))
    yield Case("files", "views-share-one-storage", lambda: check_shared_storage(subject))


def _dtypes(subject: Subject) -> tuple[str, ...]:
    return tuple(name for name in DTYPES if subject.has(dt.named(name)))


def check_reading(subject: Subject) -> Iterator[str]:
    """The checkpoint recorded from PyTorch has the numbers that the same program makes here."""
    if _dtypes(subject) != DTYPES:
        return
    with on_backend(subject.name):
        loaded = plain(torchplug.load(str(FOLDER / "checkpoint.pt")))
        made = plain(checkpoint(torchplug))
    for key in made:
        tolerance = MODEL if key in ("model", "optimizer") else EXACT
        yield from differences(loaded[key], made[key], tolerance, f"checkpoint[{key!r}]")


def _round_trip(subject: Subject) -> tuple[Any, Any]:
    made = checkpoint(torchplug, _dtypes(subject))
    buffer = io.BytesIO()
    torchplug.save(made, buffer)
    buffer.seek(0)
    return made, torchplug.load(buffer)


def check_round_trip(subject: Subject) -> Iterator[str]:
    """Values, types and containers come back as they were saved."""
    with on_backend(subject.name):
        made, loaded = _round_trip(subject)
        yield from differences(plain(loaded), plain(made), EXACT, "checkpoint")
        for name, tensor in made["plain"].items():
            if loaded["plain"][name].dtype is not tensor.dtype:
                yield f"a tensor of {tensor.dtype} came back as {loaded['plain'][name].dtype}"


def check_shared_storage(subject: Subject) -> Iterator[str]:
    """Views that were saved together write through each other when they are read."""
    with on_backend(subject.name):
        views = _round_trip(subject)[1]["views"]
        views[1].fill_(50)
        seen = plain([view.flatten()[:8] for view in views])
        expected = [[0, 1, 2, 3, 50, 50, 50, 50], [50] * 4, [0, 50, 8, 1, 50, 9, 2, 50], [0, 2, 50, 50, 8, 10]]
        yield from differences(seen, expected, EXACT, "views after a write to one")
