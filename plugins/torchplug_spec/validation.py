"""Checks a backend against the contract before anybody computes with it; every complaint is one sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from torchplug_spec.backend import API_VERSION, CAPABILITIES, Backend
from torchplug_spec.discovery import is_valid_name

__all__ = [
    "CAPABILITY_FUNCTIONS",
    "class_fault",
    "instance_fault",
    "kernel_fault",
    "marked_kernels",
    "suggestion",
]

CAPABILITY_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "mutable": ("strides_of", "storage_of", "as_strided", "assign"),
    "complex": ("real", "imag", "conj", "complex"),
    "compile": ("compile",),
}
"""The functions a backend must implement with each capability it declares."""


def class_fault(backend: type, name: str | None = None) -> str:
    """Returns what is wrong with a backend class offered under `name` (None: under its own), or ""."""
    if not issubclass(backend, Backend):
        return f"got the class {backend.__qualname__}, expected a subclass of torchplug_spec.Backend"
    return (
        _version_fault(backend)
        or _name_fault(backend, name)
        or _abstract_fault(backend)
        or _unknown_capability(backend.capabilities)
        or _repeated_kernel_fault(backend)
    )


def instance_fault(backend: Backend) -> str:
    """Returns what is wrong with an instance whose class is right, or "".

    Capabilities may depend on the machine, and functions may be a namespace's own: both may be set on the instance.
    """
    if fault := _unknown_capability(backend.capabilities):
        return fault
    for capability in sorted(backend.capabilities):
        missing = [name for name in CAPABILITY_FUNCTIONS.get(capability, ()) if _is_placeholder(backend, name)]
        if missing:
            return f"it declares the capability '{capability}' but does not implement {_listed(missing)}"
    return ""


def kernel_fault(names: Iterable[str], known: Collection[str]) -> str:
    """Returns which of the kernel `names` is not among `known`, or ""."""
    for name in names:
        if name not in known:
            return f"unknown kernel '{name}'{suggestion(name, known)}"
    return ""


def marked_kernels(backend: type) -> dict[str, str]:
    """Returns kernel name -> attribute name for the methods of a class marked with @kernel."""
    return {kernel: attribute for kernel, attribute in _marks(backend)}


def suggestion(word: str, known: Iterable[str]) -> str:
    """Returns " (did you mean '...'?)" with the closest of `known`, or ""."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _version_fault(backend: type[Backend]) -> str:
    version = backend.api_version
    if version == API_VERSION:
        return ""
    return f"it is written for version {version!r} of the contract, this torchplug speaks version {API_VERSION}"


def _name_fault(backend: type[Backend], expected: str | None) -> str:
    name: Any = getattr(backend, "name", None)
    if name is None:
        return f"{backend.__qualname__} has no attribute 'name'"
    if not is_valid_name(name):
        return f"the name {name!r} is not valid: expected lower case letters, digits, '-' and '_'"
    if expected is not None and name != expected:
        return f"{backend.__qualname__} is named '{name}', expected '{expected}', the name of its entry point"
    return ""


def _abstract_fault(backend: type[Backend]) -> str:
    # Abstract names in the order of the contract, so that the message reads as a list of what is left to write.
    missing = [name for name in vars(Backend) if name in backend.__abstractmethods__]
    missing += sorted(backend.__abstractmethods__.difference(missing))
    if not missing:
        return ""
    return f"{backend.__qualname__} does not implement {_listed(missing)}"


def _unknown_capability(declared: Any) -> str:
    if isinstance(declared, str) or not isinstance(declared, Collection):
        return f"capabilities is {declared!r}, expected a frozenset of names"
    for capability in sorted(declared, key=str):
        if capability not in CAPABILITIES:
            return f"unknown capability {capability!r}{suggestion(str(capability), CAPABILITIES)}"
    return ""


def _is_placeholder(backend: Backend, name: str) -> bool:
    return getattr(getattr(backend, name), "__func__", None) is getattr(Backend, name)


def _repeated_kernel_fault(backend: type[Backend]) -> str:
    seen: dict[str, str] = {}
    for kernel, attribute in _marks(backend):
        if kernel in seen:
            return f"the methods {seen[kernel]} and {attribute} are both marked @kernel('{kernel}')"
        seen[kernel] = attribute
    return ""


def _marks(backend: type) -> Iterable[tuple[str, str]]:
    for attribute in dir(backend):
        kernel = getattr(getattr(backend, attribute, None), "__torchplug_kernel__", None)
        if isinstance(kernel, str):
            yield kernel, attribute


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
