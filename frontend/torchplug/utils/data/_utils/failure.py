"""Exceptions of a worker process, carried to the process that reads its batches."""

from __future__ import annotations

import traceback
from typing import Any, NoReturn

__all__ = ["Failure", "describe_death"]


class Failure:
    """An exception as text and class, for another process: tracebacks and arguments need not survive the way."""

    def __init__(self, error: BaseException, where: str, detail: str = "") -> None:
        self.kind = type(error)
        text = "".join(traceback.format_exception(error)).rstrip()
        self.message = f"Caught {self.kind.__name__} {where}.{detail}\nOriginal {text}"

    def __reduce__(self) -> Any:
        import pickle

        try:
            kind: Any = pickle.dumps(self.kind)
        except Exception:  # a class made inside a function has no name that another process could import
            kind = None
        return _restored, (kind, self.message)

    def reraise(self) -> NoReturn:
        """Raises the exception's class with the worker's traceback as message; RuntimeError where the class forbids."""
        if issubclass(self.kind, KeyError):
            raise self.kind(_PlainText(self.message))
        try:
            error = self.kind(self.message)
        except Exception:
            error = RuntimeError(self.message)
        raise error from None


class _PlainText(str):
    """A message that KeyError, which shows the repr of its argument, shows with its line breaks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _restored(kind: bytes | None, message: str) -> Failure:
    import pickle

    failure = Failure.__new__(Failure)
    failure.message = message
    failure.kind = RuntimeError
    if kind is not None:
        try:
            failure.kind = pickle.loads(kind)
        except Exception:  # known to the worker only: its text has to do
            failure.kind = RuntimeError
    return failure


def describe_death(pid: int | None, exit_code: int | None) -> str:
    """Returns the beginning of the sentence about a worker that ended: who, and by which signal or exit code."""
    if exit_code is not None and exit_code < 0:
        import signal

        number = -exit_code
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return f"DataLoader worker (pid {pid}) is killed by signal: {signal.strsignal(number) or 'unknown'} ({name})"
    return f"DataLoader worker (pid(s) {pid}) exited unexpectedly with exit code {exit_code}"
