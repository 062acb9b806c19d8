"""`torchplug doctor`: engines, versions, devices, threads, BLAS, conflicts and caches of this machine."""

from __future__ import annotations

import argparse
import json

from torchplug.backends_cli import seconds
from torchplug.explaining.diagnosis import diagnose

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    parser.add_argument(
        "--timeout", type=seconds, default=30.0, metavar="S", help="seconds for the check of one engine (default: 30)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of text")


def run(args: argparse.Namespace) -> int:
    """Prints the diagnosis and returns the exit status: 1 when there is a problem, 0 when there are warnings at most."""
    diagnosis = diagnose(args.timeout)
    print(json.dumps(diagnosis.as_dict(), indent=2) if args.json else diagnosis)
    return int(not diagnosis.ok)
