"""Files: what PyTorch saved is read, and what is saved is read back as it was."""

import pytest

from torchplug_conformance.cases import Case
from torchplug_conformance.known_failures import KnownFailures
from torchplug_conformance.running import run_case


def test_files(case: Case, known: KnownFailures, request: pytest.FixtureRequest) -> None:
    run_case(case, known, request.node)
