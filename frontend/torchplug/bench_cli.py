"""`torchplug bench`: the engines side by side, measured by asv in this environment."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torchplug._bench.runner import Row

__all__ = ["add_arguments", "run"]

QUICK = "overhead|training.Eager.time|training.Compiled.time"
REFERENCES = {"torch": "torch", "jax-by-hand": "jax", "autograd": "autograd"}
"""What engines can be put beside -> the package it needs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument(
        "--backends",
        metavar="A,B",
        help="backends to measure (default: all that are available); numpy+numba is one with a plugin",
    )
    parser.add_argument(
        "--suite", choices=("quick", "full"), default="quick", help="overhead and training steps, or everything"
    )
    parser.add_argument(
        "--vs", metavar="A,B", help=f"put references beside them ({', '.join(REFERENCES)}), with ratios to the first"
    )
    parser.add_argument("--only", metavar="PATTERN", help="benchmarks whose name matches (a regular expression)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file")
    parser.add_argument("--html", metavar="FILE", help="write tables and charts to one self-contained page")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    from torchplug._bench.machine import facts
    from torchplug._bench.page import write_page
    from torchplug._bench.runner import BenchError, run_suite
    from torchplug._bench.table import render

    references = args.vs.split(",") if args.vs else []
    try:
        names = _chosen(args.backends)
        _check(references, [path for path in (args.json, args.html) if path])
        rows = run_suite(
            [*names, *references], args.only or (QUICK if args.suite == "quick" else "."), quick=args.suite == "quick"
        )
        columns = [*names, *references]
        if not any(name in row.figures for row in rows for name in columns):
            columns = ["here"]  # rows that no engine takes part in, such as import times
        base = references[0] if references else None
        print(render(rows, columns, base))
        if args.json:
            _write_json(args.json, rows, facts())
        if args.html:
            write_page(args.html, rows, columns, base, facts())
    except BenchError as error:
        print(f"torchplug bench: {error}", file=sys.stderr)
        return error.status
    return 0


def _chosen(asked: str | None) -> list[str]:
    """Returns the backends to measure, and says which are left out; BenchError for one that cannot be measured."""
    from torchplug._bench.runner import BenchError
    from torchplug_spec import probe, registry

    statuses = {state.name: state for state in probe.statuses()}
    available = [name for name, state in statuses.items() if state.state == "available"]
    names = asked.split(",") if asked else available
    for name in names:
        if "+" in name:
            statuses[name] = registry.status(name)
            available += [name] if statuses[name].state == "available" else []
        if name not in available:
            state = statuses.get(name)
            why = (
                f"is {state.state}: {state.reason}"
                if state is not None
                else f"is not installed; available: {', '.join(available)}"
            )
            raise BenchError(f"backend '{name}' {why}", status=2)
    for name, state in statuses.items():
        if name not in names:
            print(f"{name} left out: {state.reason or 'not asked for'}")
    return names


def _check(references: list[str], paths: list[str]) -> None:
    """Raises BenchError for references that are not there and files that cannot be written, before anything is timed."""
    from importlib.util import find_spec
    from pathlib import Path

    from torchplug._bench.runner import BenchError

    for name in references:
        if name not in REFERENCES:
            raise BenchError(f"got --vs {name}, expected some of {', '.join(REFERENCES)}", status=2)
        if find_spec(REFERENCES[name]) is None:
            raise BenchError(f"--vs {name} needs {REFERENCES[name]}: pip install {REFERENCES[name]}", status=2)
    for path in paths:
        if not Path(path).absolute().parent.is_dir():
            raise BenchError(f"{path}: there is no folder {Path(path).parent}", status=2)


def _write_json(path: str, rows: Sequence[Row], facts: dict[str, str]) -> None:
    import json

    found = [{
        "name": row.name, "parameters": row.parameters, "unit": row.unit, "figures": row.figures, "quartiles": row.spreads,
    } for row in rows]  # fmt: skip
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"machine": facts, "rows": found}, file, indent=1)
