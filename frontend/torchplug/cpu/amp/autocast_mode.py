"""`torch.cpu.amp.autocast`, which PyTorch has deprecated."""

from __future__ import annotations

import warnings

from torchplug.amp import autocast_mode
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["autocast"]


class autocast(autocast_mode.autocast):  # noqa: N801 -- PyTorch's name
    """Is `torch.amp.autocast("cpu", ...)`, with a FutureWarning."""

    def __init__(self, enabled: bool = True, dtype: DType = dt.bfloat16, cache_enabled: bool = True) -> None:
        warnings.warn(
            "`torch.cpu.amp.autocast(args...)` is deprecated. Please use `torch.amp.autocast('cpu', args...)` instead.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__("cpu", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)
