"""The trace in progress, if any: what code outside compile must ask before it reads a value or draws a number."""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar
from typing import Any, Protocol

__all__ = ["Trace", "current_trace", "hyper", "trace_state", "user_line"]


class Trace(Protocol):
    """What an observation or a trace offers to the code it runs."""

    def host_input(self, kind: Any, host: Any, method: str, args: tuple) -> Any:
        """Returns an array for `host.method(*args)`, which is called anew at every run."""

    def hyper(self, group: dict[str, Any], name: str, kind: Any) -> Any:
        """Returns a hyperparameter that is read anew at every run."""

    def refuses(self, array: Any) -> bool:
        """Says whether reading the value of this array would freeze live state into the compiled function."""


trace_state: ContextVar[Any] = ContextVar("trace", default=None)
current_trace = trace_state.get


def hyper(group: dict[str, Any], name: str, kind: Any) -> Any:
    """Returns a hyperparameter: the Python number, or while compile traces an array of `kind` that is read anew from
    the group at every run, so that a changed learning rate needs no new trace."""
    trace = trace_state.get()
    return group[name] if trace is None else trace.hyper(group, name, kind)


PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def user_line() -> str:
    """Returns "file:line" of the innermost frame outside torchplug."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back  # type: ignore[assignment]
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "a frame of torchplug"
