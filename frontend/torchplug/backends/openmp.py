"""PyTorch's `torch.backends.openmp`: asked by programs, not used by torchplug's engines."""

from __future__ import annotations

__all__ = ["is_available"]

enabled = False


def is_available() -> bool:
    """Returns False."""
    return False
