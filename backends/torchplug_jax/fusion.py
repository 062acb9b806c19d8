"""Runs the front end's compositions as one XLA program each, where eager calls would run their functions one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import jax

__all__ = ["Fusion", "Unfusable"]

_MOST_PROGRAMS: Final = 32
"""Programs per composition, counted by element types and arguments that are not arrays; with more it runs unfused."""


class Unfusable(Exception):
    """A composition looked at a value, or asked whether it is traced: its functions must run one by one."""


class _Thread(threading.local):
    fusing = False


class Fusion:
    """Makes fused functions. While one is traced, `refuse` ends the attempt, and the call runs unfused instead."""

    def __init__(self) -> None:
        self._thread = _Thread()

    def refuse(self) -> None:
        """Raises Unfusable if a composition is being fused now."""
        if self._thread.fusing:
            raise Unfusable

    def fused(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns `function` compiled once per kind of arguments; arrays, and lists of arrays, are its inputs.

        A call that cannot be fused runs as it is: inside a trace, with too many variants, or because the function reads
        values of such arrays or returns something else than arrays. An error met while fusing is raised again by the
        plain call, from the front end's own line.
        """
        programs: dict[Any, Callable[..., Any] | None] = {}
        thread = self._thread

        def call(*arguments: Any) -> Any:
            if thread.fusing:
                return function(*arguments)
            arrays: list[Any] = []
            try:
                key = tuple([_described(argument, arrays) for argument in arguments])
                known = key in programs
            except (Unfusable, TypeError):  # a traced argument, or one without a hash
                return function(*arguments)
            program = programs.get(key)
            if program is None:
                if known or len(programs) >= _MOST_PROGRAMS:
                    return function(*arguments)
                program = self._program(function, arguments)
            try:
                result = program(arrays)
            except Unfusable:
                programs[key] = None
            except Exception:  # either a value was read or the user erred: the plain call knows
                programs.setdefault(key, None)
            else:
                programs[key] = program
                return result
            return function(*arguments)

        return call

    def _program(self, function: Callable[..., Any], template: tuple[Any, ...]) -> Callable[..., Any]:
        slots = [_slot(argument) for argument in template]

        def traced(arrays: list[Any]) -> Any:
            rest = iter(arrays)
            arguments = [slot(rest) for slot in slots]
            self._thread.fusing = True
            try:
                result = function(*arguments)
            finally:
                self._thread.fusing = False
            for leaf in jax.tree.leaves(result):
                if not isinstance(leaf, jax.Array):
                    raise Unfusable
            return result

        return jax.jit(traced)


def _described(argument: Any, arrays: list[Any]) -> Any:
    """Returns what a program depends on besides shapes and types, and collects the arrays."""
    kind = type(argument)
    if isinstance(argument, jax.Array):
        if isinstance(argument, jax.core.Tracer):
            raise Unfusable
        arrays.append(argument)
        return argument.dtype  # a composition may read the values of integers and not those of floats
    if kind is float:
        return kind, argument.hex()  # 0.0 and -0.0 are equal, and 1 and 1.0
    if kind is list or kind is tuple:
        return kind, tuple([_described(each, arrays) for each in argument])
    if kind is slice:
        return kind, argument.start, argument.stop, argument.step
    return kind, argument


def _slot(argument: Any) -> Callable[[Any], Any]:
    """Returns a function that takes what stands in the place of an argument from an iterator over arrays."""
    if isinstance(argument, jax.Array):
        return next
    if type(argument) is list or type(argument) is tuple:
        kind, slots = type(argument), [_slot(each) for each in argument]
        return lambda rest: kind([slot(rest) for slot in slots])
    return lambda rest: argument
