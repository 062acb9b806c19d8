"""The host's processor."""

from __future__ import annotations

__all__ = ["get_cpu_capability"]


def get_cpu_capability() -> str:
    """Returns "DEFAULT": engines detect vector instructions themselves."""
    return "DEFAULT"
