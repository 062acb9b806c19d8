"""What a checkpoint may name: each name with what it means, how it may be called, and how it may be filled."""

from __future__ import annotations

import builtins
import importlib
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

__all__ = [
    "Allowed", "add_safe_globals", "clear_safe_globals", "find_allowed", "get_safe_globals", "safe_globals", "user_globals",
]  # fmt: skip

UserGlobal = Callable[..., Any] | tuple[Callable[..., Any], str]

_BLOCKED_MODULES = ("sys", "os", "posix", "nt")


class Allowed:
    """An allowed name: its value; `call(*args)` for REDUCE, None where it may not be called; `make` for NEWOBJ likewise."""

    __slots__ = ("call", "make", "value")

    def __init__(
        self, value: Any, call: Callable[..., Any] | None = None, make: Callable[..., Any] | None = None
    ) -> None:
        self.value = value
        self.call = call
        self.make = make


_user: list[UserGlobal] = []
_allowed: dict[str, Allowed] = {}


# ---- what users add --------------------------------------------------------------------------------------------------


def add_safe_globals(safe_globals: Iterable[UserGlobal]) -> None:
    """Lets files name these classes and functions from now on; a pair (object, "module.name") gives the name to expect.

    What is added can be called by a file with any arguments: add only what may be.
    """
    for item in safe_globals:
        _check(item)
        if item not in _user:
            _user.append(item)


def _check(item: Any) -> None:
    if not isinstance(item, tuple):
        return
    if len(item) != 2:
        raise ValueError(
            f"Expected tuple of length 2 (global, str of callable full path), but got tuple of length: {len(item)}"
        )
    if type(item[1]) is not str:
        raise TypeError(f"Expected second item in tuple to be str of callable full path, but got: {type(item[1])}")


def get_safe_globals() -> list[UserGlobal]:
    """Returns what was added."""
    return list(_user)


def clear_safe_globals() -> None:
    """Takes back everything that was added."""
    _user.clear()


class safe_globals:  # noqa: N801 -- PyTorch's name
    """Adds to the safe globals within a with block."""

    def __init__(self, safe_globals: Iterable[UserGlobal]) -> None:
        self.safe_globals = list(safe_globals)

    def __enter__(self) -> None:
        self._added = [item for item in self.safe_globals if item not in _user]
        add_safe_globals(self._added)

    def __exit__(self, *_: object) -> None:
        for item in self._added:
            if item in _user:
                _user.remove(item)


def user_globals() -> dict[str, Any]:
    """Returns what was added, by full name."""
    return {
        item[1] if isinstance(item, tuple) else f"{item.__module__}.{item.__qualname__}":
        item[0] if isinstance(item, tuple) else item
        for item in _user
    }  # fmt: skip


# ---- what is always allowed ------------------------------------------------------------------------------------------


def find_allowed(module: str, name: str) -> Allowed | None:
    """Returns what a name in a file means; None for what is not allowed."""
    module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
    full_name = f"{module}.{name}"
    added = user_globals().get(full_name)
    if added is not None and module not in _BLOCKED_MODULES:
        make = (lambda *args: added.__new__(added, *args)) if isinstance(added, type) else None
        return Allowed(added, added, make)
    if not _allowed:
        _allowed.update(_table())
    return _allowed.get(full_name) or _ours(module, name)


def _table() -> dict[str, Allowed]:
    from torchplug._core.layout import channels_last, channels_last_3d, contiguous_format, preserve_format
    from torchplug._core.random import Generator
    from torchplug._core.tensor import Parameter, Tensor
    from torchplug.serialization import numpy_values, rebuilding
    from torchplug.serialization.names import DTYPE_OF_STORAGE, StorageType
    from torchplug_spec import dtypes as dt

    table = {
        "collections.OrderedDict": Allowed(OrderedDict, rebuilding.ordered_dict, rebuilding.ordered_dict),
        "collections.Counter": Allowed(Counter, rebuilding.counter),
        "collections.defaultdict": Allowed(defaultdict, rebuilding.default_dict),
        "_codecs.encode": Allowed(rebuilding.encode, rebuilding.encode),
        "builtins.bytearray": Allowed(bytearray, rebuilding.byte_array),
        "builtins.set": Allowed(set, rebuilding.plain_set),
        "builtins.frozenset": Allowed(frozenset, rebuilding.frozen_set),
        "builtins.complex": Allowed(complex, rebuilding.complex_number),
        "builtins.slice": Allowed(slice, rebuilding.plain_slice),
        "builtins.range": Allowed(range, rebuilding.plain_range),
        "torch.Size": Allowed(rebuilding.size, rebuilding.size),
        "torch.device": Allowed(rebuilding.device, rebuilding.device),
        "torch.Tensor": Allowed(Tensor),
        "torch._C.Generator": Allowed(Generator, rebuilding.generator),
        "torch.nn.parameter.Parameter": Allowed(Parameter, rebuilding.parameter, rebuilding.parameter),
        "torch.storage.UntypedStorage": Allowed(StorageType(None)),
        "torch.UntypedStorage": Allowed(StorageType(None)),
        "torch.serialization._get_layout": Allowed(rebuilding.layout, rebuilding.layout),
        "torch._tensor._rebuild_from_type_v2": Allowed(rebuilding.from_type, rebuilding.from_type),
    }
    for function in (
        rebuilding.tensor, rebuilding.tensor_v2, rebuilding.tensor_v3, rebuilding.parameter_v1,
        rebuilding.parameter_with_state,
    ):  # fmt: skip
        table[f"torch._utils.{function.pickled_name}"] = Allowed(function, function)  # type: ignore[union-attr]  # set by a decorator
    for storage, dtype in DTYPE_OF_STORAGE.items():
        table[f"torch.{storage}"] = Allowed(StorageType(dtype))
    table |= {f"torch.{dtype.name}": Allowed(dtype) for dtype in dt.ALL}
    table |= {
        f"torch.{form.name}": Allowed(form)
        for form in (contiguous_format, preserve_format, channels_last, channels_last_3d)
    }
    builtin_types = {
        name: Allowed(getattr(builtins, name)) for name in ("dict", "list", "tuple", "int", "float", "bool", "str")
    }
    table |= {f"builtins.{name}": allowed for name, allowed in builtin_types.items()}
    return table | numpy_values.TABLE


def _ours(module: str, name: str) -> Allowed | None:
    """Finds layers, optimizers and functions of torch.nn: classes may be made empty and filled, functions only be named."""
    if not name.isidentifier() or name.startswith("__"):
        return None
    if module == "torch.nn.functional":
        function = getattr(importlib.import_module("torchplug.nn.functional"), name, None)
        return Allowed(function) if callable(function) and not isinstance(function, type) else None
    first, _, rest = module.partition(".")
    package = rest.partition(".")[0]
    if first != "torch" or package not in ("nn", "optim") or not all(part.isidentifier() for part in rest.split(".")):
        return None
    found = _class_in(f"torchplug.{rest}", name)
    if found is None and package == "nn":
        found = _class_in("torchplug.nn", name)
    return Allowed(found, None, lambda: object.__new__(found)) if found is not None else None


def _class_in(module: str, name: str) -> Any:
    """Returns a Module, Optimizer or LRScheduler class of ours, None if there is none of that name."""
    from torchplug.nn import Module
    from torchplug.optim import Optimizer
    from torchplug.optim.lr_scheduler import LRScheduler

    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
    if not isinstance(found, type) or not found.__module__.startswith("torchplug."):
        return None
    return found if issubclass(found, (Module, Optimizer, LRScheduler)) else None
