"""Forward: each declared function gives the values of its default composition in double precision."""

import pytest

from torchplug_conformance.cases import Case
from torchplug_conformance.known_failures import KnownFailures
from torchplug_conformance.running import run_case


def test_forward(case: Case, known: KnownFailures, request: pytest.FixtureRequest) -> None:
    run_case(case, known, request.node)
