"""Everything a function can reach, by name: its tensors, and the Python state to put back after a trial run."""

from __future__ import annotations

import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from torchplug._compile.function import CompiledFunction
from torchplug._core.random import Generator, default_generator
from torchplug._core.tensor import Tensor

__all__ = ["Reachable"]

_LIBRARIES = frozenset(sys.stdlib_module_names) | {
    "torchplug", "torchplug_spec", "torchplug_conformance", "torchplug_numpy", "torchplug_jax", "torchplug_cupy",
    "torchplug_strict", "numpy", "jax", "jaxlib", "cupy", "torch", "ml_dtypes", "pytest", "_pytest",
}  # fmt: skip
_ATOMS = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype, slice, range)
_WITH_STATE = tuple(
    f"{package}.{part}" for package in ("torchplug", "torch") for part in ("nn", "optim", "utils", "vision", "demo")
)

Named = Iterator[tuple[str, Any]]


class Reachable:
    """What can be reached from some roots: `tensors` by path, and `restore()` for all else that a run may change.

    Followed are containers, objects with attributes, methods, partial functions, and of functions the closure, defaults and
    the globals they name; not modules and classes of libraries. An iterator that a run advances cannot be put back.
    """

    def __init__(self, **roots: Any) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._seen: dict[int, Any] = {}
        self._undo: list[Callable[[], None]] = []
        waiting: deque[tuple[str, Any]] = deque(roots.items())
        waiting.append(("default_generator", default_generator))
        while waiting:
            path, value = waiting.popleft()
            if isinstance(value, _ATOMS) or id(value) in self._seen:
                continue
            self._seen[id(value)] = value
            waiting.extend(self._parts(path, value))
        self._remember_host_streams()

    def restore(self) -> None:
        """Puts back containers, attributes, closures, globals, arrays and random streams; tensors have a place of their own."""
        for undo in self._undo:
            undo()

    def _parts(self, path: str, value: Any) -> Named:
        """Yields what a value leads to, remembering what it holds now."""
        kind = type(value)
        if issubclass(kind, Tensor):
            self.tensors[path] = value
            yield f"{path}.grad", getattr(value, "_grad", None)
            yield from self._attributes(path, value)
        elif issubclass(kind, np.ndarray):
            self._keep_array(value)
        elif issubclass(kind, (list, deque)):
            self._keep_sequence(value)
            yield from ((f"{path}[{place}]", item) for place, item in enumerate(value))
        elif issubclass(kind, dict):
            self._keep_dict(value)
            for key, item in list(value.items()):
                yield f"{path}[{key!r}]" if isinstance(key, (str, int)) else f"{path}[...]", item
                yield f"{path}.key", key
            yield from self._attributes(path, value)
        elif issubclass(kind, (tuple, frozenset, set)):
            if issubclass(kind, set):
                self._keep_set(value)
            yield from ((f"{path}[{place}]", item) for place, item in enumerate(value))
        elif issubclass(kind, Generator):
            self._keep_generator(value)
        elif issubclass(kind, CompiledFunction):
            yield path, value.function
        elif issubclass(kind, functools.partial):
            yield path, value.func
            yield f"{path}.args", value.args
            yield f"{path}.keywords", value.keywords
        elif issubclass(kind, types.MethodType):
            yield path, value.__self__
            yield path, value.__func__
        elif issubclass(kind, types.FunctionType):
            yield from self._function(path, value)
        elif issubclass(kind, type):
            yield from self._class(path, value)
        elif _has_state(kind):
            yield from self._attributes(path, value)
            yield path, kind

    def _function(self, path: str, function: types.FunctionType) -> Named:
        if _is_library(function.__module__):
            yield path, getattr(function, "__wrapped__", None)
            return
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            self._undo.append(functools.partial(setattr, cell, "cell_contents", value))
            yield name, value
        names = _names(function.__code__)
        known = function.__globals__
        for name in names:
            if name not in known:
                continue
            value = known[name]
            if isinstance(value, types.ModuleType):
                if not _is_library(value.__name__):
                    yield from ((f"{name}.{part}", vars(value)[part]) for part in names if part in vars(value))
            else:
                self._undo.append(functools.partial(known.__setitem__, name, value))
                yield name, value
        yield f"{path}.defaults", function.__defaults__
        yield f"{path}.defaults", function.__kwdefaults__
        yield path, function.__dict__

    def _class(self, path: str, kind: type) -> Named:
        for base in kind.__mro__:
            if not _is_library(base.__module__):
                yield from ((f"{base.__name__}.{name}", item) for name, item in list(vars(base).items()))

    def _attributes(self, path: str, value: Any) -> Named:
        facts = getattr(value, "__dict__", None)
        if isinstance(facts, dict):
            self._keep_dict(facts)
            for name, item in list(facts.items()):
                if name in ("_parameters", "_buffers", "_modules") and isinstance(item, dict):
                    self._keep_dict(item)  # a Module's table, no part of the name that its user writes
                    yield from ((f"{path}.{key}", part) for key, part in list(item.items()))
                else:
                    yield f"{path}.{name}", item
        if isinstance(value, Tensor):
            return
        for base in type(value).__mro__:
            slots = base.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                    item = getattr(value, name)
                    self._undo.append(functools.partial(object.__setattr__, value, name, item))
                    yield f"{path}.{name}", item

    def _keep_dict(self, value: dict[Any, Any]) -> None:
        held = dict(value)

        def undo() -> None:
            if list(map(id, value)) != list(map(id, held)) or any(value[key] is not held[key] for key in held):
                value.clear()
                value.update(held)

        self._undo.append(undo)

    def _keep_sequence(self, value: Any) -> None:
        held = list(value)

        def undo() -> None:
            if list(map(id, value)) != list(map(id, held)):
                value.clear()
                value.extend(held)

        self._undo.append(undo)

    def _keep_set(self, value: set[Any]) -> None:
        held = set(value)

        def undo() -> None:
            value.clear()
            value.update(held)

        self._undo.append(undo)

    def _keep_array(self, value: np.ndarray) -> None:
        if value.flags.writeable and value.dtype != object:
            held = value.copy()

            def undo() -> None:
                value[...] = held

            self._undo.append(undo)

    def _keep_generator(self, value: Generator) -> None:
        if value._host is None:

            def undo() -> None:
                value._host = None

            if value is not default_generator:
                self._undo.append(undo)
                return
        self._undo.append(functools.partial(value.host.set_state, value.host.get_state()))

    def _remember_host_streams(self) -> None:
        plain, of_numpy = sys.modules.get("random"), sys.modules.get("numpy.random")
        if plain is not None:
            self._undo.append(functools.partial(plain.setstate, plain.getstate()))
        if of_numpy is not None:
            self._undo.append(functools.partial(of_numpy.set_state, of_numpy.get_state()))


def _names(code: types.CodeType) -> tuple[str, ...]:
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _names(constant)
    return tuple(dict.fromkeys(names))


def _is_library(module: str | None) -> bool:
    return (module or "").partition(".")[0] in _LIBRARIES


def _has_state(kind: type) -> bool:
    module = kind.__module__ or ""
    return not _is_library(module) or module.startswith(_WITH_STATE) or module in ("types", "argparse")
