"""Runs NumPy functions without floating-point warnings, in any thread, at a tenth of the cost of `np.errstate`.

NumPy keeps its error state in a context variable. A copy of a context in which the state is "ignore" costs 15 ns, running a
function in it 15 ns; entering `np.errstate` costs 850 ns. The copy is needed because no context runs twice at once, and two
threads may be inside NumPy at the same time.
"""

from __future__ import annotations

import contextvars
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["ignore_warnings_raised_here", "quiet", "run_quietly"]

_context = contextvars.Context()
_context.run(np.seterr, all="ignore")
_copy = _context.copy


def run_quietly(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Returns function(*args, **options), computed without floating-point warnings."""
    return _copy().run(function, *args, **options)


def quiet(function: Callable[..., Any], operands: int) -> Callable[..., Any]:
    """Returns `function` of one or two positional operands, without floating-point warnings (70 ns more per call)."""
    if operands == 1:
        return lambda x: _copy().run(function, x)
    return lambda x, y: _copy().run(function, x, y)


def ignore_warnings_raised_here(modules: str) -> None:
    """Silences the floating-point warnings of ufuncs called bare from modules that match the pattern, and only of those."""
    messages = "(divide by zero|overflow|underflow|invalid value) encountered in "
    warnings.filterwarnings("ignore", messages, RuntimeWarning, modules)
