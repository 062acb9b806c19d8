"""`torch.cuda.amp`: mixed precision under its old names."""

from torchplug.cuda.amp.autocast_mode import autocast, custom_bwd, custom_fwd
from torchplug.cuda.amp.common import amp_definitely_not_available
from torchplug.cuda.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "amp_definitely_not_available", "autocast", "custom_bwd", "custom_fwd"]
