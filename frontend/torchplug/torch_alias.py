"""`as_torch()`: `import torch` gets torchplug, `import torchvision` gets torchplug.vision, the same module objects."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["TorchAlias", "as_torch"]

_NAMES = {"torch": "torchplug", "torchvision": "torchplug.vision"}


def as_torch() -> TorchAlias:
    """Makes `import torch` mean torchplug from now on, for good or until the end of a with block.

    All of `torch.*` and `torchvision.*` that torchplug has is the very module of torchplug, whether it is imported
    before or after and by which name. What was imported under these names before is put aside until the end.
    """
    return TorchAlias()


class TorchAlias:
    """The alias while it lasts: `with torchplug.as_torch(): ...`, or `restore()`. Aliases may be nested."""

    def __init__(self) -> None:
        self._active = True
        if not _Finder.users:
            _Finder.put_aside = _take_out()
            sys.meta_path.insert(0, _FINDER)
            sys.modules["torch"] = sys.modules["torchplug"]
        _Finder.users += 1

    def restore(self) -> None:
        """Gives the names back to whatever had them before; a second call does nothing."""
        if not self._active:
            return
        self._active = False
        _Finder.users -= 1
        if not _Finder.users:
            sys.meta_path.remove(_FINDER)
            _take_out()
            sys.modules.update(_Finder.put_aside)
            _Finder.put_aside = {}

    def __enter__(self) -> ModuleType:
        return sys.modules["torchplug"]

    def __exit__(self, *_: object) -> None:
        self.restore()


def _real_name(name: str) -> str | None:
    """Returns the name in torchplug of a module of PyTorch's, None for other modules."""
    first, dot, rest = name.partition(".")
    real = _NAMES.get(first)
    return None if real is None else real + dot + rest


def _take_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if _real_name(name) is not None]
    return {name: sys.modules.pop(name) for name in names}


class _Finder:
    """Finds modules of PyTorch's names in torchplug, also those that nobody has imported yet."""

    users = 0
    put_aside: dict[str, ModuleType] = {}

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:
        real = _real_name(fullname)
        if real is None:
            return None
        try:
            found = sys.modules[real].__spec__ if real in sys.modules else importlib.util.find_spec(real)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise ModuleNotFoundError(f"No module named '{fullname}': torchplug has no '{real}'", name=fullname)
        is_package = found.submodule_search_locations is not None
        loader: Any = _Loader(real)
        return ModuleSpec(fullname, loader, origin=found.origin, is_package=is_package)


class _Loader:
    """Imports a module by its real name and hands out that one, its own spec unchanged."""

    def __init__(self, real: str) -> None:
        self.real = real
        self.spec: Any = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.real)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


_FINDER = _Finder()
