"""How exactly float32 matrix products are asked to be computed; every engine here computes them in full."""

from __future__ import annotations

import warnings

__all__ = ["get_float32_matmul_precision", "set_float32_matmul_precision"]

_PRECISIONS = ("highest", "high", "medium")
_asked = "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """Notes the lowest precision a program accepts, "highest", "high" or "medium"; warns and keeps the old for any other.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.set_float32_matmul_precision.html
    """
    global _asked
    if precision in _PRECISIONS:
        _asked = precision
    else:
        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; "
            "the currentsetFloat32MatmulPrecision call has no effect.",
            UserWarning,
            stacklevel=2,
        )


def get_float32_matmul_precision() -> str:
    """Returns what `set_float32_matmul_precision` noted; "highest" at first."""
    return _asked
