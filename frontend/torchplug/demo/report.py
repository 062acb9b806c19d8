"""What the demo prints: progress, a table of losses side by side, a table of times and results."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import NamedTuple, TextIO

from torchplug import Tensor
from torchplug.demo.training import Result

__all__ = ["COMPARED_STEPS", "Agreement", "Progress", "agreement", "loss_table", "result_table"]

COMPARED_STEPS = 50
"""Steps after which rounding has grown too much for the losses of different engines to be compared number by number."""

_TOLERANCE = 1e-4
_WIDTH = 30
_REDRAW = 0.05
"""Seconds between two states of the bar."""


class Progress:
    """Shows how a run goes on: a bar that is redrawn on a terminal, a line per epoch anywhere else."""

    def __init__(self, backend: str, epochs: int, stream: TextIO | None = None) -> None:
        self.backend = backend
        self.epochs = epochs
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.drawn = 0.0

    def step(self, epoch: int, step: int, steps: int, loss: Tensor) -> None:
        now = time.perf_counter()
        if self.live and now - self.drawn >= _REDRAW:
            self.drawn = now
            filled = _WIDTH * (step + 1) // steps
            bar = "#" * filled + "." * (_WIDTH - filled)
            self._write(f"\r{self._head(epoch)} [{bar}] {step + 1:3}/{steps}  loss {loss.item():.4f} ")

    def epoch(self, epoch: int, losses: list[float], accuracy: float) -> None:
        mean = sum(losses) / len(losses)
        erase = "\r\033[K" if self.live else ""
        self._write(f"{erase}{self._head(epoch)}  loss {mean:.4f}  test accuracy {accuracy:6.2%}\n")

    def _head(self, epoch: int) -> str:
        return f"{self.backend}: epoch {epoch + 1:{len(str(self.epochs))}}/{self.epochs}"

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


class Agreement(NamedTuple):
    """How far the losses of a run are from those of another, at most: in the first steps, and in all of them."""

    early: float
    all: float

    @property
    def holds(self) -> bool:
        """Whether the early losses agree to 1e-4."""
        return self.early <= _TOLERANCE


def agreement(result: Result, reference: Result) -> Agreement:
    """Returns the largest differences of two runs' losses; a NaN counts as infinitely far from a number."""
    gaps = [_gap(x, y) for x, y in zip(result.losses, reference.losses, strict=True)]
    return Agreement(max(gaps[:COMPARED_STEPS]), max(gaps))


def _gap(x: float, y: float) -> float:
    return 0.0 if x == y or (x != x and y != y) else abs(x - y) if x == x and y == y else float("inf")


def loss_table(results: Sequence[Result]) -> str:
    """Returns the losses of some steps, a column per backend, and the largest differences from the first."""
    count = len(results[0].losses)
    steps = [step for step in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000) if step < count] + [count]
    rows = [["step", *(result.backend for result in results)]]
    rows += [[str(step), *(f"{result.losses[step - 1]:.6f}" for result in results)] for step in steps]
    lines = _columns(rows)
    for result in results[1:]:
        found = agreement(result, results[0])
        verdict = "agrees with" if found.holds else "DOES NOT AGREE WITH"
        early = f"{found.early:.1e} in the first {min(COMPARED_STEPS, count)} steps"
        lines.append(
            f"{result.backend} {verdict} {results[0].backend}: losses differ by at most {early}, {found.all:.1e} in all"
        )
    return "\n".join(lines)


def result_table(results: Sequence[Result]) -> str:
    """Returns the closing table."""
    rows = [["backend", "first step", "steps/s", "final loss", "accuracy"]]
    rows += [
        [
            result.backend,
            f"{result.first_step:.3f} s",
            f"{result.steps_per_second:.1f}",
            f"{result.losses[-1]:.4f}",
            f"{result.accuracies[-1]:.2%}",
        ]
        for result in results
    ]
    return "\n".join(_columns(rows))


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first, *others = widths
    return [
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
        for row in rows
    ]
