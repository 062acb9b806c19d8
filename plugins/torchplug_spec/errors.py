"""The exceptions a backend may raise and the registry raises.

RuntimeError
├── BackendError
│   ├── BackendNotFoundError      no installed distribution offers the name
│   ├── BackendUnavailableError   installed, cannot be used here (reason and remedy in the text)
│   └── BackendContractError      loaded, breaks the contract
└── NotSupportedError             a capability the backend declares absent (also a NotImplementedError)
"""

from __future__ import annotations

__all__ = [
    "BackendContractError",
    "BackendError",
    "BackendNotFoundError",
    "BackendUnavailableError",
    "NotSupportedError",
]


class BackendError(RuntimeError):
    """Something is wrong with a backend, not with the program that asked for it.

    The registry fills in `reason` (the cause, without the name and version) and `remedy` (what to do about it). A
    backend that raises BackendUnavailableError may set `remedy` on it.
    """

    reason: str = ""
    remedy: str = ""


class BackendNotFoundError(BackendError):
    """No installed distribution offers a backend of that name."""


class BackendUnavailableError(BackendError):
    """The backend is installed but cannot be used here; the text gives plugin, version, cause and remedy."""


class BackendContractError(BackendError):
    """The backend loaded but does not fulfil the contract; the text names the function or attribute."""


class NotSupportedError(NotImplementedError):
    """The backend declares this capability absent. `NotImplementedError` is a `RuntimeError`, as PyTorch's are."""

    def __init__(self, operation: str, backend: str, capability: str, hint: str = "") -> None:
        self.operation, self.backend, self.capability = operation, backend, capability
        tail = f"; {hint}" if hint else ""
        super().__init__(
            f"{operation} needs the capability '{capability}', which backend '{backend}' does not have{tail}"
        )
