"""The pytest plugin: options that choose a backend, and the report of a conformance run.

It is loaded into every pytest run on a machine where torchplug is installed, so it imports nothing but the standard
library and pytest, and does nothing unless its options are used.
"""

from __future__ import annotations

from typing import Any

import pytest

__all__: list[str] = []

FILES = {"json": "the conformance report", "html": "the report as a page", "badge": "the level as an SVG picture"}
NEED_A_BACKEND = (*FILES, "progress", "all-failures")  # --torchplug-goals serves torchplug's own tests too


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("torchplug", "torchplug conformance")
    group.addoption(
        "--torchplug-backend",
        metavar="NAME",
        default=None,
        help="the backend to test: pytest --pyargs torchplug_conformance --torchplug-backend NAME",
    )
    group.addoption(
        "--torchplug-level",
        metavar="N",
        type=int,
        choices=(1, 2, 3, 4),
        default=4,
        help="the highest level to test: 1 computes, 2 trains, 3 compiles, 4 identical (default: 4)",
    )
    for kind, content in FILES.items():
        group.addoption(f"--torchplug-{kind}", metavar="FILE", default=None, help=f"write {content} here")
    group.addoption(
        "--torchplug-goals", metavar="FILE", default=None, help="add what was measured of goals to this file"
    )
    group.addoption("--torchplug-progress", action="store_true", help="show progress in a line in place of letters")
    group.addoption("--torchplug-all-failures", action="store_true", help="print every failure, not a few of a cause")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--torchplug-backend") is None:
        for option in NEED_A_BACKEND:
            if config.getoption(f"--torchplug-{option}"):
                raise pytest.UsageError(f"--torchplug-{option} needs --torchplug-backend NAME")
        return
    if not hasattr(config, "workerinput"):  # the process that distributes the tests reports for all of them
        from torchplug_conformance.reporting import Reporter

        config.pluginmanager.register(Reporter(config), "torchplug_conformance_report")


def pytest_report_header(config: pytest.Config) -> Any:
    name = config.getoption("--torchplug-backend")
    return None if name is None else f"torchplug backend: {name}"
