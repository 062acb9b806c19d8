"""`torchplug run`: a script, notebook or module in which `import torch` gets torchplug."""

from __future__ import annotations

import argparse
import sys

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    parser.usage = "torchplug run [-h] [--backend NAME] (SCRIPT | -m MODULE) [ARGUMENTS ...]"
    parser.add_argument(
        "--backend", metavar="NAME", help="the default backend (default: TORCHPLUG_BACKEND, else numpy)"
    )
    parser.add_argument("-m", dest="module", action="store_true", help="SCRIPT is the name of a module")
    parser.add_argument("script", metavar="SCRIPT", help="a Python file or a notebook (.ipynb)")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENTS", help="passed on to the script")


def run(args: argparse.Namespace) -> int:
    """Runs the program and returns its exit status; 2 when there is none to run."""
    from torchplug import set_backend
    from torchplug.scripts import ScriptError, run_module, run_script

    if args.backend is not None:
        set_backend(args.backend)
    try:
        return (run_module if args.module else run_script)(args.script, args.arguments)
    except ScriptError as error:
        print(f"torchplug run: {error}", file=sys.stderr)
        return 2
