"""The strict backend: every function checks its arguments, computes with NumPy and returns an opaque array."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np

from torchplug_spec.backend import Array, Backend
from torchplug_spec.strided import StridedBackend
from torchplug_strict.array import StrictArray, hidden, opaque
from torchplug_strict.calls import call
from torchplug_strict.contract import ARGUMENTS, prepared
from torchplug_strict.replay import compiled, is_recorded

__all__ = ["StrictBackend"]


class _Host(StridedBackend):
    """The same functions over NumPy arrays; never seen from outside."""

    xp = np


_HOST = _Host()


def _checked(name: str) -> Callable[..., StrictArray]:
    function = getattr(_HOST, name)

    def compute(*arguments: Any) -> StrictArray:
        values = prepared(name, arguments)
        with np.errstate(all="ignore"):
            return opaque(function(*values))

    def method(self: Backend, *arguments: Any) -> StrictArray:
        return call(name, compute, arguments)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = getattr(Backend, name).__doc__
    return method


def _with_checked_functions(backend: type[StrictBackend]) -> type[StrictBackend]:
    for name in ARGUMENTS:
        setattr(backend, name, _checked(name))
    return abc.update_abstractmethods(backend)


@_with_checked_functions
class StrictBackend(Backend):
    """Opaque, immutable arrays on the host, and only the functions a backend must have.

    Every default composition of the front end runs on it, and whatever the front end does to an array beyond the
    contract raises TypeError.
    """

    name: ClassVar[str] = "strict"
    capabilities: ClassVar[frozenset[str]] = frozenset({"complex", "float64", "float16", "bfloat16", "compile"})

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"the backend 'strict' has no function {name!r}: it offers what the contract requires")

    def devices(self) -> Sequence[str]:
        return ("cpu",)

    def device_of(self, x: Array) -> str:
        _refuse_foreign("device_of", x)
        return "cpu"

    def to_device(self, x: Array, device: str) -> Array:
        _refuse_foreign("to_device", x)
        return x

    def synchronize(self, device: str) -> None:
        """Returns at once: nothing is queued."""

    def from_numpy(self, x: np.ndarray, device: str) -> Array:
        """Returns a copy."""
        if not isinstance(x, np.ndarray):
            raise TypeError(f"from_numpy got {type(x).__name__}, expected numpy.ndarray")
        return opaque(x.copy())

    def to_numpy(self, x: Array) -> np.ndarray:
        """Returns a copy, which may be written."""
        _refuse_foreign("to_numpy", x)
        if is_recorded(x):
            raise TypeError("to_numpy got an array inside compile, which has no values yet")
        return hidden(x).copy()

    def compile(self, fn: Callable[..., Any], donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        """Returns `fn` recorded once per shapes and types; each replay is checked against the recording."""
        return compiled(fn)

    def is_tracer(self, x: Array) -> bool:
        return is_recorded(x)


def _refuse_foreign(name: str, x: Any) -> None:
    if type(x) is not StrictArray:
        raise TypeError(f"{name} got {type(x).__name__}, expected an array of this backend")
