"""torchvision as the oracle, also where its compiled operators (which no transform needs) do not load."""

from __future__ import annotations

import contextlib
from types import ModuleType

import pytest


def torchvision() -> ModuleType:
    """Returns torchvision, or skips the test."""
    torch = pytest.importorskip("torch")
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # the real operators are there
            library.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    KEPT.append(library)
    module = pytest.importorskip("torchvision", exc_type=ImportError)
    pytest.importorskip("torchvision.transforms")
    pytest.importorskip("torchvision.datasets")
    assert isinstance(module, ModuleType)
    return module


KEPT: list[object] = []
"""Libraries undo their definitions when they are collected."""
