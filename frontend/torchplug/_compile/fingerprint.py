"""What a function's outcome depends on besides tensor values: the Python values it can reach.

Two calls with equal fingerprints run the same ops; a compiled entry is used only under the fingerprint it was traced with.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np

from torchplug._core.device import Device
from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import DType

__all__ = ["Fingerprint"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None), DType, Device, slice, range)
_LIBRARY = frozenset(sys.stdlib_module_names) | {"torchplug", "torchplug_spec", "numpy", "jax", "cupy", "torch"}
DEPTH = 6
CONTENT_BYTES = 1 << 16
"""NumPy arrays up to this size are compared by content, larger ones by identity."""


class Fingerprint:
    """Computes fingerprints of one function; numbers read through a trace (learning rates) are left out."""

    def __init__(self, exempt: set[tuple[int, str]]) -> None:
        self.exempt = exempt
        self.kept: list[Any] = []

    def of(self, function: Any) -> Any:
        """Returns a comparable value; objects it names by identity are kept alive."""
        self.kept = []
        self._seen: set[int] = set()
        return self._value(function, DEPTH)

    def _identity(self, value: Any) -> int:
        self.kept.append(value)
        return id(value)

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, _PLAIN):
            return (
                type(value).__name__,
                repr(value) if isinstance(value, float) else value if value.__hash__ else repr(value),
            )
        if isinstance(value, Tensor):
            return ("tensor", self._identity(value), value._kind, shape_of(value), value._node is not None)
        if isinstance(value, np.ndarray):
            return ("array", value.shape, value.tobytes() if value.nbytes <= CONTENT_BYTES else self._identity(value))
        if isinstance(value, np.generic):
            return ("scalar", value.dtype.str, value.tobytes())
        if depth == 0 or id(value) in self._seen:
            return ("object", self._identity(value))
        return self._compound(value, depth)

    def _compound(self, value: Any, depth: int) -> Any:
        if isinstance(value, (list, tuple, set, frozenset)):
            return (type(value).__name__, tuple(self._value(item, depth - 1) for item in value))
        if isinstance(value, dict):
            return ("dict", self._items(value, value, depth))
        if isinstance(value, types.MethodType):
            return ("method", self._value(value.__func__, depth), self._value(value.__self__, depth))
        if isinstance(value, types.FunctionType):
            return self._function(value, depth)
        if isinstance(value, (type, types.ModuleType, types.BuiltinFunctionType)):
            return ("object", self._identity(value))
        self._seen.add(id(value))
        if hasattr(value, "_parameters") and hasattr(value, "_modules"):
            return self._module(value, depth)
        if hasattr(value, "param_groups") and hasattr(value, "state"):
            return self._optimizer(value, depth)
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None and callable(wrapped):
            return ("wrapped", self._identity(value), self._value(wrapped, depth - 1))
        facts = getattr(value, "__dict__", None)
        if facts and type(value).__module__.partition(".")[0] not in _LIBRARY:
            return ("object", self._identity(value), self._items(facts, value, depth))
        return ("object", self._identity(value))

    def _items(self, items: dict[Any, Any], owner: Any, depth: int) -> tuple:
        return tuple(
            (name if isinstance(name, _PLAIN) else self._identity(name), self._value(value, depth - 1))
            for name, value in list(items.items())
            if (id(owner), name) not in self.exempt
        )

    def _function(self, function: types.FunctionType, depth: int) -> Any:
        name = (function.__module__ or "").partition(".")[0]
        if name in _LIBRARY or id(function) in self._seen:
            inner = getattr(function, "__wrapped__", None)
            return (
                "function",
                self._identity(function.__code__),
                self._value(inner, depth - 1) if inner is not None else None,
            )
        self._seen.add(id(function))
        cells = tuple(
            self._value(cell.cell_contents, depth - 1) if _filled(cell) else None for cell in function.__closure__ or ()
        )
        known = function.__globals__
        read = tuple((name, self._value(known[name], depth - 1)) for name in _names(function.__code__) if name in known)
        return (
            "function",
            self._identity(function.__code__),
            cells,
            read,
            self._value(function.__defaults__, depth - 1),
        )

    def _module(self, module: Any, depth: int) -> Any:
        plain = tuple(
            (name, self._value(value, 2))
            for name, value in module.__dict__.items()
            if not name.startswith("_") or isinstance(value, (bool, int, float, str))
        )
        tensors = tuple(
            (name, None if x is None else (self._identity(x), x._kind, x._node is not None))
            for table in (module._parameters, module._buffers)
            for name, x in table.items()
        )
        hooks = tuple(
            len(table)
            for name, table in module.__dict__.items()
            if name.endswith("hooks") and hasattr(table, "__len__")
        )
        children = tuple(
            (name, None if child is None else self._value(child, DEPTH)) for name, child in module._modules.items()
        )
        forward = module.__dict__.get("forward")
        return (
            "module",
            self._identity(module),
            plain,
            tensors,
            hooks,
            children,
            self._value(forward, depth - 1),
            self._forward(module, depth),
        )

    def _forward(self, module: Any, depth: int) -> Any:
        forward = getattr(type(module), "forward", None)
        return self._value(forward, depth - 1) if isinstance(forward, types.FunctionType) else None

    def _optimizer(self, optimizer: Any, depth: int) -> Any:
        groups = tuple(self._items(group, group, 3) for group in optimizer.param_groups)
        state = tuple(
            (self._identity(parameter), self._value(values, 3)) for parameter, values in optimizer.state.items()
        )
        return ("optimizer", self._identity(optimizer), groups, state)


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
