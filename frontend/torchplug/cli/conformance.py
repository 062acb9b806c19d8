"""`torchplug conformance`: the shipped suite, which lives in a package of its own above this one."""

from __future__ import annotations

import argparse
import importlib
import sys

__all__ = ["add_arguments", "run"]

_MODULE = "torchplug_conformance.cli"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser: all are the suite's."""
    try:
        importlib.import_module(_MODULE).add_arguments(parser)
    except ImportError:  # `run` says so
        parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENTS")


def run(args: argparse.Namespace) -> int:
    """Runs the suite and returns its exit status; 1 when it cannot be imported."""
    try:
        suite = importlib.import_module(_MODULE)
    except ImportError as error:
        print(
            f"torchplug conformance: the suite cannot be imported ({error}); it needs pytest: "
            "pip install 'torchplug[test]'",
            file=sys.stderr,
        )
        return 1
    status: int = suite.run(args)
    return status
