"""PyTorch's `torch.backends.opt_einsum`: asked by programs, not used by torchplug's engines."""

from __future__ import annotations

__all__ = ["is_available"]

enabled = False


def is_available() -> bool:
    """Returns False."""
    return False
