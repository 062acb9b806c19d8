"""What pytest calls during a conformance run: it gathers the results of cases and reports them at the end."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from torchplug_conformance.cases import PARTS, by_name
from torchplug_conformance.known_failures import KnownFailures
from torchplug_conformance.progress import Progress
from torchplug_conformance.report import Report, Result
from torchplug_conformance.targets import KINDS, target_fault, write
from torchplug_spec import BackendError, registry

__all__ = ["PROPERTY", "Reporter", "backend_fault"]

PROPERTY = "torchplug_case"
"""The name under which a test leaves its case's facts in its user properties."""

MODULE = re.compile(r"(?:^|torchplug_conformance/suite/)test_(\w+)\.py")
"""The part a test belongs to, in pytest's name of it: from outside of the suite's folder, or from in it."""


def backend_fault(name: str) -> str:
    """Returns why a backend cannot be tested, or ""."""
    try:
        KnownFailures(registry.get(name))
    except BackendError as error:
        return str(error)
    except (TypeError, ValueError) as error:
        return f"backend '{name}': {error}"
    return ""


RAN_TO_THE_END = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)


class Reporter:
    """Gathers one Result per case, shows progress if asked to, prints the summary and writes the files asked for."""

    def __init__(self, config: pytest.Config) -> None:
        option = config.getoption
        self.config = config
        self.backend = option("--torchplug-backend")
        self.results: list[Result] = []
        self.expected = 0
        self.faults: list[str] = []
        self.report: Report | None = None
        self.started = time.monotonic()
        self.selection: str = " and ".join(filter(None, (option("keyword"), option("markexpr"))))
        self.targets = {kind: path for kind in KINDS if (path := option(f"--torchplug-{kind}")) is not None}
        if fault := backend_fault(self.backend) or target_fault(self.targets, self.selection):
            raise pytest.UsageError(fault)
        self.progress: Progress | None = None

    # ---- before the first case --------------------------------------------------------------------------------------

    def pytest_sessionstart(self) -> None:
        """Finds the terminal to show the progress on."""
        if self.config.getoption("--torchplug-progress"):
            self.progress = Progress(self.config.pluginmanager.get_plugin("terminalreporter"))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Counts the cases to come, in a run of one process."""
        self._begin(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Counts the cases to come, in a run of several processes."""
        self._begin(len(ids))

    def _begin(self, total: int) -> None:
        self.expected = max(total, self.expected)
        if self.progress and total:
            self.progress.begin(total)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keeps the failure of a part whose cases could not be made."""
        part = _part(report.nodeid)
        if report.failed and part and all(result.key != part for result in self.results):
            self.results.append(Result(part, part, "failed", [f"its cases could not be made: {_last_line(report)}"]))
            self.expected += 1

    # ---- case by case -----------------------------------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps the result of a test that ran a case, or of one that never came to its end."""
        result = _result(report, self.backend)
        if result is None:
            return
        self.results.append(result)
        if self.progress:
            self.progress.count(result.part, result.outcome == "failed")

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Leaves pytest's letters out where the progress is shown."""
        if self.progress is None:
            return None
        return (report.outcome if report.when == "call" or report.failed else "", "", "")

    # ---- after the last case ----------------------------------------------------------------------------------------

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Writes the files; one that cannot be written is a failure of the run."""
        if not self.results:
            return
        seconds = time.monotonic() - self.started
        level = self.config.getoption("--torchplug-level")
        stopped = exitstatus not in RAN_TO_THE_END or len(self.results) < self.expected
        self.report = Report(self.backend, level, self.results, seconds, self.selection, stopped)
        self.faults = write(self.report, self.targets)
        if self.faults and exitstatus in RAN_TO_THE_END:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Prints the parts, the failures by cause and the level."""
        if self.progress:
            self.progress.end()
        if self.report is None:
            if self.selection:
                terminalreporter.write_line(f"no case matches '{self.selection}'")
            return
        terminalreporter.section(f"torchplug conformance of '{self.backend}'")
        for line in self.report.lines(self.config.getoption("--torchplug-all-failures")):
            terminalreporter.write_line(line)
        for kind, target in self.targets.items():
            if not any(str(target) in fault for fault in self.faults):
                terminalreporter.write_line(f"{kind} written to {target}")
        for fault in self.faults:
            terminalreporter.write_line(f"ERROR: {fault}", red=True)


def _result(report: pytest.TestReport, backend: str) -> Result | None:
    """Returns the result of a test's case; None for what is no case, and for steps around one that went well."""
    facts: Any = dict(report.user_properties).get(PROPERTY)
    if facts is not None:
        return Result(**facts, seconds=report.duration) if report.when == "call" else None
    part = _part(report.nodeid) if report.failed else ""
    if not part:
        return None
    # A process that died took the facts with it.
    key = f"{part}-{report.nodeid.partition('[')[2].removesuffix(']')}"
    words = _last_line(report)
    found = "it crashed the process that ran it" if "crashed while running" in words else words
    return Result(part, key, "failed", [found], by_name(key, backend), seconds=report.duration)


def _part(node: str) -> str:
    """Returns the part of the suite that a node of pytest's belongs to, or ""."""
    found = MODULE.search(node)
    return found[1] if found and found[1] in PARTS else ""


def _last_line(report: pytest.TestReport | pytest.CollectReport) -> str:
    return (report.longreprtext.strip().splitlines() or ["it did not come to its end"])[-1]
