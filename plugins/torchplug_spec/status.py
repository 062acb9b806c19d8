"""What the registry knows about one backend: absent, installed but unavailable, or available."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["BackendStatus", "State"]

State = Literal["absent", "installed", "unavailable", "available"]


class BackendStatus(NamedTuple):
    """The answer to "can I use this backend here, and if not, why and what do I do?".

    `state` is "absent" (no distribution offers it), "unavailable" (installed, cannot be used: see `reason` and `remedy`)
    or "available". A listing from metadata alone, which loads nothing, says "installed" for what was not tried.
    """

    name: str
    state: State
    distribution: str = ""
    version: str = ""
    devices: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    reason: str = ""
    remedy: str = ""
