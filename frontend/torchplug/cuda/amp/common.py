"""What says whether CUDA's mixed precision can be used."""

from __future__ import annotations

__all__ = ["amp_definitely_not_available"]


def amp_definitely_not_available() -> bool:
    """Says whether no installed backend has a CUDA device."""
    from torchplug import cuda

    return not cuda.is_available()
