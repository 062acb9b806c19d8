"""`torch.return_types`: the named tuples that max, sort, svd and their like return."""

from __future__ import annotations

from typing import Any

from torchplug._core.return_types import RETURN_TYPES

__all__ = list(RETURN_TYPES)


def __getattr__(name: str) -> Any:
    try:
        return RETURN_TYPES[name]
    except KeyError:
        raise AttributeError(f"module 'torchplug.return_types' has no attribute '{name}'") from None
