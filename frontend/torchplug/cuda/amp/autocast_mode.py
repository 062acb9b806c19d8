"""`torch.cuda.amp.autocast`, `custom_fwd` and `custom_bwd`, which PyTorch has deprecated."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from torchplug.amp import autocast_mode
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["autocast", "custom_bwd", "custom_fwd"]


class autocast(autocast_mode.autocast):  # noqa: N801 -- PyTorch's name
    """Is `torch.amp.autocast("cuda", ...)`, with a FutureWarning."""

    def __init__(self, enabled: bool = True, dtype: DType = dt.float16, cache_enabled: bool = True) -> None:
        warnings.warn(
            "`torch.cuda.amp.autocast(args...)` is deprecated. Please use `torch.amp.autocast('cuda', args...)` instead.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__("cuda", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


def custom_fwd(fwd: Callable[..., Any] | None = None, *, cast_inputs: DType | None = None) -> Callable[..., Any]:
    """Is `torch.amp.custom_fwd(..., device_type="cuda")`, with a FutureWarning."""
    _warn("custom_fwd")
    return autocast_mode.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Callable[..., Any]) -> Callable[..., Any]:
    """Is `torch.amp.custom_bwd(..., device_type="cuda")`, with a FutureWarning."""
    _warn("custom_bwd")
    return autocast_mode.custom_bwd(bwd, device_type="cuda")


def _warn(name: str) -> None:
    warnings.warn(
        f"`torch.cuda.amp.{name}(args...)` is deprecated. Please use `torch.amp.{name}(args..., device_type='cuda')` instead.",
        FutureWarning,
        stacklevel=3,
    )
