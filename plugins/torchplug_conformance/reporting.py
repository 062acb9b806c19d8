"""What pytest calls during a conformance run: it gathers the results of cases and reports them at the end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from torchplug_conformance.report import Report, Result

__all__ = ["PROPERTY", "Reporter"]

PROPERTY = "torchplug_case"
"""The name under which a test leaves its case's facts in its user properties."""


class Reporter:
    """Gathers one Result per case, prints the summary and writes the JSON file."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.backend = config.getoption("--torchplug-backend")
        self.level = config.getoption("--torchplug-level")
        self.results: list[Result] = []
        self.started = time.monotonic()
        target = config.getoption("--torchplug-json")
        self.target = None if target is None else Path(target)
        if self.target is not None and not self.target.absolute().parent.is_dir():
            raise pytest.UsageError(f"cannot write {target}: the folder {self.target.absolute().parent} does not exist")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps the result of a test that ran a case."""
        facts: Any = dict(report.user_properties).get(PROPERTY)
        if facts is not None and (report.when == "call" or report.failed):
            self.results.append(Result(**facts, seconds=report.duration))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Prints the parts, the failures by cause and the level; writes the JSON file."""
        if not self.results:
            return
        report = Report(self.backend, self.level, self.results, time.monotonic() - self.started)
        terminalreporter.section(f"torchplug conformance of '{self.backend}'")
        for line in report.lines():
            terminalreporter.write_line(line)
        if self.target is not None:
            self.target.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
            terminalreporter.write_line(f"report written to {self.target}")
