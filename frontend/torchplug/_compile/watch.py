"""Watching an engine: what its kernels are given and return, while a function is observed, traced or explained."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torchplug._core.kernels import COMPOSITIONS, OPS, OPS_BY_KERNEL
from torchplug._core.tracing import current_trace

__all__ = ["replaced", "watched"]

Kernel = Callable[..., Any]


@contextlib.contextmanager
def replaced(
    engine: Any, around_op: Callable[[Any, Any, Kernel], Kernel], around_kernel: Callable[[Any, str, Kernel], Kernel]
) -> Iterator[None]:
    """Puts `around_op(engine, op, kernel)` in the place of every op's kernel and `around_kernel(engine, name, kernel)` in the
    place of every function of the namespace, for all threads, until the block ends."""
    for name in (*COMPOSITIONS, *OPS_BY_KERNEL):
        with contextlib.suppress(AttributeError):
            getattr(engine.F, name)  # resolved now, so that none escapes by being resolved later
    table = list(engine.table)
    functions = {
        name: f for name, f in vars(engine.F).items() if callable(f) and name != "backend" and not name.startswith("_")
    }
    engine.table[:] = [around_op(engine, op, kernel) for op, kernel in zip(OPS, table, strict=False)]
    for name, function in functions.items():
        setattr(engine.F, name, around_kernel(engine, name, function))
    try:
        yield
    finally:
        engine.table[: len(table)] = table
        for name in list(vars(engine.F)):
            if name in functions:
                setattr(engine.F, name, functions[name])


@contextlib.contextmanager
def watched(engine: Any, trace: Any) -> Iterator[None]:
    """Shows every array argument of every kernel call of this context to `trace.sees(array)`."""

    def watch(_engine: Any, _place: Any, function: Kernel) -> Kernel:
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

    with replaced(engine, watch, watch):
        yield
