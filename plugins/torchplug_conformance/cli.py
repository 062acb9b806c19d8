"""`torchplug conformance NAME`: runs the suite on a backend and says which level it reaches."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

__all__ = ["add_arguments", "main", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    parser.add_argument("name", metavar="NAME", help="the backend to test")
    parser.add_argument(
        "--level",
        type=int,
        choices=(1, 2, 3, 4),
        default=4,
        help="the highest level to test: 1 computes, 2 trains, 3 compiles, 4 identical (default: 4)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the report here")
    parser.add_argument("--jobs", type=int, metavar="N", default=1, help="processes (default: 1); needs pytest-xdist")
    parser.add_argument("-k", dest="words", metavar="WORDS", help="only cases whose name matches, as pytest's -k")


def run(args: argparse.Namespace) -> int:
    """Runs the suite and returns the exit status: 0 all passed, 1 a case failed, 2 it could not be run."""
    try:
        import pytest
    except ImportError:
        return _refuse("the suite needs pytest: pip install 'torchplug[test]'")
    from torchplug_spec import BackendError, registry

    try:
        registry.get(args.name)
    except BackendError as error:
        return _refuse(str(error))
    if args.json and (fault := _write_fault(Path(args.json))):
        return _refuse(fault)
    # Other people's pytest plugins have no part in this: a slow or broken one must not change the verdict.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    status = pytest.main(_arguments(args))
    return {0: 0, 1: 1}.get(int(status), 2)


def _arguments(args: argparse.Namespace) -> list[str]:
    suite = Path(__file__).parent / "suite"
    arguments = [
        "-c",
        str(suite / "pytest.ini"),
        "--rootdir",
        str(suite),
        "--tb=no",
        "-q",
        "--no-header",
        "--no-summary",
    ]
    arguments += ["-p", "torchplug_conformance.pytest_plugin", "--torchplug-backend", args.name]
    arguments += ["--torchplug-level", str(args.level), str(suite)]
    if args.json:
        arguments += ["--torchplug-json", args.json]
    if args.words:
        arguments += ["-k", args.words]
    if args.jobs > 1:
        arguments += ["-p", "xdist", "-n", str(args.jobs)]
    return arguments


def _write_fault(target: Path) -> str:
    folder = target.absolute().parent
    if not folder.is_dir():
        return f"cannot write {target}: the folder {folder} does not exist"
    if target.is_dir() or not os.access(target if target.exists() else folder, os.W_OK):
        return f"cannot write {target}: it is a folder or not writable"
    return ""


def _refuse(sentence: str) -> int:
    print(f"torchplug conformance: {sentence}", file=sys.stderr)
    return 2


def main(arguments: list[str] | None = None) -> int:
    """Runs the command as `python -m torchplug_conformance NAME`."""
    parser = argparse.ArgumentParser(prog="python -m torchplug_conformance", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(arguments))
