"""`torchplug bench` measures the packages that this process runs, wherever they come from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import torchplug
import torchplug_numpy
import torchplug_spec


def test_packages_found_by_pythonpath_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("asv")
    from torchplug._bench.runner import run_suite

    roots = {str(Path(str(module.__file__)).parent.parent) for module in (torchplug, torchplug_numpy, torchplug_spec)}
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sorted(roots)))
    rows = run_suite(["numpy"], "overhead.Graph.time_tiny_training_step", quick=True)
    assert [list(row.figures) for row in rows] == [["numpy"]]
    assert rows[0].figures["numpy"] > 0


def test_an_engine_with_a_plugin_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from torchplug.cli import main

    assert main(["bench", "--backends", "numpy+fastr"]) == 2
    assert "backend 'numpy+fastr' is absent: no plugin named 'fastr'" in capsys.readouterr().err


def test_a_clone_without_history_is_measured_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torchplug._bench import runner

    (tmp_path / "asv_bench").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "scratch").mkdir()
    repository, commit = runner._history(tmp_path / "asv_bench", tmp_path / "scratch")
    assert repository == tmp_path / "scratch" / "history"
    assert len(commit) == 40
