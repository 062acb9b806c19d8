"""Goals: one line each, added up over tests and processes, kept in one JSON file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from torchplug_conformance.goals import Goal, add_to_file, file_fault
from torchplug_conformance.report import Report, Result
from torchplug_conformance.targets import target_fault, write

ROOTS = [str(Path(__file__).parents[2] / name) for name in ("frontend", "backends", "plugins")]


def test_a_goal_is_a_line() -> None:
    assert Goal(4, "mutant engines caught", 55, 40).line() == "goal 4: 55 / 40 mutant engines caught"
    assert Goal(4, "mutant engines caught", 39, 40).line() == "goal 4: 39 / 40 mutant engines caught, missed"
    assert Goal(10, "plugins imported", 1, 0, at_most=True, on="numpy").line().endswith("on numpy, missed")
    assert Goal(10, "plugins imported", 0, 0, at_most=True).met


def test_measurements_are_kept_beside_each_other_and_the_newest_counts(tmp_path: Path) -> None:
    path = str(tmp_path / "goals.json")
    add_to_file(path, [Goal(4, "mutants", 39, 40), Goal(1, "functions", 3, 3, on="numpy")])
    add_to_file(path, [Goal(4, "mutants", 55, 40), Goal(1, "functions", 3, 3, on="jax")])
    rows = json.loads(Path(path).read_text())["goals"]
    assert [(row["number"], row["on"], row["measured"], row["met"]) for row in rows] == [
        (1, "jax", 3, True),
        (1, "numpy", 3, True),
        (4, "", 55, True),
    ]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"goals": 3}', '{"goals": [{"number": 1}]}'])
def test_a_file_of_something_else_is_refused_before_the_run(tmp_path: Path, content: str) -> None:
    path = tmp_path / "goals.json"
    path.write_text(content)
    assert file_fault(str(path)) == f"cannot add goals to {path}: it is there and is no file of goals"
    assert target_fault({"goals": str(path)}) == file_fault(str(path))
    assert path.read_text() == content


def test_a_run_of_some_cases_measures_no_goal(tmp_path: Path) -> None:
    assert "goals are measured by a run of all cases" in target_fault({"goals": str(tmp_path / "x")}, "sum")
    assert Report("numpy", 4, [Result("gradient", "gradient-a-b-float32-0", "passed")], 1.0, "sum").goals() == []


def test_a_report_measures_functions_and_vectors() -> None:
    results = [
        Result("gradient", "gradient-a-b-float32-0", "passed"),
        Result("gradient", "gradient-a-b-float32-1", "failed", ["off"]),
        Result("gradient", "gradient-a-c-complex64-0", "passed"),
        Result("gradient", "gradient-modules-Conv2d", "passed"),
        Result("files", "files-resume-Adam", "passed"),
        *(Result("streams", f"streams-{number}", "passed") for number in range(26)),
    ]
    report = Report("numpy", 4, results, 1.0)
    assert [(goal.number, goal.measured, goal.threshold, goal.met) for goal in report.goals()] == [
        (1, 2, 3, False),
        (9, 26, 25, True),
        (9, 1, 1, True),
    ]
    assert any(line.startswith("goal 1: 2 / 3 ") for line in report.lines())


def test_a_run_that_stopped_adds_no_goals(tmp_path: Path) -> None:
    stopped = Report("numpy", 4, [Result("gradient", "gradient-a-b-0", "passed")], 1.0, stopped=True)
    assert write(stopped, {"goals": str(tmp_path / "x")}) == [
        f"no goals in {tmp_path / 'x'}: the run stopped before its end"
    ]


TESTS = """
import pytest
from torchplug_conformance.goals import note

@pytest.mark.parametrize("number", range(5))
def test_mutants(number, request):
    note(request.node, 4, "mutants caught", 3)
    note(request.node, 4, "cases lost", 0, measured=int(number == 4), at_most=True)
    assert number != 4
"""
CONFTEST = """
from torchplug_conformance.goals import Collector

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector(config.getoption("--torchplug-goals", default=None)))
"""


@pytest.mark.parametrize("options", [[], ["-p", "xdist", "-n", "2"]])
def test_what_tests_note_is_added_up(tmp_path: Path, options: list[str]) -> None:
    if options:
        pytest.importorskip("xdist")
    (tmp_path / "test_them.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    arguments = ["-p", "torchplug_conformance.pytest_plugin", "--torchplug-goals", "goals.json", "-q", *options]
    code = f"import sys; sys.path[:0] = {ROOTS!r}; import pytest; sys.exit(pytest.main({arguments!r}))"
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": ":".join(ROOTS), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "goal 4: 4 / 3 mutants caught\n" in done.stdout
    assert "goal 4: 1 / 0 cases lost, missed\n" in done.stdout
    rows = json.loads((tmp_path / "goals.json").read_text())["goals"]
    assert [(row["what"], row["measured"]) for row in rows] == [("cases lost", 1), ("mutants caught", 4)]
