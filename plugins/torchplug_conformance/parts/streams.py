"""Streams: random numbers, initialisations and sampling orders are PyTorch's, number for number."""

from __future__ import annotations

from collections.abc import Iterator

from torchplug_conformance.cases import Case, Subject
from torchplug_conformance.parts.recorded import recorded_cases
from torchplug_conformance.recipes.samplers import run_sampler
from torchplug_conformance.recipes.streams import run_stream

__all__ = ["RELATIVE", "cases"]

RELATIVE = 1e-6
"""Normal numbers go through logarithms and cosines of libraries that differ in the last bits."""


def cases(subject: Subject) -> Iterator[Case]:
    yield from recorded_cases("streams", subject, "streams", run_stream, RELATIVE)
    yield from recorded_cases("streams", subject, "samplers", run_sampler, RELATIVE)
