"""Checks of options that several optimizers share, with PyTorch's sentences."""

from __future__ import annotations

from typing import Any

from torchplug._core.tensor import Tensor

__all__ = ["check_betas", "check_fused", "check_not_negative", "check_tensor_lr"]


def check_tensor_lr(lr: Any) -> None:
    """Raises ValueError for a learning rate that is a tensor of more than one element."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")


def check_not_negative(what: str, value: Any) -> None:
    """Raises ValueError for a negative number or NaN; `what` begins the sentence: "learning rate"."""
    if not 0.0 <= value:
        raise ValueError(f"Invalid {what}: {value}")


def check_betas(betas: Any) -> None:
    """Raises ValueError unless both coefficients lie in [0, 1)."""
    for place in (0, 1):
        if not 0.0 <= betas[place] < 1.0:
            raise ValueError(f"Invalid beta parameter at index {place}: {betas[place]}")


def check_fused(fused: Any, foreach: Any, differentiable: Any) -> None:
    """Raises RuntimeError for ways of stepping that exclude each other."""
    if not fused:
        return
    if differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
