"""Fixtures of the contract tests: every engine whose library is here, in turn."""

from __future__ import annotations

import pytest
from engines_under_test import ENGINES, Bench, is_installed, unavailable

from torchplug_spec import BackendUnavailableError

_BENCHES: dict[str, Bench] = {}


@pytest.fixture(params=[name for name in ENGINES if is_installed(name)])
def bench(request: pytest.FixtureRequest) -> Bench:
    name = request.param
    if name not in _BENCHES:
        try:
            _BENCHES[name] = Bench(ENGINES[name](), name)
        except BackendUnavailableError as error:
            pytest.skip(unavailable(name, error))
    return _BENCHES[name]
