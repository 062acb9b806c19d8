"""Every backend of this process by name: what is installed, what is usable, and the one instance of each.

Nothing is read or imported before a name is asked for. The functions below are those of the one `Registry` of the process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from typing import Any

from torchplug_spec import loading
from torchplug_spec.backend import Backend
from torchplug_spec.discovery import BUILT_IN, INSTALL_HINTS, Candidate, Catalogue, built_in, disabled_names, scan
from torchplug_spec.errors import BackendError, BackendNotFoundError
from torchplug_spec.status import BackendStatus
from torchplug_spec.validation import suggestion

__all__ = ["Registry", "default_name", "get", "kernels_for", "known_names", "names", "register", "status", "statuses"]


class Registry:
    """Backends by name, each loaded on first use; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._loaded: dict[str, Backend] = {}
        self._candidates: dict[str, Candidate] = {}
        self._in_process: dict[str, Any] = {}
        self._catalogue: Catalogue | None = None

    def get(self, name: str, known_kernels: Collection[str] | None = None) -> Backend:
        """Returns the one instance of backend `name`, loading it on first use.

        `known_kernels`: the names @kernel may carry; unknown ones are refused.
        Raises: BackendNotFoundError, BackendUnavailableError, BackendContractError.
        """
        backend = self._loaded.get(name) or self._load(name)
        if known_kernels is not None:
            loading.check_kernels(self._candidates[name], backend, known_kernels)
        return backend

    def names(self) -> tuple[str, ...]:
        """Returns the names of all installed backends, usable or not, from metadata alone."""
        return tuple(sorted({*self._scanned().backends, *self._in_process}))

    def status(self, name: str) -> BackendStatus:
        """Returns whether backend `name` can be used here, after loading it; never raises for a broken one."""
        try:
            backend = self.get(name)
            devices = tuple(backend.devices())
        except BackendNotFoundError as error:
            return BackendStatus(name, "absent", reason=str(error), remedy=INSTALL_HINTS.get(name, ""))
        except BackendError as error:
            return BackendStatus(name, "unavailable", reason=str(error))
        return BackendStatus(name, "available", devices=devices, capabilities=tuple(sorted(backend.capabilities)))

    def statuses(self) -> tuple[BackendStatus, ...]:
        """Returns the status of every installed or known backend."""
        return tuple(self.status(name) for name in sorted({*self.names(), *INSTALL_HINTS}))

    def register(self, backend: type[Backend] | Backend | Callable[[], Backend], name: str | None = None) -> str:
        """Makes a backend of this process known under its name (or `name`) and returns the name."""
        known_as: str = name or backend.name  # type: ignore[union-attr]
        with self._lock:
            self._in_process[known_as] = backend
            self._loaded.pop(known_as, None)
        return known_as

    def kernels_for(self, backend_name: str) -> dict[str, Callable[..., Any]]:
        """Returns the kernels selected plugins contribute to a backend."""
        return {}

    def _scanned(self) -> Catalogue:
        if self._catalogue is None:
            self._catalogue = scan()
        return self._catalogue

    def _load(self, name: str) -> Backend:
        with self._lock:
            if name in self._loaded:
                return self._loaded[name]
            candidate = self._find(name)
            if name in self._in_process:
                backend = loading.build(candidate, self._in_process[name])
            else:
                backend = loading.build_from_plugin(candidate)
            self._candidates[name] = candidate
            self._loaded[name] = backend
            return backend

    def _find(self, name: str) -> Candidate:
        if name in self._in_process:
            return Candidate(name, "")
        candidate = built_in(name) if name in BUILT_IN else self._scanned().backends.get(name)
        if candidate is None:
            hint = suggestion(name, self.names())
            raise BackendNotFoundError(f"no backend named {name!r}{hint}; installed are {', '.join(self.names())}")
        if name in disabled_names():
            raise loading.unavailable(candidate, "it is listed in TORCHPLUG_DISABLE_BACKENDS")
        return candidate


def default_name() -> str:
    """Returns the name of the default backend: TORCHPLUG_BACKEND, else "numpy"."""
    return os.environ.get("TORCHPLUG_BACKEND", "").strip() or "numpy"


def known_names() -> tuple[str, ...]:
    """Returns the names of backends known to exist, installed or not."""
    return tuple(INSTALL_HINTS)


_registry = Registry()
get = _registry.get
names = _registry.names
status = _registry.status
statuses = _registry.statuses
register = _registry.register
kernels_for = _registry.kernels_for
