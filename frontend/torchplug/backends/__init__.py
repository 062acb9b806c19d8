"""Engines by name (`torchplug.backends.available()`), and PyTorch's `torch.backends` switches, which programs assign."""

from __future__ import annotations

from typing import Any

from torchplug._core.kind import forget as _forget
from torchplug.backends import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, opt_einsum
from torchplug_spec import registry as _registry
from torchplug_spec.status import BackendStatus

__all__ = [
    "available", "cpu", "cuda", "cudnn", "listing", "mkl", "mkldnn", "mps", "openmp", "opt_einsum", "register", "status", "unregister",
]  # fmt: skip


def available() -> tuple[str, ...]:
    """Returns the names of the backends that can be used here.

    torchplug's own engines are loaded to find out; a plugin that this process has not used is tried in a process of its
    own, for 30 seconds at most.
    """
    from torchplug_spec.probe import statuses

    return tuple(state.name for state in statuses() if state.state == "available")


def listing() -> tuple[BackendStatus, ...]:
    """Returns what is known of every installed backend from metadata alone; nothing is loaded."""
    return tuple(_registry.listing())


def status(name: str) -> BackendStatus:
    """Returns the state of one backend, with reason and remedy where it cannot be used."""
    return _registry.status(name)


def register(backend: Any) -> Any:
    """Makes a backend written in this process known under its name; usable as a class decorator."""
    made = _registry.register(backend)
    _forget(getattr(backend, "name", ""))
    return made


def unregister(name: str) -> None:
    """Forgets a backend registered in this process."""
    _registry.unregister(name)
    _forget(name)
