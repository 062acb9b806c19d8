"""How far a run is: one line redrawn on a terminal, a line for every tenth elsewhere."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["Progress"]

REDRAW = 0.1
"""Seconds between two drawings on a terminal."""

WIDTH = 30


class Progress:
    """Shows the cases done, those that failed and the time left through a pytest terminal reporter."""

    def __init__(self, terminal: Any) -> None:
        self.terminal = terminal
        self.redraws: bool = terminal.isatty
        self.total = 0
        self.done = 0
        self.failed = 0
        self.started = time.monotonic()
        self.drawn = 0.0
        self.tenth = 0

    def begin(self, total: int) -> None:
        """Takes the number of cases to come; with several processes each of them says it."""
        if not self.total:
            self.started = time.monotonic()
            self.total = total
            if not self.redraws:
                self.terminal.write_line(f"{total} cases")

    def count(self, part: str, failed: bool) -> None:
        """Takes note of a case that ended."""
        self.done += 1
        self.failed += failed
        now = time.monotonic()
        if self.redraws and (now - self.drawn > REDRAW or self.done == self.total):
            self.drawn = now
            self.terminal.rewrite(self.line(part, now - self.started), erase=True)
        elif not self.redraws and self.total and self.done * 10 // self.total > self.tenth:
            self.tenth = self.done * 10 // self.total
            self.terminal.write_line(self.line(part, now - self.started))

    def line(self, part: str, seconds: float) -> str:
        """Returns the line: a bar, cases done, failures, the part of the last case and the time left."""
        total = max(self.total, self.done)
        filled = self.done * WIDTH // total
        left = seconds / self.done * (total - self.done)
        return (
            f"[{'#' * filled:<{WIDTH}}] {self.done} of {total}, {self.failed} failed, {part}, about {left:.0f} s left"
        )

    def end(self) -> None:
        """Leaves the line that was drawn."""
        if self.redraws and self.done:
            self.terminal.write_line("")
