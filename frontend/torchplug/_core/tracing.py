"""The trace in progress, if any: what code outside compile must ask before it reads a value or draws a number."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol

__all__ = ["Trace", "current_trace", "trace_state"]


class Trace(Protocol):
    """What a trace offers to the code it traces through."""

    def host_input(self, kind: Any, produce: Any) -> Any:
        """Returns an array for `produce()` (a NumPy array of fixed shape), which is called anew at every run."""


trace_state: ContextVar[Any] = ContextVar("trace", default=None)
current_trace = trace_state.get
