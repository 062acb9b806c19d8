"""Layouts and memory formats: names that PyTorch programs pass around."""

from __future__ import annotations

__all__ = [
    "Layout",
    "MemoryFormat",
    "channels_last",
    "channels_last_3d",
    "contiguous_format",
    "preserve_format",
    "strided",
]


class _Named:
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class Layout(_Named):
    """`torch.layout`."""

    __slots__ = ()


class MemoryFormat(_Named):
    """`torch.memory_format`. Engines choose their own memory order; the formats are accepted and change no value."""

    __slots__ = ()


strided = Layout("strided")
sparse_coo = Layout("sparse_coo")
contiguous_format = MemoryFormat("contiguous_format")
preserve_format = MemoryFormat("preserve_format")
channels_last = MemoryFormat("channels_last")
channels_last_3d = MemoryFormat("channels_last_3d")
