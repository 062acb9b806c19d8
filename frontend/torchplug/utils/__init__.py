"""What trains and feeds models beside the layers themselves: `torchplug.utils`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchplug.utils import data

__all__ = ["data"]


if not TYPE_CHECKING:  # checkers read the imports above, and so see misspelt names

    def __getattr__(name: str) -> Any:
        if name in __all__:
            return importlib.import_module(f"torchplug.utils.{name}")
        raise AttributeError(f"module 'torchplug.utils' has no attribute '{name}'")
