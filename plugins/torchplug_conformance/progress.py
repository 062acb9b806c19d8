"""How far a run is: one line redrawn on a terminal, elsewhere a line for every tenth and after every half minute."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["Progress"]

REDRAW = 0.1
"""Seconds between two drawings on a terminal."""

PATIENCE = 30.0
"""Seconds without a line elsewhere."""

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
        self.drawn = self.started
        self.tenth = 0

    def begin(self, total: int) -> None:
        """Takes the number of cases to come; with several processes each of them says it."""
        if not self.total:
            self.started = self.drawn = time.monotonic()
            self.total = total
            if not self.redraws:
                self.terminal.write_line(f"{total} cases")

    def count(self, part: str, failed: bool) -> None:
        """Takes note of a case that ended."""
        self.done += 1
        self.failed += failed
        now = time.monotonic()
        if self._is_due(now):
            self.drawn = now
            line = self.line(part, now - self.started)
            if self.redraws:
                self.terminal.rewrite(line, erase=True)
            else:
                self.terminal.write_line(line)

    def _is_due(self, now: float) -> bool:
        if self.redraws:
            return now - self.drawn > REDRAW or self.done == self.total
        tenth, self.tenth = self.tenth, self.done * 10 // max(self.total, 1)
        return self.total > 0 and (self.tenth > tenth or now - self.drawn > PATIENCE)

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
