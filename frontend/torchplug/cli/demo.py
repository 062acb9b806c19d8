"""`torchplug demo`: the main job on one backend, or on all of them side by side."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from torchplug_spec.status import BackendStatus

if TYPE_CHECKING:
    from torchplug.demo.training import Result, Settings

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    parser.add_argument(
        "--backend", metavar="NAME", help="numpy, jax, cupy, strict, ... or all (default: the default one)"
    )
    parser.add_argument("--epochs", type=_count, default=20, metavar="N", help="times through the data (default: 20)")
    parser.add_argument("--batch-size", type=_count, default=64, metavar="N", help="images in a step (default: 64)")
    parser.add_argument("--lr", type=_rate, default=0.003, metavar="X", help="learning rate (default: 0.003)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights and order (default: 0)")
    parser.add_argument("--compile", action="store_true", help="compile the training step (torchplug.compile)")
    parser.add_argument("--plot", metavar="FILE", help="draw losses and accuracies to an image file; needs matplotlib")
    parser.add_argument("--checkpoint", metavar="FILE", help="keep the trained network in this file")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number above 0")
    return int(text)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0")
    return value


def run(args: argparse.Namespace) -> int:
    """Runs the demo and returns the exit status: 1 when a run fails or losses do not agree, 2 for files in no folder."""
    if problem := _problem(args):
        print(f"torchplug demo: {problem}", file=sys.stderr)
        return 2
    from torchplug import get_backend
    from torchplug.demo import report
    from torchplug.demo.training import Settings

    settings = Settings(args.epochs, args.batch_size, args.lr, seed=args.seed, compile=args.compile)
    chosen = _all_backends() if args.backend == "all" else _Chosen([args.backend or get_backend()], [])
    results, failures = _train_on(chosen.names, settings, args.checkpoint)
    if len(results) > 1:
        print("\n" + report.loss_table(results))
    if results:
        print("\n" + report.result_table(results))
    for line in (*failures, *chosen.left_out):
        print(line)
    if args.plot and results:
        _draw(results, args.plot)
    agree = all(report.agreement(result, results[0]).holds for result in results[1:])
    return 0 if results and not failures and agree else 1


def _problem(args: argparse.Namespace) -> str:
    for option in ("plot", "checkpoint"):
        path = getattr(args, option)
        if path and not os.path.isdir(os.path.dirname(path) or "."):
            return f"--{option} {path}: there is no folder {os.path.dirname(path)}"
    if args.plot and importlib.util.find_spec("matplotlib") is None:
        return "--plot needs matplotlib: pip install matplotlib"
    return ""


class _Chosen(NamedTuple):
    """The backends to run, and a line for each that is left out."""

    names: list[str]
    left_out: list[str]


def _all_backends() -> _Chosen:
    from torchplug_spec import probe, registry

    print("looking for backends ...", flush=True)
    chosen = _Chosen([], [])
    rows = [row for row in probe.check(registry.listing(), 60.0) if isinstance(row, BackendStatus)]
    for row in sorted(rows, key=lambda row: row.name != "numpy"):  # the others are compared with numpy
        if row.state == "available":
            chosen.names.append(row.name)
        else:
            chosen.left_out.append(_left_out(row))
    return chosen


def _left_out(row: BackendStatus) -> str:
    reason = "it is not installed" if row.state == "absent" else row.reason
    remedy = f"; {row.remedy}" if row.remedy and row.remedy not in reason else ""
    return f"{row.name} left out: {reason}{remedy}"


def _train_on(names: list[str], settings: Settings, checkpoint: str | None) -> tuple[list[Result], list[str]]:
    """Trains on one backend after another. With several, one that fails does not end the others."""
    from torchplug import use_backend
    from torchplug.demo.report import Progress
    from torchplug.demo.training import CheckpointError, train

    results, failures = [], []
    for name in names:
        path = checkpoint if checkpoint is None or len(names) == 1 else _numbered(checkpoint, name)
        try:
            with use_backend(name):
                results.append(train(settings, Progress(name, settings.epochs), path))
        except CheckpointError as error:
            failures.append(f"{name} failed: {error}")
        except Exception as error:
            if len(names) == 1:
                raise
            failures.append(f"{name} failed: {type(error).__name__}: {error}")
    return results, failures


def _numbered(path: str, name: str) -> str:
    stem, extension = os.path.splitext(path)
    return f"{stem}-{name}{extension}"


def _draw(results: list[Result], path: str) -> None:
    from torchplug.demo.plot import draw

    draw(results, path)
    print(f"curves: {path}")
