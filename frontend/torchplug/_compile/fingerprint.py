"""What a function's outcome depends on besides tensor values: the Python values it can reach.

Two calls with equal fingerprints run the same ops; a compiled entry is used only under the fingerprint it was traced with.
"""

from __future__ import annotations

import collections
import enum
import functools
import sys
import types
from typing import Any

import numpy as np

from torchplug._compile.guards import Watch, content_of
from torchplug._core.device import Device
from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import DType

__all__ = ["Fingerprint"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None), DType, Device, slice, range)
_LIBRARY = frozenset(sys.stdlib_module_names) | {"torchplug", "torchplug_spec", "numpy", "jax", "cupy", "torch"}
DEPTH = 6


class Fingerprint:
    """Computes fingerprints of one function; numbers read through a trace (learning rates) are left out.

    `watch` tells afterwards, quickly, whether the fingerprint is still that of the moment it was computed.
    """

    def __init__(self, exempt: set[tuple[int, str]]) -> None:
        self.exempt = exempt
        self.watch = Watch()
        self._kept: list[Any] = []

    def of(self, function: Any) -> Any:
        """Returns a comparable value; objects it names by identity are kept alive with this fingerprint."""
        self._seen: set[Any] = set()
        self._names: tuple[str, ...] = ()
        facts = self._value(function, DEPTH)
        self.watch.done()
        return facts

    def _identity(self, value: Any) -> int:
        self._kept.append(value)
        return id(value)

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, _PLAIN):
            return (
                type(value).__name__,
                repr(value) if isinstance(value, float) else value if value.__hash__ else repr(value),
            )
        if isinstance(value, Tensor):
            self.watch.tensor(value)
            return ("tensor", self._identity(value), value._kind, _shape_of(value), value._node is not None)
        if isinstance(value, np.ndarray):
            content = content_of(value)
            self.watch.array(value, content)
            return ("array", content)
        if isinstance(value, np.generic):
            return ("scalar", value.dtype.str, value.tobytes())
        if depth <= 0 or (id(value), self._names) in self._seen:
            return ("object", self._identity(value))
        return self._compound(value, depth)

    def _compound(self, value: Any, depth: int) -> Any:
        if isinstance(value, (list, tuple, set, frozenset, collections.deque)):
            if not isinstance(value, (tuple, frozenset)):
                self.watch.sequence(value)
            return (type(value).__name__, tuple(self._value(item, depth - 1) for item in value))
        if isinstance(value, dict):
            return ("dict", self._items(value, depth))
        if isinstance(value, functools.partial):
            self.watch.table(value.keywords)
            return ("partial", *(self._value(part, depth) for part in (value.func, value.args, value.keywords)))
        if isinstance(value, types.MethodType):
            self._seen.add((id(value), self._names))
            bound = value.__self__
            return ("method", self._function(value.__func__, depth, type(bound)), self._within(value, bound, depth))
        if isinstance(value, types.FunctionType):
            return self._function(value, depth, None)
        if isinstance(value, (type, types.ModuleType)):
            self._seen.add((id(value), self._names))
            return ("namespace", self._identity(value), self._namespace(value, depth))
        if isinstance(value, types.BuiltinFunctionType):
            return ("object", self._identity(value))
        self._seen.add((id(value), self._names))
        if hasattr(value, "_parameters") and hasattr(value, "_modules"):
            return self._module(value, depth)
        if hasattr(value, "param_groups") and hasattr(value, "state"):
            return self._optimizer(value, depth)
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None and callable(wrapped):
            return ("wrapped", self._identity(value), self._value(wrapped, depth - 1))
        return self._object(value, depth)

    def _items(self, items: dict[Any, Any], depth: int) -> tuple:
        exempt = tuple(name for name in items if (id(items), name) in self.exempt)
        self.watch.table(items, exempt)
        return tuple(
            (name if isinstance(name, _PLAIN) else self._identity(name), self._value(value, depth - 1))
            for name, value in list(items.items())
            if name not in exempt
        )

    # ---- functions and the names in them -----------------------------------------------------------------------------

    def _within(self, function: Any, value: Any, depth: int) -> Any:
        """Returns the fingerprint of an object as the code of a function may look into it."""
        outer = self._names
        code = getattr(function, "__code__", None)
        self._names = _names(code) if code is not None else ()
        try:
            return self._value(value, depth)
        finally:
            self._names = outer

    def _function(self, function: Any, depth: int, owner: type | None) -> Any:
        if not isinstance(function, types.FunctionType):
            return self._value(function, depth)
        library = (function.__module__ or "").partition(".")[0] in _LIBRARY
        if library or (id(function), owner) in self._seen:
            inner = getattr(function, "__wrapped__", None)
            facts = None if inner is None or library and owner is not None else self._value(inner, depth - 1)
            return ("function", self._identity(function.__code__), facts)
        self._seen.add((id(function), owner))
        for name in ("__code__", "__defaults__", "__kwdefaults__"):
            self.watch.attribute(function, name)
        outer, self._names = self._names, _names(function.__code__)
        try:
            return (
                "function",
                self._identity(function.__code__),
                self._closure(function.__closure__ or (), depth),
                self._globals(function.__globals__, depth),
                self._value(function.__defaults__, depth - 1),
                self._value(function.__kwdefaults__, depth - 1),
                () if owner is None else self._attributes(owner, depth),
            )
        finally:
            self._names = outer

    def _closure(self, cells: tuple[Any, ...], depth: int) -> tuple:
        filled = tuple(cell for cell in cells if _filled(cell))
        self.watch.closure(filled)
        return tuple(self._value(cell.cell_contents, depth - 1) if _filled(cell) else None for cell in cells)

    def _globals(self, known: dict[str, Any], depth: int) -> tuple:
        self.watch.names(known, known, self._names)
        return tuple((name, self._value(known[name], depth - 1)) for name in self._names if name in known)

    def _namespace(self, value: Any, depth: int) -> tuple:
        """Returns what the names in the code being looked at mean in a user's module or class."""
        module = value.__name__ if isinstance(value, types.ModuleType) else value.__module__
        if str(module).partition(".")[0] in _LIBRARY or _is_installed(module):
            return ()
        if isinstance(value, type):
            return self._attributes(value, depth)
        return self._globals(vars(value), depth)

    def _attributes(self, owner: type, depth: int) -> tuple:
        """Returns what the names in the code being looked at mean in a user's class: constants, methods, properties."""
        found = []
        for cls in owner.__mro__:
            if cls.__module__.partition(".")[0] in _LIBRARY:
                continue
            known: Any = vars(cls)
            self.watch.names(cls, known, self._names)
            for name in self._names:
                if name in known:
                    found.append((name, self._attribute(known[name], owner, depth - 1)))
        return tuple(found)

    def _attribute(self, value: Any, owner: type, depth: int) -> Any:
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        elif isinstance(value, property):
            return tuple(self._attribute(part, owner, depth) for part in (value.fget, value.fset))
        if isinstance(value, types.FunctionType):
            return self._function(value, depth, owner)
        return self._value(value, depth)

    # ---- objects -----------------------------------------------------------------------------------------------------

    def _object(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind.__module__.partition(".")[0] in _LIBRARY and not isinstance(value, types.SimpleNamespace):
            return ("object", self._identity(value))
        facts = getattr(value, "__dict__", None)
        items = () if facts is None else self._items(facts, depth)
        slots = () if isinstance(value, enum.Enum) else self._slots(value, depth)
        call = kind.__call__ if callable(value) else None
        called = self._function(call, depth - 1, kind) if isinstance(call, types.FunctionType) else None
        return ("object", self._identity(value), items, slots, called, self._attributes(kind, depth))

    def _slots(self, value: Any, depth: int) -> tuple:
        found = []
        for cls in type(value).__mro__:
            slots = vars(cls).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                    self.watch.attribute(value, name)
                    found.append((name, self._value(getattr(value, name), depth - 1)))
        return tuple(found)

    def _is_first(self, value: Any) -> bool:
        """Says whether an object is met for the first time, in whatever code."""
        first = (id(value), None) not in self._seen
        self._seen.add((id(value), None))
        return first

    def _module(self, module: Any, depth: int) -> Any:
        facts = self._module_facts(module, depth) if self._is_first(module) else ()
        named = self._attributes(type(module), depth) if self._names else ()
        inside = tuple(self._value(child, DEPTH) for child in module._modules.values()) if self._names else ()
        return ("module", self._identity(module), facts, named, inside)

    def _module_facts(self, module: Any, depth: int) -> tuple:
        kind = type(module)
        counter = getattr(kind, "__torchplug_version__", None)
        self.watch.version = counter
        self.watch.modules_change = self.watch.modules_change or counter is None
        plain = tuple(
            (name, self._value(value, 2))
            for name, value in module.__dict__.items()
            if not name.startswith("_") or isinstance(value, (bool, int, float, str))
        )
        tensors = tuple(
            (name, None if x is None else self._value(x, 1))
            for table in (module._parameters, module._buffers)
            for name, x in table.items()
        )
        hooks = tuple(
            tuple(self._value(hook, depth - 1) for hook in table.values())
            for name, table in module.__dict__.items()
            if name.endswith("hooks") and isinstance(table, dict)
        )
        forward = getattr(kind, "forward", None)
        if not kind.__module__.startswith("torchplug."):
            self.watch.attribute(kind, "forward")
        written = isinstance(forward, types.FunctionType) and not kind.__module__.startswith("torchplug.")
        return (
            plain,
            tensors,
            hooks,
            self._children(module, forward if written else None),
            self._value(module.__dict__.get("forward"), depth - 1),
            self._function(forward, depth - 1, kind) if isinstance(forward, types.FunctionType) else None,
        )

    def _children(self, module: Any, forward: Any) -> tuple:
        return tuple(
            (name, None if child is None else self._within(forward, child, DEPTH))
            for name, child in module._modules.items()
        )

    def _optimizer(self, optimizer: Any, depth: int) -> Any:
        if not self._is_first(optimizer):
            return ("optimizer", self._identity(optimizer))
        self.watch.sequence(optimizer.param_groups)
        for name in ("param_groups", "state"):
            self.watch.attribute(optimizer, name)
        groups = tuple(self._items(group, 3) for group in optimizer.param_groups)
        self.watch.tables(optimizer.state)
        state = tuple(
            (self._identity(parameter), tuple((name, self._value(value, 2)) for name, value in values.items()))
            for parameter, values in optimizer.state.items()
        )
        own = tuple(
            (name, self._value(value, 2))
            for name, value in optimizer.__dict__.items()
            if isinstance(value, (bool, int, float, str)) or name.endswith("step_pre_hooks") or "post_hooks" in name
        )
        self.watch.table(optimizer.__dict__)
        step = getattr(type(optimizer), "step", None)
        return ("optimizer", self._identity(optimizer), groups, state, own, self._function(step, 3, type(optimizer)))


def _is_installed(module: Any) -> bool:
    """Says whether a module was installed from a package: its constants do not change while a program runs."""
    path = getattr(sys.modules.get(module), "__file__", None) or ""
    return "site-packages" in path or "dist-packages" in path


def _names(code: types.CodeType) -> tuple[str, ...]:
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _names(constant)
    return tuple(dict.fromkeys(names))


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 -- asking raises for an empty cell
    except ValueError:
        return False
    return True


def _shape_of(tensor: Tensor) -> tuple[int, ...] | None:
    try:
        return shape_of(tensor)
    except ValueError:  # a parameter of a lazy layer, without values
        return None
