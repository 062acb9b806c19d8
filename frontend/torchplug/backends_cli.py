"""`torchplug backends`: which engines and plugins there are, which can be used here, and why not the others."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence

from torchplug_spec import registry
from torchplug_spec.status import BackendStatus, ExtensionStatus

__all__ = ["add_arguments", "run", "seconds"]

Row = BackendStatus | ExtensionStatus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these (default: all installed or known)")
    parser.add_argument("--check", action="store_true", help="load each in a process of its own and compute a little")
    parser.add_argument(
        "--timeout", type=seconds, default=30.0, metavar="S", help="seconds for one check (default: 30)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of text")


def run(args: argparse.Namespace) -> int:
    """Prints the listing and returns the exit status.

    2: a name is unknown. 1: a backend that was named is not usable; or, with --check and no names, the default backend
    or a plugin somebody installed is not. An engine of ours whose library is not installed is no failure.
    """
    rows: list[Row] = [*registry.listing(), *registry.extensions()]
    if unknown := _unknown(args.names, {row.name for row in rows}):
        print(f"torchplug backends: {unknown}", file=sys.stderr)
        return 2
    if args.names:
        rows = [row for row in rows if row.name in args.names]
    if args.check:
        from torchplug_spec import probe

        rows = list(probe.check(rows, args.timeout))
    print(_as_json(rows) if args.json else _as_text(rows))
    return int(any(_is_failure(row, args) for row in rows))


def seconds(text: str) -> float:
    """Returns an argument that is a positive number of seconds."""
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


def _is_failure(row: Row, args: argparse.Namespace) -> bool:
    if args.names:
        return row.state in ("absent", "unavailable")
    if not args.check or row.state != "unavailable":
        return False
    return row.name == registry.default_name() or row.distribution != "torchplug"


def _as_json(rows: list[Row]) -> str:
    answer = {
        "default": registry.default_name(),
        "backends": [row._asdict() for row in rows if isinstance(row, BackendStatus)],
        "extensions": [row._asdict() for row in rows if isinstance(row, ExtensionStatus)],
    }
    return json.dumps(answer, indent=2)


def _as_text(rows: list[Row]) -> str:
    width = max((len(row.name) for row in rows), default=0) + 2
    backends = [row for row in rows if isinstance(row, BackendStatus)]
    extensions = [row for row in rows if isinstance(row, ExtensionStatus)]
    lines = [line for row in backends for line in _lines(row, _role(row), width)]
    if extensions:
        lines += ["", "Plugins for other backends (selected with TORCHPLUG_PLUGINS=name,... or as numpy+name)"]
    for row in extensions:
        lines += _lines(row, ", selected" if row.selected else ", not selected", width)
    if any(row.state == "installed" for row in rows):
        lines += ["", "'installed' was not tried yet; torchplug backends --check loads each one"]
    return "\n".join(lines).lstrip("\n")


def _role(row: BackendStatus) -> str:
    return ", the default" if row.name == registry.default_name() else ""


def _lines(row: Row, role: str, width: int) -> list[str]:
    head = f"{row.name:{width}}{row.state:13}{row.distribution} {row.version}".rstrip() + role
    return [head, *(" " * width + detail for detail in _details(row))]


def _details(row: Row) -> list[str]:
    if row.state == "absent":
        return [row.remedy]
    if row.reason:
        return [row.reason, *([f"remedy: {row.remedy}"] if row.remedy and row.remedy not in row.reason else [])]
    if isinstance(row, ExtensionStatus):
        return [*_kernels(row.kernels), *([f"ops: {', '.join(row.ops)}"] if row.ops else [])]
    if not row.devices:
        return []
    return [f"devices: {', '.join(row.devices)}", f"capabilities: {', '.join(row.capabilities) or 'none'}"]


def _kernels(pairs: Sequence[str]) -> Iterator[str]:
    """Yields lines with the kernels a plugin overrides ("backend:kernel"), by backend."""
    import textwrap

    owners: dict[str, list[str]] = {}
    for pair in pairs:
        owner, _, kernel = pair.partition(":")
        owners.setdefault(owner, []).append(kernel)
    for owner, names in owners.items():
        yield from textwrap.wrap(f"kernels for {owner}: {', '.join(names)}", 100, subsequent_indent="  ")
