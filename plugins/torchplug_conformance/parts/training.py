"""Training: small networks learn along PyTorch's losses, step by step from one seed."""

from __future__ import annotations

from collections.abc import Iterator

import torchplug
from torchplug_conformance.cases import Case, Subject
from torchplug_conformance.parts.recorded import recorded_cases
from torchplug_conformance.recipes.training import TRAINING, run_training

__all__ = ["RELATIVE", "cases"]

RELATIVE = 1e-4
"""What fifty steps leave of float32 when each feeds its roundings to the next."""


def cases(subject: Subject) -> Iterator[Case]:
    yield from recorded_cases("training", subject, "training", run_training, RELATIVE, missing)


def missing(name: str) -> bool:
    """Says whether this torchplug lacks a class that a network is made of."""
    return not all(hasattr(torchplug.nn, needed) for needed in TRAINING[name][4])
