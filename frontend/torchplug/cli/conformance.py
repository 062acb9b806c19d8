"""`torchplug conformance`: the shipped suite, which lives in a package of its own above this one."""

from __future__ import annotations

import argparse
import importlib
import sys

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser: all are the suite's."""
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENTS", help="the backend's name, options")


def run(args: argparse.Namespace) -> int:
    """Runs the suite and returns its exit status; 1 when it cannot be imported."""
    try:
        suite = importlib.import_module("torchplug_conformance.cli")
    except ImportError as error:
        print(
            f"torchplug conformance: the suite cannot be imported ({error}); it needs pytest: "
            "pip install 'torchplug[test]'",
            file=sys.stderr,
        )
        return 1
    status: int = suite.main(args.arguments)
    return status
