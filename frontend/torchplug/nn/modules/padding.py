"""Padding layers: with zeros, a constant, a reflection, the border, or the other side."""

from __future__ import annotations

from typing import Any

from torchplug._core.tensor import Tensor
from torchplug.nn import functional as F
from torchplug.nn.modules.module import Module
from torchplug.nn.modules.per_dimension import per_dimension

__all__ = [
    "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d",
    "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d",
    "ReplicationPad3d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
]  # fmt: skip

Padding = int | tuple[int, ...]


class _PadNd(Module):
    """Pads the last `dimensions` dimensions; the padding is one number or (left, right, top, bottom, front, back)."""

    dimensions: int
    mode: str
    padding: tuple[int, ...]

    def __init__(self, padding: Padding) -> None:
        super().__init__()
        self.padding = per_dimension(padding, 2 * self.dimensions)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadNd(_PadNd):
    value: float

    def __init__(self, padding: Padding, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad:
    """The constant zero, printed without it."""

    def __init__(self: Any, padding: Padding) -> None:
        super().__init__(padding, 0.0)  # type: ignore[call-arg]

    def extra_repr(self: Any) -> str:
        return f"{self.padding}"


class _CircularPadNd(_PadNd):
    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (self.dimensions + 1, self.dimensions + 2):
            raise ValueError(
                f"expected {self.dimensions + 1}D or {self.dimensions + 2}D input (got {input.dim()}D input)"
            )
        return super().forward(input)


class _ReflectionPadNd(_PadNd):
    mode = "reflect"


class _ReplicationPadNd(_PadNd):
    mode = "replicate"


class ConstantPad1d(_ConstantPadNd):
    """Pads with a constant. Shape: (C, W) or (N, C, W)."""

    dimensions = 1


class ConstantPad2d(_ConstantPadNd):
    """Pads with a constant. Shape: (C, H, W) or (N, C, H, W)."""

    dimensions = 2


class ConstantPad3d(_ConstantPadNd):
    """Pads with a constant. Shape: (C, D, H, W) or (N, C, D, H, W)."""

    dimensions = 3


class ZeroPad1d(_ZeroPad, ConstantPad1d):
    """Pads with zeros. Shape: (C, W) or (N, C, W)."""


class ZeroPad2d(_ZeroPad, ConstantPad2d):
    """Pads with zeros. Shape: (C, H, W) or (N, C, H, W)."""


class ZeroPad3d(_ZeroPad, ConstantPad3d):
    """Pads with zeros. Shape: (C, D, H, W) or (N, C, D, H, W)."""


class ReflectionPad1d(_ReflectionPadNd):
    """Pads with the reflection of the input at its border. Shape: (C, W) or (N, C, W)."""

    dimensions = 1


class ReflectionPad2d(_ReflectionPadNd):
    """Pads with the reflection of the input at its border. Shape: (C, H, W) or (N, C, H, W)."""

    dimensions = 2


class ReflectionPad3d(_ReflectionPadNd):
    """Pads with the reflection of the input at its border. Shape: (C, D, H, W) or (N, C, D, H, W)."""

    dimensions = 3


class ReplicationPad1d(_ReplicationPadNd):
    """Pads with copies of the border. Shape: (C, W) or (N, C, W)."""

    dimensions = 1


class ReplicationPad2d(_ReplicationPadNd):
    """Pads with copies of the border. Shape: (C, H, W) or (N, C, H, W)."""

    dimensions = 2


class ReplicationPad3d(_ReplicationPadNd):
    """Pads with copies of the border. Shape: (C, D, H, W) or (N, C, D, H, W)."""

    dimensions = 3


class CircularPad1d(_CircularPadNd):
    """Pads with the values of the other side. Shape: (C, W) or (N, C, W)."""

    dimensions = 1


class CircularPad2d(_CircularPadNd):
    """Pads with the values of the other side. Shape: (C, H, W) or (N, C, H, W)."""

    dimensions = 2


class CircularPad3d(_CircularPadNd):
    """Pads with the values of the other side. Shape: (C, D, H, W) or (N, C, D, H, W)."""

    dimensions = 3
