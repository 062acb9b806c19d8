"""The command `torchplug`: demo, run, backends, conformance, new-backend, doctor, bench."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["main"]


class Command(NamedTuple):
    """A subcommand: its line in the help, and the module with its `add_arguments(parser)` and `run(args) -> int`."""

    help: str
    module: str


COMMANDS = {
    "demo": Command("train a small network on real handwritten digits", "torchplug.cli.demo"),
    "run": Command("run a program written for PyTorch, unedited", "torchplug.cli.run"),
    "backends": Command("list the backends, and why one is not available", "torchplug.backends_cli"),
    "conformance": Command("check a backend with the suite that decides what one is", "torchplug.cli.conformance"),
    "new-backend": Command("write a plugin project around an array library", "torchplug.cli.new_backend"),
    "doctor": Command("say what there is on this machine, and what is wrong with it", "torchplug.cli.doctor"),
    "bench": Command("compare the speed of the backends", "torchplug.cli.bench"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser(arguments)
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help()
        return 0
    try:
        return _call(args)
    except KeyboardInterrupt:
        print("\ntorchplug: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    from torchplug.version import __version__

    parser = argparse.ArgumentParser(prog="torchplug", description="PyTorch's API over any array library.")
    parser.add_argument("--version", action="version", version=f"torchplug {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}.")
        if name == chosen:  # the others are not imported
            importlib.import_module(command.module).add_arguments(sub)
    return parser


def _call(args: argparse.Namespace) -> int:
    from torchplug_spec.errors import BackendError, BackendNotFoundError

    try:
        status: int = importlib.import_module(COMMANDS[args.command].module).run(args)
    except BackendError as error:
        print(f"torchplug {args.command}: {error}", file=sys.stderr)
        return 2 if isinstance(error, BackendNotFoundError) else 1
    return status
