"""Automatic mixed precision: `autocast` chooses what each function computes in, `GradScaler` keeps small gradients alive."""

from torchplug.amp.autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from torchplug.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
