"""Mixing the channels of groups."""

from __future__ import annotations

from torchplug._core.tensor import Tensor
from torchplug.nn import functional as F
from torchplug.nn.modules.module import Module

__all__ = ["ChannelShuffle"]


class ChannelShuffle(Module):
    """Splits the channels into groups and interleaves them. Shape: (N, C, *), C divisible by groups.

    Source: Zhang et al. 2018.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
