"""Fixtures of the contract tests: every engine whose library is here, in turn."""

from __future__ import annotations

import pytest
from engines_under_test import ENGINES, Bench, bench_of, is_installed


@pytest.fixture(params=[name for name in ENGINES if is_installed(name)])
def bench(request: pytest.FixtureRequest) -> Bench:
    return bench_of(request.param)
