"""What the registry knows about one backend, or about one plugin that extends others."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["BackendStatus", "ExtensionStatus", "State"]

State = Literal["absent", "installed", "unavailable", "available"]


class BackendStatus(NamedTuple):
    """The answer to "can I use this backend here, and if not, why, and what do I do?".

    `state` is "absent" (no distribution offers it), "unavailable" (installed, cannot be used: see `reason` and
    `remedy`) or "available". A listing from metadata alone, which loads nothing, says "installed" for what nobody has
    tried yet.
    """

    name: str
    state: State
    distribution: str = ""
    version: str = ""
    devices: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    reason: str = ""
    remedy: str = ""


class ExtensionStatus(NamedTuple):
    """A plugin that brings kernels or ops for backends of others.

    `selected`: whether a program or TORCHPLUG_PLUGINS asked for it. `kernels` holds "backend:kernel", `ops` the names of
    its ops; both are known once it was loaded.
    """

    name: str
    state: State
    distribution: str = ""
    version: str = ""
    selected: bool = False
    kernels: tuple[str, ...] = ()
    ops: tuple[str, ...] = ()
    reason: str = ""
    remedy: str = ""
