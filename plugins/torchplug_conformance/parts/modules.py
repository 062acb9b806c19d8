"""Modules: every layer, activation and loss gives PyTorch's results, gradients and state from the same seed."""

from __future__ import annotations

from collections.abc import Iterator

import torchplug
from torchplug_conformance.cases import Case, Subject
from torchplug_conformance.parts.recorded import recorded_cases
from torchplug_conformance.recipes.modules import run_module

__all__ = ["RELATIVE", "cases"]

RELATIVE = 2e-5
"""Two hundred roundings of float32: the longest sum of these recipes has 300 terms, in whatever order."""


def cases(subject: Subject) -> Iterator[Case]:
    yield from recorded_cases("modules", subject, "modules", run_module, RELATIVE, missing)


def missing(name: str) -> bool:
    """Says whether this torchplug lacks the class a recipe is named after."""
    return not hasattr(torchplug.nn, name.partition("-")[0])
