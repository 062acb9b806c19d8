"""`torchplug backends`: which engines and plugins there are, which can be used here, and why not the others."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from torchplug_spec import registry
from torchplug_spec.status import BackendStatus, ExtensionStatus

__all__ = ["add_arguments", "run"]

Rows = tuple[Any, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these (default: all installed or known)")
    parser.add_argument("--check", action="store_true", help="load each in a process of its own and compute a little")
    parser.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="S", help="seconds for one check (default: 30)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of text")


def run(args: argparse.Namespace) -> int:
    """Prints the listing and returns the exit status.

    2: a name is unknown. 1: a backend that was named is not usable; or, with --check and no names, the default backend
    or a plugin somebody installed is not. An engine of ours whose library is not installed is no failure.
    """
    backends, extensions = registry.listing(), registry.extensions()
    if unknown := _unknown(args.names, {row.name for row in (*backends, *extensions)}):
        print(f"torchplug backends: {unknown}", file=sys.stderr)
        return 2
    if args.names:
        backends = tuple(row for row in backends if row.name in args.names)
        extensions = tuple(row for row in extensions if row.name in args.names)
    if args.check:
        from torchplug_spec import probe

        checked = probe.check((*backends, *extensions), args.timeout)
        backends = tuple(row for row in checked if isinstance(row, BackendStatus))
        extensions = tuple(row for row in checked if isinstance(row, ExtensionStatus))
    _print_json(backends, extensions) if args.json else _print_text(backends, extensions)
    return int(any(_is_failure(row, args) for row in (*backends, *extensions)))


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 86400.0:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number of seconds above 0")
    return value


def _unknown(names: list[str], known: set[str]) -> str:
    for name in names:
        if name not in known:
            return f"no backend or plugin is named '{name}'; there are {', '.join(sorted(known))}"
    return ""


def _is_failure(row: Any, args: argparse.Namespace) -> bool:
    if args.names:
        return row.state in ("absent", "unavailable")
    if not args.check or row.state != "unavailable":
        return False
    return row.name == registry.default_name() or row.distribution != "torchplug"


def _print_json(backends: Rows, extensions: Rows) -> None:
    answer = {
        "default": registry.default_name(),
        "backends": [row._asdict() for row in backends],
        "extensions": [row._asdict() for row in extensions],
    }
    print(json.dumps(answer, indent=2))


def _print_text(backends: Rows, extensions: Rows) -> None:
    width = max((len(row.name) for row in (*backends, *extensions)), default=0) + 2
    for row in backends:
        default = ", the default" if row.name == registry.default_name() else ""
        print(f"{row.name:{width}}{row.state:13}{_origin(row)}{default}".rstrip())
        for line in _details(row):
            print(f"{'':{width}}{line}")
    if extensions:
        print("\nPlugins for other backends (selected with TORCHPLUG_PLUGINS=name,...)")
    for row in extensions:
        chosen = "selected" if row.selected else "not selected"
        print(f"{row.name:{width}}{row.state:13}{_origin(row)}, {chosen}")
        for line in _details(row):
            print(f"{'':{width}}{line}")
    if any(row.state == "installed" for row in (*backends, *extensions)):
        print("\n'installed' was not tried yet; torchplug backends --check loads each one")


def _origin(row: Any) -> str:
    return f"{row.distribution} {row.version}".strip()


def _details(row: Any) -> list[str]:
    if row.state == "absent":
        return [row.remedy]
    if row.reason:
        return [row.reason, *([f"remedy: {row.remedy}"] if row.remedy and row.remedy not in row.reason else [])]
    lines = []
    if isinstance(row, ExtensionStatus):
        lines += [f"kernels: {', '.join(row.kernels)}"] if row.kernels else []
        lines += [f"ops: {row.ops}"] if row.ops else []
    elif row.devices:
        lines.append(f"devices: {', '.join(row.devices)}")
        lines.append(f"capabilities: {', '.join(row.capabilities) or 'none'}")
    return lines
