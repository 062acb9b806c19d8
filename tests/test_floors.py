"""The check of the floors passes on this tree, and catches each kind of import that the floors forbid."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _load_check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_floors", ROOT / "scripts" / "check_floors.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


check_floors = _load_check()


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small tree with this project's layers and one empty module per package."""
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for name in ("frontend/torchplug", "frontend/torchplug/nn", "frontend/torchplug/optim", "frontend/torchplug/_core"):
        _module(tmp_path, f"{name}/__init__.py", "")
    for name in ("backends/torchplug_numpy", "backends/torchplug_jax", "plugins/torchplug_spec"):
        _module(tmp_path, f"{name}/__init__.py", "")
    _module(tmp_path, "plugins/torchplug_conformance/__init__.py", "")
    return tmp_path


def _module(root: Path, name: str, source: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)


def test_imports_of_this_project_only_go_down() -> None:
    assert check_floors.objections(ROOT) == []


def test_the_check_reads_every_package_of_the_wheel() -> None:
    assert set(check_floors.packages(ROOT)) == set(check_floors.LIBRARIES)


def test_imports_that_go_down_are_accepted(house: Path) -> None:
    _module(house, "frontend/torchplug/nn/linear.py", "import math\nimport numpy\nfrom torchplug import _core\n")
    _module(house, "frontend/torchplug/vision/a.py", "import torchplug as torch\n")
    _module(house, "backends/torchplug_jax/engine.py", "import jax\nfrom torchplug_spec import Backend\n")
    assert check_floors.objections(house) == []


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("frontend/torchplug/_core/a.py", "import torchplug.nn", "torchplug.nn stands above torchplug._core"),
        ("frontend/torchplug/_core/a.py", "from .. import nn", "torchplug.nn stands above torchplug._core"),
        ("frontend/torchplug/_core/a.py", "from torchplug import nn", "torchplug.nn stands above torchplug._core"),
        ("frontend/torchplug/_core/a.py", "def f():\n    from ..nn import x", "torchplug.nn stands above"),
        ("frontend/torchplug/nn/a.py", "from torchplug.optim import SGD", "side by side"),
        ("frontend/torchplug/nn/a.py", "def f():\n    import torchplug", "the façade stands above torchplug.nn"),
        ("frontend/torchplug/nn/a.py", "from torchplug import Tensor", "the façade stands above torchplug.nn"),
        ("frontend/torchplug/nn/a.py", "import torchplug_numpy", "side by side"),
        ("frontend/torchplug/nn/a.py", "import torchplug_conformance", "torchplug_conformance stands above torchplug"),
        ("frontend/torchplug/nn/a.py", "import jax.numpy as jnp", "torchplug may not import jax"),
        ("frontend/torchplug/nn/a.py", "try:\n    import torch\nexcept ImportError: pass", "may not import torch"),
        ("backends/torchplug_numpy/a.py", "from torchplug.nn import Linear", "side by side"),
        ("backends/torchplug_numpy/a.py", "import cupy", "torchplug_numpy may not import cupy"),
        ("backends/torchplug_jax/a.py", "import torchplug_numpy", "side by side"),
        ("plugins/torchplug_spec/a.py", "import torchplug_numpy", "torchplug_numpy stands above torchplug_spec"),
        ("plugins/torchplug_spec/a.py", "import safetensors", "torchplug_spec may not import safetensors"),
    ],
)
def test_an_import_against_the_floors_is_named_with_its_reason(
    house: Path, name: str, source: str, reason: str
) -> None:
    _module(house, name, source)
    (objection,) = check_floors.objections(house)
    assert objection.startswith(f"{name}:") and reason in objection


@pytest.mark.parametrize("name", ["shelf.py", "shelf/__init__.py"])
def test_a_new_module_of_the_front_end_needs_a_floor(house: Path, name: str) -> None:
    _module(house, f"frontend/torchplug/{name}", "")
    (objection,) = check_floors.objections(house)
    assert "torchplug.shelf has no floor" in objection


@pytest.mark.parametrize("name", ["__init__.py", "pytest_plugin.py"])
def test_the_pytest_plugin_loads_nothing_that_could_break_a_strangers_run(house: Path, name: str) -> None:
    _module(house, f"plugins/torchplug_conformance/{name}", "import json\nimport pytest\nimport torchplug\n")
    (objection,) = check_floors.objections(house)
    assert f"{name}:3:" in objection and "every pytest run" in objection


def test_the_pytest_plugin_may_import_the_rest_when_it_is_used(house: Path) -> None:
    source = "def pytest_generate_tests(metafunc):\n    import torchplug\n"
    _module(house, "plugins/torchplug_conformance/pytest_plugin.py", source)
    assert check_floors.objections(house) == []


def test_imports_for_type_checkers_only_are_free(house: Path) -> None:
    for_checkers = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from torchplug.nn import Module\n"
    source = for_checkers + "else:\n    import jax\n"
    _module(house, "frontend/torchplug/_core/a.py", source)
    (objection,) = check_floors.objections(house)
    assert ":5:" in objection and "torchplug may not import jax" in objection
