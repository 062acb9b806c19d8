"""`torch.Size`: a tuple of ints that knows how many elements it counts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

__all__ = ["Size"]


class Size(tuple[int, ...]):
    """The size of a tensor. Slicing, adding and multiplying give a Size again."""

    __slots__ = ()
    __module__ = "torch"

    def __new__(cls, sizes: Iterable[Any] = ()) -> Size:
        sizes = tuple(sizes)
        for place, size in enumerate(sizes):
            if type(size) is not int and (isinstance(size, (float, str, bool)) or not hasattr(size, "__index__")):
                raise TypeError(f"torch.Size() takes an iterable of 'int' (item {place} is '{type(size).__name__}')")
        return tuple.__new__(cls, (size if type(size) is int else size.__index__() for size in sizes))

    def numel(self) -> int:
        """Returns the number of elements."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return tuple.__new__(Size, found) if type(key) is slice else found

    def __add__(self, other: Any) -> Any:
        return tuple.__new__(Size, tuple.__add__(self, other))

    def __radd__(self, other: Any) -> Any:
        return tuple.__new__(Size, (*other, *self))

    def __mul__(self, times: Any) -> Size:
        return tuple.__new__(Size, tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __reduce__(self) -> tuple[Any, tuple[tuple[int, ...]]]:
        return Size, (tuple(self),)
