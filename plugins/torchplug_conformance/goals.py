"""Goals: what the project promises of itself, measured: a line `goal N: measured / threshold` each, and one JSON file.

A conformance run measures some on its backend; tests measure others, with `note`. Both add to the same file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["PROPERTY", "Collector", "Goal", "add_to_file", "file_fault", "note"]

PROPERTY = "torchplug_goal"
"""The name under which a test leaves a measurement in its user properties."""


class Goal(NamedTuple):
    """One measured promise: at least `threshold` of `what`, or at most that many; `on` names the engine, if one was chosen."""

    number: int
    what: str
    measured: int
    threshold: int
    at_most: bool = False
    on: str = ""

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.measured <= self.threshold if self.at_most else self.measured >= self.threshold

    @property
    def key(self) -> tuple[int, str, str]:
        """What tells it from other measurements."""
        return self.number, self.what, self.on

    def line(self) -> str:
        """Returns "goal 4: 55 / 40 mutant engines caught", with a word when it is missed."""
        place = f" on {self.on}" if self.on else ""
        missed = "" if self.met else ", missed"
        return f"goal {self.number}: {self.measured} / {self.threshold} {self.what}{place}{missed}"


def file_fault(path: str) -> str:
    """Returns why measurements cannot be added to a file, or "". A file that does not exist can be made."""
    try:
        _read(path)
    except (OSError, ValueError) as error:
        return f"cannot add goals to {path}: {error}"
    return ""


def add_to_file(path: str, goals: Iterable[Goal]) -> None:
    """Adds measurements to a JSON file; one of the same goal takes the place of the old one."""
    rows = {_key(row): row for row in _read(path)}
    rows.update({goal.key: {**goal._asdict(), "met": goal.met} for goal in goals})
    content = {"goals": [rows[key] for key in sorted(rows)]}
    Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _read(path: str) -> list[dict[str, Any]]:
    if not Path(path).exists():
        return []
    try:
        rows: list[dict[str, Any]] = json.loads(Path(path).read_text(encoding="utf-8"))["goals"]
        list(map(_key, rows))
    except (KeyError, TypeError, ValueError):
        raise ValueError("it is there and is no file of goals") from None
    return rows


def _key(row: Mapping[str, Any]) -> tuple[int, str, str]:
    return int(row["number"]), str(row["what"]), str(row["on"])


def note(
    node: Any, number: int, what: str, threshold: int, measured: int = 1, at_most: bool = False, on: str = ""
) -> None:
    """Leaves a measurement with a test: what the tests of a run note of one goal is added up.

    Of a test that fails only what counts against the goal counts.
    """
    node.user_properties.append((PROPERTY, Goal(number, what, measured, threshold, at_most, on)._asdict()))


class Collector:
    """A pytest plugin that adds up what tests noted, prints a line per goal and adds them to a file if one is given."""

    def __init__(self, target: str | None = None) -> None:
        self.target = target
        self.goals: dict[tuple[int, str, str], Goal] = {}
        self.fault = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Takes what a test noted."""
        if report.when != "call":
            return
        for name, facts in report.user_properties:
            if name == PROPERTY:
                self._add(Goal(**facts), counts=report.passed or facts["at_most"])

    def _add(self, goal: Goal, counts: bool) -> None:
        before = self.goals[goal.key].measured if goal.key in self.goals else 0
        self.goals[goal.key] = goal._replace(measured=before + (goal.measured if counts else 0))

    def pytest_sessionfinish(self) -> None:
        """Writes the file."""
        if self.target and self.goals:
            try:
                add_to_file(self.target, self.goals.values())
            except (OSError, ValueError) as error:
                self.fault = f"cannot add goals to {self.target}: {error}"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Prints the goals."""
        if self.goals:
            terminalreporter.section("goals")
            for key in sorted(self.goals):
                terminalreporter.write_line(self.goals[key].line())
        if self.fault:
            terminalreporter.write_line(f"ERROR: {self.fault}", red=True)
