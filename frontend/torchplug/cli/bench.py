"""`torchplug bench`: the benchmarks of the package, when they are installed."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys

__all__ = ["add_arguments", "run"]

_MODULE = "torchplug.bench_cli"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    if importlib.util.find_spec(_MODULE) is not None:
        importlib.import_module(_MODULE).add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the benchmarks and returns their exit status; 1 when they are not there."""
    if importlib.util.find_spec(_MODULE) is None:
        print(f"torchplug bench: this installation has no benchmarks (module {_MODULE} is missing)", file=sys.stderr)
        return 1
    status: int = importlib.import_module(_MODULE).run(args)
    return status
