"""`torch.special`: functions of mathematics beyond the elementary, under SciPy's names."""

from __future__ import annotations

from typing import Any

from torchplug._core.declare import DECLARATIONS
from torchplug.ops.special_functions import SPECIAL

__all__ = [*SPECIAL, "log_softmax", "softmax"]

globals().update(SPECIAL)


def __getattr__(name: str) -> Any:
    if name in ("softmax", "log_softmax"):
        return DECLARATIONS[name].function
    raise AttributeError(f"module 'torchplug.special' has no attribute '{name}'")
