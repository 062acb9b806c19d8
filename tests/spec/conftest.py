"""A folder of plugins and a registry for each test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_folder import PluginFolder

from torchplug_spec.registry import Registry


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginFolder]:
    """An empty folder of plugins, on this process's path too."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield PluginFolder(tmp_path)
    for name in set(sys.modules) - before:
        if name.startswith("module_"):
            del sys.modules[name]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry of its own, without settings from the environment."""
    for variable in ("TORCHPLUG_BACKEND", "TORCHPLUG_DISABLE_BACKENDS", "TORCHPLUG_PLUGINS"):
        monkeypatch.delenv(variable, raising=False)
    return Registry()
