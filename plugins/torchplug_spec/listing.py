"""Builds the statuses the registry answers with, from metadata, from errors, and from backends that loaded."""

from __future__ import annotations

from torchplug_spec.backend import Backend
from torchplug_spec.discovery import INSTALL_HINTS, LIBRARIES, OWN, Candidate, with_version
from torchplug_spec.errors import BackendError
from torchplug_spec.extensions import Extension
from torchplug_spec.loading import attempt, breach
from torchplug_spec.status import BackendStatus, ExtensionStatus, State

__all__ = ["absent", "describe", "extension_status", "listed", "refused"]


def absent(name: str, reason: str) -> BackendStatus:
    """Returns the status of a backend that no installed distribution offers."""
    return BackendStatus(name, "absent", reason=reason, remedy=INSTALL_HINTS.get(name, ""))


def refused(candidate: Candidate) -> BackendStatus:
    """Returns the status of a plugin that claims a name it cannot have."""
    return listed(candidate, "unavailable", candidate.fault, candidate.remedy)


def listed(candidate: Candidate, state: State, reason: str = "", remedy: str = "") -> BackendStatus:
    """Returns the status of an installed backend that is not loaded; what is already known to fail is said."""
    origin = with_version(candidate)
    if state == "installed":
        reason, remedy = _foreseen(candidate)
        state = "unavailable" if reason else "installed"
    return BackendStatus(candidate.name, state, origin.distribution, origin.version, reason=reason, remedy=remedy)


def describe(candidate: Candidate, backend: Backend) -> BackendStatus:
    """Returns the status of a loaded backend, asking it for its devices. Raises BackendError when it has none."""
    devices = attempt(candidate, "asking for its devices", lambda: tuple(backend.devices()))
    if not devices or not all(isinstance(device, str) for device in devices):
        raise breach(candidate, f"devices() returned {devices!r}, expected names such as 'cpu', the default first")
    origin = with_version(candidate)
    capabilities = tuple(sorted(backend.capabilities))
    return BackendStatus(candidate.name, "available", origin.distribution, origin.version, devices, capabilities)


def extension_status(
    candidate: Candidate, selected: bool, loaded: Extension | None = None, error: BackendError | None = None
) -> ExtensionStatus:
    """Returns the status of a plugin that extends others: loaded, failed with `error`, or only listed."""
    state: State = "available" if loaded else "unavailable" if error or candidate.fault else "installed"
    return ExtensionStatus(
        candidate.name,
        state,
        candidate.distribution,
        candidate.version,
        selected,
        kernels=tuple(sorted(f"{backend}:{kernel}" for backend, kernel in loaded.kernels)) if loaded else (),
        ops=tuple(op.name for op in loaded.ops) if loaded else (),
        reason=(error.reason or str(error)) if error else candidate.fault,
        remedy=error.remedy if error else candidate.remedy,
    )


def _foreseen(candidate: Candidate) -> tuple[str, str]:
    """Returns reason and remedy when it shows without an import that a plugin cannot be used, else empty strings."""
    import importlib.util
    import sys

    if candidate.fault or candidate.distribution != OWN:
        return candidate.fault, candidate.remedy
    for module in (LIBRARIES.get(candidate.name), candidate.value.partition(":")[0]):
        if module and module not in sys.modules and importlib.util.find_spec(module) is None:
            return f"the Python package '{module}' is not installed", INSTALL_HINTS[candidate.name]
    return "", ""
