"""The progress of a run: redrawn on a terminal, a line for every tenth elsewhere."""

from __future__ import annotations

import pytest

from torchplug_conformance.progress import Progress


class Terminal:
    """Stands for pytest's terminal reporter and keeps what is written."""

    def __init__(self, isatty: bool) -> None:
        self.isatty = isatty
        self.lines: list[str] = []
        self.drawn: list[str] = []

    def write_line(self, line: str) -> None:
        self.lines.append(line)

    def rewrite(self, line: str, erase: bool) -> None:
        assert erase
        self.drawn.append(line)


def test_a_pipe_gets_a_line_for_every_tenth() -> None:
    terminal = Terminal(isatty=False)
    progress = Progress(terminal)
    progress.begin(1000)
    for number in range(1000):
        progress.count("forward", failed=number == 3)
    progress.end()
    assert terminal.lines[0] == "1000 cases"
    assert len(terminal.lines) == 11
    assert terminal.lines[1].startswith("[###                           ] 100 of 1000, 1 failed, forward")
    assert terminal.drawn == []


def test_a_terminal_has_one_line_that_is_redrawn_up_to_the_last_case(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(number / 100 for number in range(10_000))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    terminal = Terminal(isatty=True)
    progress = Progress(terminal)
    progress.begin(50)
    for _ in range(50):
        progress.count("dtype", failed=False)
    progress.end()
    assert 2 <= len(terminal.drawn) <= 10
    assert terminal.drawn[-1].startswith(f"[{'#' * 30}] 50 of 50, 0 failed, dtype, about 0 s left")
    assert terminal.lines == [""]


def test_a_slow_run_says_so_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 7))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    terminal = Terminal(isatty=False)
    progress = Progress(terminal)
    progress.begin(1000)
    for _ in range(20):
        progress.count("replay", failed=False)
    assert [line.partition("] ")[2].partition(" of")[0] for line in terminal.lines[1:]] == ["5", "10", "15", "20"]


def test_more_cases_than_were_announced_are_counted() -> None:
    progress = Progress(Terminal(isatty=False))
    progress.begin(1)
    progress.count("dtype", failed=False)
    progress.count("dtype", failed=False)
    assert "2 of 2" in progress.line("dtype", 1.0)
