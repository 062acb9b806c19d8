"""`torchplug bench`: the engines side by side, measured by asv in this environment."""

from __future__ import annotations

import argparse
import sys

__all__ = ["add_arguments", "run"]

QUICK = "overhead|training.Eager.time|training.Compiled.time"


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
    parser.add_argument("--vs", choices=("torch",), help="put PyTorch beside them, with ratios")
    parser.add_argument("--only", metavar="PATTERN", help="benchmarks whose name matches (a regular expression)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    import json

    from torchplug._bench.runner import BenchError, run_suite
    from torchplug._bench.table import render
    from torchplug_spec import probe, registry

    statuses = {state.name: state for state in probe.statuses()}
    available = [name for name, state in statuses.items() if state.state == "available"]
    names = args.backends.split(",") if args.backends else available
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
            print(f"torchplug bench: backend '{name}' {why}", file=sys.stderr)
            return 2
    for name, state in statuses.items():
        if name not in names:
            print(f"{name} left out: {state.reason or 'not asked for'}")
    columns = [*names, *(["torch"] if args.vs else [])]
    pattern = args.only or (QUICK if args.suite == "quick" else ".")
    try:
        rows = run_suite(columns, pattern, quick=args.suite == "quick")
    except BenchError as error:
        print(f"torchplug bench: {error}", file=sys.stderr)
        return 1
    print(render(rows, columns if any(name in row.figures for row in rows for name in columns) else ["here"], args.vs))
    if args.json:
        facts = {"versions": _versions(), "rows": [
            {"name": row.name, "parameters": row.parameters, "unit": row.unit, "figures": row.figures} for row in rows
        ]}  # fmt: skip
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(facts, file, indent=1)
    return 0


def _versions() -> dict[str, str]:
    from importlib import metadata

    found = {"python": sys.version.split()[0]}
    for name in ("torchplug", "numpy", "jax", "cupy", "torch", "asv"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
