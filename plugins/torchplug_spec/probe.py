"""Tries plugins in processes of their own, so that one that hangs, crashes or exits hurts nobody.

`check` is called by programs; `python -m torchplug_spec.probe NAME KIND FILE` is what it starts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from torchplug_spec import registry
from torchplug_spec.status import BackendStatus, ExtensionStatus

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TIMEOUT", "check", "statuses"]

TIMEOUT = 30.0
"""Seconds one plugin may take to load and compute."""

# What the listing did not rule out; "available" ones were loaded in this process.
_USABLE = ("installed", "available")
_AT_ONCE = 4
_POLL = 0.02

Status = BackendStatus | ExtensionStatus


def check(rows: Iterable[Status], timeout: float = TIMEOUT) -> tuple[Status, ...]:
    """Returns `rows` (of `registry.listing` or `registry.extensions`), those installed replaced by what a trial found.

    Each is loaded and, if a backend, computes a little, in a process of its own, killed after `timeout` seconds. Four
    run at once, so n plugins take at most ceil(n / 4) * timeout seconds and a little.
    """
    import tempfile
    from pathlib import Path

    found = list(rows)
    # Those that were loaded in this process are tried afresh all the same.
    waiting = [place for place, row in enumerate(found) if row.state in _USABLE]
    with tempfile.TemporaryDirectory(prefix="torchplug-check-") as folder:
        running: dict[int, _Trial] = {}
        try:
            while waiting or running:
                while waiting and len(running) < _AT_ONCE:
                    place = waiting.pop(0)
                    running[place] = _Trial(found[place], Path(folder) / str(place), timeout)
                for place, answer in _finished(running):
                    found[place] = answer
                    del running[place]
        finally:
            for trial in running.values():
                trial.kill()
    return tuple(found)


def statuses(timeout: float = TIMEOUT) -> tuple[BackendStatus, ...]:
    """Returns what can be used here of every backend installed or known.

    Our engines and those this process registered or loaded are asked here; a plugin that nobody asked for is tried by
    `check`, so that one that hangs or crashes hurts nobody.
    """
    here = set(registry.implicit_names())
    rows = registry.listing()
    ours = [row.name in here and row.state in _USABLE for row in rows]
    tried = iter(check((row for row, own in zip(rows, ours, strict=True) if not own), timeout))
    found = (registry.status(row.name) if own else next(tried) for row, own in zip(rows, ours, strict=True))
    return tuple(row for row in found if isinstance(row, BackendStatus))


def _finished(running: dict[int, _Trial]) -> Iterator[tuple[int, Status]]:
    import time

    time.sleep(_POLL)
    for place, trial in list(running.items()):
        answer = trial.poll()
        if answer is not None:
            yield place, answer


class _Trial:
    """One plugin in one process, and the files it answers through."""

    def __init__(self, row: Status, path: Path, timeout: float) -> None:
        import subprocess
        import time

        self.row, self.timeout = row, timeout
        self.answer, self.errors = path.with_suffix(".json"), path.with_suffix(".err")
        kind = "backend" if isinstance(row, BackendStatus) else "plugin"
        # -P keeps the current folder off the path: a file numpy.py lying there must not decide what a check finds.
        command = [sys.executable, "-P", "-m", "torchplug_spec.probe", row.name, kind, str(self.answer)]
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        self.deadline = time.monotonic() + timeout

    def poll(self) -> Status | None:
        """Returns what was found, None while the trial goes on."""
        import time

        status = self.process.poll()
        if status is None and time.monotonic() < self.deadline:
            return None
        self.kill()
        if self.answer.exists():
            return _read_answer(self.row, self.answer)
        if status is None:
            return self._failed(f"it did not load and compute within {self.timeout:g} s and was stopped")
        return self._failed(_ending(status) + self._last_words())

    def kill(self) -> None:
        """Ends the process and all it started."""
        with suppress(OSError):  # the group is gone
            if hasattr(os, "killpg"):
                import signal

                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()

    def _failed(self, reason: str) -> Status:
        origin = self.row.distribution
        remedy = f"uninstall {origin}, or tell its authors" if origin else ""
        return self.row._replace(state="unavailable", reason=reason, remedy=remedy)

    def _last_words(self) -> str:
        lines = self.errors.read_text(errors="replace").strip().splitlines()
        return f"; the last it wrote was: {lines[-1].strip()[:200]}" if lines else ""


def _environment() -> dict[str, str]:
    # Where this process finds its modules, so that source folders and notebooks are checked as they are.
    roots = [os.path.abspath(root or os.curdir) for root in sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}


def _ending(status: int) -> str:
    if status >= 0:
        return f"it ended its process with exit status {status} while it loaded"
    import signal

    try:
        name = f"{signal.Signals(-status).name}: {signal.strsignal(-status)}"
    except ValueError:
        name = f"signal {-status}"
    return f"it crashed its process ({name})"


def _read_answer(row: Status, path: Path) -> Status:
    import json

    fields = json.loads(path.read_text())
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return type(row)(**fields)


def _try(name: str, kind: str) -> Status:
    """Loads one plugin in this process and returns its status, after a computation if it is a backend."""
    if kind == "plugin":
        return registry.extension(name)
    status = registry.status(name)
    if status.state != "available":
        return status
    try:
        fault = _smoke(name)
    except Exception as error:
        fault = f"a smoke computation failed: {type(error).__name__}: {str(error).strip()[:300]}"
    if not fault:
        return status
    return status._replace(state="unavailable", reason=fault, remedy=f"upgrade or uninstall {status.distribution}")


def _smoke(name: str) -> str:
    from torchplug_spec.smoke import smoke_fault

    return smoke_fault(registry.get(name))


def _main(name: str, kind: str, path: str) -> None:
    import json
    from pathlib import Path

    answer: dict[str, Any] = _try(name, kind)._asdict()
    unfinished = Path(path + ".part")
    unfinished.write_text(json.dumps(answer))
    unfinished.replace(path)
    # Not sys.exit: threads and exit handlers of a plugin must not hold up an answer that is written.
    os._exit(0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
