"""Streams: random numbers, initialisations and sampling orders are PyTorch's, number for number."""

import pytest

from torchplug_conformance.cases import Case
from torchplug_conformance.known_failures import KnownFailures
from torchplug_conformance.running import run_case


def test_streams(case: Case, known: KnownFailures, request: pytest.FixtureRequest) -> None:
    run_case(case, known, request.node)
