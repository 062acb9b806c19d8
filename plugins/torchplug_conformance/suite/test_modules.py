"""Modules: every layer, activation and loss gives PyTorch's results, gradients and state from the same seed."""

import pytest

from torchplug_conformance.cases import Case
from torchplug_conformance.known_failures import KnownFailures
from torchplug_conformance.running import run_case


def test_modules(case: Case, known: KnownFailures, request: pytest.FixtureRequest) -> None:
    run_case(case, known, request.node)
