"""Watching an engine: which arrays its kernels are given, while a function is observed or traced."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torchplug._core.kernels import COMPOSITIONS, OPS_BY_KERNEL
from torchplug._core.tracing import current_trace

__all__ = ["watched"]


@contextlib.contextmanager
def watched(engine: Any, trace: Any) -> Iterator[None]:
    """Shows every array argument of every kernel call of this context to `trace.sees(array)`."""
    for name in (*COMPOSITIONS, *OPS_BY_KERNEL):
        with contextlib.suppress(AttributeError):
            getattr(engine.F, name)  # resolved now, so that none escapes the watch by being resolved later
    table = list(engine.table)
    functions = {
        name: f for name, f in vars(engine.F).items() if callable(f) and name != "backend" and not name.startswith("_")
    }

    def watch(function: Callable[..., Any]) -> Callable[..., Any]:
        def seen(*args: Any, **kwargs: Any) -> Any:
            if current_trace() is trace:
                for arg in args:
                    if type(arg) in (list, tuple):
                        for item in arg:
                            trace.sees(item)
                    else:
                        trace.sees(arg)
            return function(*args, **kwargs)

        return seen

    engine.table[:] = [watch(function) for function in table]
    for name, function in functions.items():
        setattr(engine.F, name, watch(function))
    try:
        yield
    finally:
        engine.table[: len(table)] = table
        for name in list(vars(engine.F)):
            if name in functions:
                setattr(engine.F, name, functions[name])
