"""The page about reports names the levels, parts and options there are, and the results are those of the JSON files."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from torchplug_conformance.cases import LEVELS, PARTS
from torchplug_conformance.cli import add_arguments

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "conformance-report.md").read_text()
GOALS = ROOT / "docs" / "results" / "conformance" / "goals.json"
REPORTS = sorted(path for path in GOALS.parent.glob("*.json") if path != GOALS)


def rows(heading: str) -> list[list[str]]:
    """Returns the cells of the first table below a heading."""
    table = PAGE.partition(f"## {heading}\n")[2].partition("\n|")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_the_levels_are_those_of_the_suite() -> None:
    expected = [
        [str(level), name, ", ".join(part for part in PARTS if PARTS[part] == level)] for level, name in LEVELS.items()
    ]
    assert [row[:3] for row in rows("The level")] == expected


def test_every_part_is_described() -> None:
    assert [part for row in rows("The parts") for part in re.findall(r"`(\w+)`", row[0])] == list(PARTS)


def test_the_options_it_names_exist() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    known = {option for action in parser._actions for option in action.option_strings}
    named = set(re.findall(r"(?<![\w-])--(?!pyargs|torchplug)[a-z][a-z-]*", PAGE))
    assert {"--json", "--html", "--badge"} <= named <= known


def test_the_page_of_results_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "write_conformance_results.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", REPORTS, ids=[path.stem for path in REPORTS])
def test_our_engines_have_no_failure(path: Path) -> None:
    report = json.loads(path.read_text())
    assert (report["level"], report["failures"], report["known_failures"]) == (4, [], [])


def test_every_goal_that_was_measured_is_met() -> None:
    rows = json.loads(GOALS.read_text())["goals"]
    assert {row["number"] for row in rows} >= {1, 4, 9, 10}
    assert [row for row in rows if not row["met"]] == []


def test_the_engines_that_are_always_installed_have_a_report() -> None:
    assert {"numpy", "strict"} <= {path.stem for path in REPORTS}
