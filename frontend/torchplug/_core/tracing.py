"""The trace in progress, if any: what code outside compile must ask before it reads a value or draws a number."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol

__all__ = ["Trace", "current_trace", "hyper", "trace_state"]


class Trace(Protocol):
    """What a trace offers to the code it traces through."""

    def host_input(self, kind: Any, produce: Any) -> Any:
        """Returns an array for `produce()` (a NumPy array of fixed shape), which is called anew at every run."""


trace_state: ContextVar[Any] = ContextVar("trace", default=None)
current_trace = trace_state.get


def hyper(group: dict[str, Any], name: str, kind: Any) -> Any:
    """Returns a hyperparameter: the Python number, or while compile traces an array of `kind` that is read anew from
    the group at every run, so that a changed learning rate needs no new trace."""
    trace = trace_state.get()
    return group[name] if trace is None else trace.hyper(group, name, kind)
