"""The suite as people run it: from any folder, without PyTorch, with one sentence for what cannot be run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOTS = [str(Path(__file__).parents[2] / name) for name in ("frontend", "backends", "plugins")]
PLUGIN = "torchplug_conformance.pytest_plugin"
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; "


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    setup = f"import sys; sys.path[:0] = {ROOTS!r}; "
    command = [sys.executable, "-c", setup + code]
    # Installed or not, the plugin under test comes from this clone, once, by -p.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def conformance(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = WITHOUT_TORCH + f"from torchplug_conformance.cli import main; sys.exit(main({list(arguments)!r}))"
    return python(code, folder)


def test_a_backend_that_passes_gets_its_level_and_a_report(tmp_path: Path) -> None:
    done = conformance(tmp_path, "strict", "--level", "1", "-k", "contract and bool", "--json", "report.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "backend 'strict' reaches level 1: computes" in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["backend"], report["level"], report["failures"]) == ("strict", 1, [])
    assert report["parts"].keys() == {"contract"}


def test_a_backend_that_fails_gets_status_1_and_what_reproduces_it(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from torchplug_spec import registry; from torchplug_strict import StrictBackend\n"
        "class Wrong(StrictBackend):\n"
        "    name = 'wrong'\n"
        "    def sum(self, x, axis, keepdims): return StrictBackend.sum(self, x, axis, True)\n"
        "registry.register(Wrong)\n"
        "from torchplug_conformance.cli import main\n"
        "sys.exit(main(['wrong', '--level', '1', '-k', 'contract and sum and float32']))"
    )
    done = python(code, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "backend 'wrong' reaches below level 1" in done.stdout
    assert 'F = registry.get("wrong")' in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonesuch"], "no backend is named 'nonesuch'"),
        (["strict", "--json", "nowhere/report.json"], "cannot write nowhere/report.json: the folder"),
        (["strict", "--json", "."], "cannot write .: it is a folder"),
        (["strict", "--level", "7"], "invalid choice"),
    ],
)
def test_what_cannot_be_run_gets_one_sentence_and_status_2(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = conformance(tmp_path, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def pytest_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = WITHOUT_TORCH + f"import pytest; sys.exit(pytest.main({['-p', PLUGIN, *arguments]!r}))"
    return python(code, folder)


def test_pytest_finds_the_suite_by_its_package(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    arguments = ("--pyargs", "torchplug_conformance", "--torchplug-backend", "strict", "-k", "forward and cumsum", "-q")
    done = pytest_run(tmp_path, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torchplug conformance of 'strict'" in done.stdout


def test_the_suite_without_a_backend_says_which_option_it_needs(tmp_path: Path) -> None:
    done = pytest_run(tmp_path, "--pyargs", "torchplug_conformance", "-q")
    assert done.returncode != 0
    assert "say which backend to test: --torchplug-backend NAME" in done.stdout + done.stderr


def test_other_peoples_test_runs_load_neither_torchplug_nor_an_engine(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        "import sys\n\ndef test_nothing_came_along():\n"
        "    loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "    assert not loaded & {'torchplug', 'torchplug_spec', 'numpy', 'jax'}, loaded\n"
    )
    done = pytest_run(tmp_path, "-q", "-p", "no:cacheprovider", "test_theirs.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torchplug" not in done.stdout
