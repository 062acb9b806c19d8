"""`torch.cpu`: the host as a device, for programs that ask every kind of device the same questions."""

from __future__ import annotations

from torchplug._core.device import DeviceLike
from torchplug.cpu import amp

__all__ = ["amp", "current_device", "device_count", "is_available", "is_initialized", "set_device", "synchronize"]


def is_available() -> bool:
    """Returns True."""
    return True


def is_initialized() -> bool:
    """Returns True."""
    return True


def device_count() -> int:
    """Returns 1."""
    return 1


def current_device() -> str:
    """Returns "cpu"."""
    return "cpu"


def set_device(device: DeviceLike) -> None:
    """Does nothing: there is one host."""


def synchronize(device: DeviceLike = None) -> None:
    """Does nothing: what runs on the host has run."""
