"""The environment variables of the registry, read when a name is resolved and never at import."""

from __future__ import annotations

import os

__all__ = [
    "DEFAULT",
    "DISABLED",
    "SELECTED",
    "default_name",
    "default_plugins",
    "default_threads",
    "disabled_names",
    "selected_names",
]

DEFAULT = "TORCHPLUG_BACKEND"
DISABLED = "TORCHPLUG_DISABLE_BACKENDS"
SELECTED = "TORCHPLUG_PLUGINS"


def default_name() -> str:
    """Returns the backend in TORCHPLUG_BACKEND, without plugins named after it; "numpy" if it is unset or empty."""
    return os.environ.get(DEFAULT, "").strip().partition("+")[0] or "numpy"


def default_plugins() -> tuple[str, ...]:
    """Returns the plugins named after the backend in TORCHPLUG_BACKEND, "numpy+name+..."."""
    return tuple(os.environ.get(DEFAULT, "").strip().split("+")[1:])


def default_threads() -> int:
    """Returns OMP_NUM_THREADS, the number of processors if it is unset."""
    return int(os.environ.get("OMP_NUM_THREADS") or 0) or os.cpu_count() or 1


def disabled_names() -> tuple[str, ...]:
    """Returns the backends in TORCHPLUG_DISABLE_BACKENDS, which counts as not usable whatever is installed."""
    return _words(DISABLED)


def selected_names() -> tuple[str, ...]:
    """Returns the plugins in TORCHPLUG_PLUGINS, whose kernels and ops are used."""
    return _words(SELECTED)


def _words(variable: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(os.environ.get(variable, "").replace(",", " ").split()))
