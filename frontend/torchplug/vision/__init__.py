"""Image data sets and transforms: what programs import as torchvision."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from torchplug.version import __version__

if TYPE_CHECKING:
    from torchplug.vision import datasets, transforms, utils

__all__ = ["__version__", "datasets", "transforms", "utils"]


if not TYPE_CHECKING:  # checkers read the imports above, and so see misspelt names

    def __getattr__(name: str) -> Any:
        if name in __all__:
            return importlib.import_module(f"torchplug.vision.{name}")
        raise AttributeError(f"module 'torchplug.vision' has no attribute '{name}'")
