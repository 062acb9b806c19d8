"""What trains and feeds models beside the layers themselves: `torchplug.utils`."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["data"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"torchplug.utils.{name}")
    raise AttributeError(f"module 'torchplug.utils' has no attribute '{name}'")
