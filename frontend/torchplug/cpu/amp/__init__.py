"""`torch.cpu.amp`: mixed precision under its old names."""

from torchplug.cpu.amp.autocast_mode import autocast
from torchplug.cpu.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast"]
