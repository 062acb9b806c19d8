"""Which engine serves a program: the default backend, its scopes and its environment variable."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from torchplug._core import kind as kinds

__all__ = [
    "current_device", "default_engine", "default_engine_name", "engine", "engine_with", "first_device_type", "get_backend",
    "is_backend", "set_backend", "use_backend",
]  # fmt: skip

_default: ContextVar[str | None] = ContextVar("default_backend", default=None)
_devices: ContextVar[tuple[Any, ...]] = ContextVar("device_stack", default=())
_process_default: str | None = None


def get_backend() -> str:
    """Returns the name of the default backend: the innermost `use_backend`, else `set_backend`, else the environment
    variable TORCHPLUG_BACKEND, else "numpy"."""
    return _default.get() or _process_default or os.environ.get("TORCHPLUG_BACKEND") or "numpy"


def set_backend(name: str) -> None:
    """Makes `name` the default backend of this process, loading it now so that errors come here."""
    global _process_default
    engine(name)
    _process_default = name
    _default.set(None)


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Makes `name` the default backend inside a with block (of this thread or task)."""
    engine(name)
    token = _default.set(name)
    try:
        yield
    finally:
        _default.reset(token)


def engine(name: str) -> Any:
    """Returns the engine of a backend by name."""
    return kinds.engine_for(name)


def default_engine() -> Any:
    return kinds.engine_for(get_backend())


def default_engine_name(device_type: str) -> str:
    """Returns the backend an unqualified device of this type means, without loading anything."""
    name = get_backend()
    if device_type == "cpu":
        return name
    loaded = [name, *(other for other in kinds.loaded() if other != name)]
    for candidate in loaded:
        if candidate in kinds.loaded() and device_type in _types_of(kinds.engine_for(candidate)):
            return candidate
    return name


def engine_with(device_type: str) -> Any:
    """Returns the default engine if it has devices of the type, else the first available engine that has."""
    first = default_engine()
    if device_type in _types_of(first):
        return first
    from torchplug_spec import BackendError, registry

    for name in registry.implicit_names():
        try:
            other = kinds.engine_for(name)
        except BackendError:
            continue
        if device_type in _types_of(other):
            return other
    if device_type == "cuda":
        raise RuntimeError(
            f"CUDA is not available: backend '{first.name}' has {', '.join(first.backend.devices())} and no other installed "
            "backend has a CUDA device; `torchplug backends` lists them with reasons"
        )
    raise RuntimeError(f"no available backend has a device of type '{device_type}'; `torchplug backends` lists them")


def _types_of(engine: Any) -> set[str]:
    return {name.partition(":")[0] for name in engine.backend.devices()}


def is_backend(name: str) -> bool:
    """Says whether an installed plugin offers a backend of that name (nothing is loaded)."""
    from torchplug_spec import registry

    return name in registry.names()


def first_device_type(name: str) -> str:
    """Returns the type of a backend's default device."""
    return kinds.engine_for(name).default_device().partition(":")[0]


def current_device() -> Any:
    """Returns the innermost `with torch.device(...)` or `set_default_device` device, None if there is none."""
    stack = _devices.get()
    return stack[-1] if stack else None


def push_device(device: Any) -> None:
    _devices.set((*_devices.get(), device))


def pop_device() -> None:
    _devices.set(_devices.get()[:-1])


def set_default_device(device: Any) -> None:
    """Makes a device the default of factory functions; None takes that back."""
    from torchplug._core.device import as_device

    _devices.set(() if device is None else (as_device(device),))
