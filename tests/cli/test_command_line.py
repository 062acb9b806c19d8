"""The command `torchplug`: its parts, its errors, and that it loads only what a command needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import torchplug
from torchplug.cli import main

ROOT = Path(__file__).parents[2]


def test_without_a_command_it_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("demo", "run", "backends", "conformance", "new-backend", "doctor", "bench"))


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"torchplug {torchplug.__version__}\n"


@pytest.mark.parametrize("command", ["demo", "run", "backends", "conformance", "new-backend", "doctor", "bench"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"torchplug {command}" in capsys.readouterr().out


WRONG = {
    ("nonsense",): "invalid choice: 'nonsense'",
    ("demo", "--epochs", "0"): "argument --epochs: got '0', expected a whole number above 0",
    ("demo", "--epochs", "two"): "argument --epochs: got 'two', expected a whole number above 0",
    ("demo", "--lr", "-1"): "argument --lr: got '-1', expected a number above 0",
    ("demo", "--lr", "nan"): "argument --lr: got 'nan', expected a number above 0",
    ("demo", "--nonsense"): "unrecognized arguments: --nonsense",
    ("run",): "the following arguments are required: SCRIPT",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_ends_with_two_and_says_what_is_wrong(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code == 2
    assert WRONG[arguments] in capsys.readouterr().err


def test_the_backends_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends"]) == 0
    assert "numpy" in capsys.readouterr().out


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "torchplug_conformance.cli", None)
    assert main(["conformance", "numpy"]) == 1
    assert "torchplug conformance: the suite cannot be imported" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    assert main(["bench"]) == 1
    assert capsys.readouterr().err.startswith("torchplug bench: this installation has no benchmarks")


def test_a_backend_that_cannot_be_used_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--backend", "nonsense"]) == 2
    error = capsys.readouterr().err
    assert "torchplug demo: no backend is named 'nonsense'" in error and len(error.splitlines()) == 1


def test_an_interrupted_command_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("torchplug.backends_cli.run", interrupt)
    assert main(["backends"]) == 130


def python(code: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(
        [*(str(ROOT / part) for part in ("frontend", "backends", "plugins")), os.environ.get("PYTHONPATH", "")]
    )
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=60
    )


def test_a_command_loads_only_what_it_needs() -> None:
    done = python(
        "import sys; from torchplug.cli import main; main(['backends']);"
        "print([m for m in sys.modules if m in ('torchplug.vision', 'torchplug.demo', 'torchplug.scripts', 'jax')])"
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_importing_torchplug_loads_neither_data_loading_nor_images() -> None:
    done = python(
        "import sys, torchplug;"
        "names = ('torchplug.utils.data', 'torchplug.vision', 'torchplug.cli', 'multiprocessing');"
        "print([m for m in sys.modules if m in names]); torchplug.utils.data.DataLoader"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_reader_that_has_enough_is_no_error() -> None:
    code = "from torchplug.cli import main; import sys; sys.exit(main(['backends']))"
    path = os.pathsep.join(
        [*(str(ROOT / part) for part in ("frontend", "backends", "plugins")), os.environ.get("PYTHONPATH", "")]
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(30)
