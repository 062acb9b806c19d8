"""Engines that exist for one test, under the name "mutant"."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from torchplug._core.kind import forget
from torchplug_spec import Backend, registry


@pytest.fixture
def register() -> Iterator[Callable[[type[Backend]], str]]:
    """Registers an engine and returns its name; it is forgotten after the test."""
    names = []

    def registered(backend: type[Backend]) -> str:
        registry.register(backend)
        names.append(backend.name)
        return backend.name

    yield registered
    for name in names:
        registry.unregister(name)
        forget(name)
