"""What the distribution promises: the README's commands, the packages of the wheel, their types and entry points."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
BACKENDS = PYPROJECT["project"]["entry-points"]["torchplug.backends"]


@pytest.mark.parametrize("variable", ["README_DEMO", "README_TESTS"])
def test_ci_runs_the_readmes_commands_word_for_word(variable: str) -> None:
    script = (ROOT / ".ci" / "run").read_text()
    (command,) = re.findall(rf"^{variable}='([^']+)'$", script, re.MULTILINE)
    assert f'bash -c "${variable}"' in script
    assert command in (ROOT / "README.md").read_text().splitlines()


def test_every_importable_package_is_in_the_wheel() -> None:
    found = {
        str(folder.parent.relative_to(ROOT))
        for root in PYPROJECT["tool"]["hatch"]["build"]["dev-mode-dirs"]
        for folder in (ROOT / root).glob("*/__init__.py")
    }
    assert found == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_the_version_is_the_same_in_the_package_and_its_metadata() -> None:
    import torchplug

    assert torchplug.__version__ == PYPROJECT["project"]["version"]


@pytest.mark.parametrize("name", ["numpy", "strict"])
def test_the_engines_that_need_nothing_more_load_from_their_entry_points(name: str) -> None:
    module, _, attribute = BACKENDS[name].partition(":")
    assert hasattr(importlib.import_module(module), attribute)


def test_the_console_command_answers() -> None:
    module, _, function = PYPROJECT["project"]["scripts"]["torchplug"].partition(":")
    call = f"import sys; from {module} import {function}; sys.argv = ['torchplug', '--help']; sys.exit({function}())"
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, timeout=60, env=_environment())
    assert done.returncode == 0, done.stderr
    for verb in ("demo", "backends", "run", "bench", "conformance"):
        assert verb in done.stdout


def test_importing_the_package_imports_neither_pytorch_nor_an_array_library_but_numpy() -> None:
    call = "import sys, torchplug; print(sorted({'torch', 'jax', 'cupy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, timeout=60, env=_environment())
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def _environment() -> dict[str, str]:
    """This process's environment with the src-roots added, so that the tests need no installation."""
    roots = [str(ROOT / name) for name in PYPROJECT["tool"]["hatch"]["build"]["dev-mode-dirs"]]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}


def test_pre_commit_pins_the_checkers_that_the_dev_extra_pins() -> None:
    pins = {line for line in PYPROJECT["project"]["optional-dependencies"]["dev"] if "==" in line}
    hooks = set(re.findall(r'"([a-z-]+==[^"]+)"', (ROOT / ".pre-commit-config.yaml").read_text()))
    assert hooks and hooks <= pins
