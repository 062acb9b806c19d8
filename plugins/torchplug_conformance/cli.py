"""`torchplug conformance NAME`: runs the suite on a backend and says which level it reaches."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from torchplug_conformance.targets import KINDS, target_fault

__all__ = ["add_arguments", "main", "run"]

MEANINGS = "1 computes, 2 trains, 3 compiles, 4 identical"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    parser.add_argument("name", metavar="NAME", help="the backend to test")
    parser.add_argument(
        "--level", type=_level, default=4, metavar="N", help=f"the highest level to test: {MEANINGS} (default: 4)"
    )
    for kind, help in KINDS.items():
        parser.add_argument(f"--{kind}", metavar="FILE", help=help)
    parser.add_argument(
        "--jobs", type=_jobs, metavar="N", default=1, help="processes, or auto (default: 1); more need pytest-xdist"
    )
    parser.add_argument("-k", dest="words", metavar="WORDS", help="only cases whose name matches, as pytest's -k")
    parser.add_argument("--all-failures", action="store_true", help="print every failure, not a few of each cause")


def _level(text: str) -> int:
    if text not in ("1", "2", "3", "4"):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a level: {MEANINGS}")
    return int(text)


def _jobs(text: str) -> int:
    if text == "auto":
        return os.cpu_count() or 1
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number of processes, or auto")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Runs the suite and returns the exit status: 0 all passed, 1 a case failed, 2 it could not be run.

    130: it was interrupted.
    """
    if fault := _fault(args):
        print(f"torchplug conformance: {fault}", file=sys.stderr)
        return 2
    import pytest

    # Other people's pytest plugins have no part in this: a slow or broken one must not change the verdict.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    status = pytest.main(_arguments(args))
    return {0: 0, 1: 1, 2: 130}.get(int(status), 2)


def _fault(args: argparse.Namespace) -> str:
    """Returns what keeps the suite from running, or ""."""
    if importlib.util.find_spec("pytest") is None:
        return "the suite needs pytest: pip install 'torchplug[test]'"
    if args.jobs > 1 and importlib.util.find_spec("xdist") is None:
        return "--jobs needs pytest-xdist: pip install 'torchplug[test]', or leave --jobs out"
    from torchplug_conformance.reporting import backend_fault

    return target_fault(_targets(args), args.words or "") or backend_fault(args.name)


def _targets(args: argparse.Namespace) -> dict[str, str]:
    return {kind: path for kind in KINDS if (path := getattr(args, kind)) is not None}


def _arguments(args: argparse.Namespace) -> list[str]:
    suite = Path(__file__).parent / "suite"
    arguments = ["-c", str(suite / "pytest.ini"), "--rootdir", str(suite)]
    arguments += ["--tb=no", "-q", "--no-header", "--no-summary", "-o", "console_output_style=classic"]
    arguments.append("--continue-on-collection-errors")
    arguments += ["-p", "torchplug_conformance.pytest_plugin", "--torchplug-backend", args.name]
    arguments += ["--torchplug-level", str(args.level), "--torchplug-progress", str(suite)]
    for kind, target in _targets(args).items():
        arguments += [f"--torchplug-{kind}", target]
    if args.all_failures:
        arguments.append("--torchplug-all-failures")
    if args.words:
        arguments += ["-k", args.words]
    if args.jobs > 1:
        # A crash is a failure of its case; the stacks of all threads of a worker say nothing more.
        arguments += ["-p", "xdist", "-n", str(args.jobs), "-p", "no:faulthandler"]
    return arguments


def main(arguments: list[str] | None = None) -> int:
    """Runs the command as `python -m torchplug_conformance NAME`."""
    parser = argparse.ArgumentParser(prog="python -m torchplug_conformance", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(arguments))
