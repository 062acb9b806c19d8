"""Switches of anomaly detection."""

from __future__ import annotations

from typing import Any

from torchplug._core import modes

__all__ = ["detect_anomaly", "is_anomaly_enabled", "set_detect_anomaly"]


class set_detect_anomaly:  # noqa: N801 -- PyTorch's name
    """Switches anomaly detection on or off: at once when called, restored at the end of a with block.

    While on, every op remembers its line; backward names the line of an op whose gradient fails or (with `check_nan`) is NaN.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.previous = (modes.anomaly.get(), modes.check_nan.get(), modes.grad_mode.get())
        modes.anomaly.set(bool(mode))
        modes.check_nan.set(check_nan)
        if modes.grad_mode.get():
            modes.grad_mode.set(modes.recording_mode())

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: Any) -> None:
        anomaly, check, grad = self.previous
        modes.anomaly.set(anomaly)
        modes.check_nan.set(check)
        modes.grad_mode.set(grad)


class detect_anomaly:  # noqa: N801 -- PyTorch's name
    """Switches anomaly detection on inside a with block; see `set_detect_anomaly`."""

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan

    def __enter__(self) -> None:
        self._switch = set_detect_anomaly(True, self.check_nan)

    def __exit__(self, *_: Any) -> None:
        self._switch.__exit__()


def is_anomaly_enabled() -> bool:
    """Says whether anomaly detection is on."""
    return modes.anomaly.get()
