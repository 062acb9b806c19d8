"""Reading an index expression: which part of it is a view, which part gathers by tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import dtypes as dt

__all__ = ["INTEGER_KEYS", "basic_key", "read_key"]


def basic_key(key: Any, size: tuple[int, ...]) -> tuple | None:
    """Returns the canonical slice key of a key made of ints, slices, None and Ellipsis only; None for any other."""
    if type(key) is int:
        return INTEGER_KEYS.get((key, size)) or _integer_key(key, size)
    items = key if type(key) is tuple else (key,)
    canonical: list[Any] = []
    dim = 0
    for place, item in enumerate(items):
        kind = type(item)
        if kind is int:
            canonical.append(_integer(item, dim, size))
            dim += 1
        elif kind is slice:
            canonical.append(_slice(item, dim, size))
            dim += 1
        elif item is None:
            canonical.append(None)
        elif item is Ellipsis:
            rest = _consumed(items[place + 1 :])
            if rest is None:
                return None
            while dim < len(size) - rest:
                canonical.append(slice(0, size[dim], 1))
                dim += 1
        else:
            return None
    for length in size[dim:]:
        canonical.append(slice(0, length, 1))
    return tuple(canonical)


INTEGER_KEYS: dict[tuple[int, tuple[int, ...]], tuple] = {}
"""The keys of x[number], by number and size: loops over a tensor ask for the same ones again."""


def _integer_key(item: int, size: tuple[int, ...]) -> tuple:
    key = (_integer(item, 0, size), *(slice(0, length, 1) for length in size[1:]))
    if len(INTEGER_KEYS) > 4096:
        INTEGER_KEYS.clear()
    INTEGER_KEYS[item, size] = key
    return key


def _consumed(items: tuple) -> int | None:
    """Returns how many dimensions basic items use up; None if one is not basic."""
    count = 0
    for item in items:
        if item is None:
            continue
        if type(item) not in (int, slice):
            return None
        count += 1
    return count


def _integer(item: int, dim: int, size: tuple[int, ...]) -> int:
    if dim >= len(size):
        raise _too_many(size)
    length = size[dim]
    if not -length <= item < length:
        raise IndexError(f"index {item} is out of bounds for dimension {dim} with size {length}")
    return item + length if item < 0 else item


def _too_many(size: tuple[int, ...]) -> IndexError:
    if not size:
        return IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim "
            "tensor to a number"
        )
    return IndexError(f"too many indices for tensor of dimension {len(size)}")


def _bound(value: Any) -> int | None:
    if value is None or type(value) is int:
        return value
    if hasattr(value, "__index__"):
        return value.__index__()
    raise TypeError("slice indices must be integers or None or have an __index__ method")


def _slice(item: slice, dim: int, size: tuple[int, ...]) -> slice:
    if dim >= len(size):
        raise _too_many(size)
    step = _bound(item.step)
    if step is not None and step <= 0:
        raise ValueError("step must be greater than zero")
    start, stop, step = slice(_bound(item.start), _bound(item.stop), step).indices(size[dim])
    return slice(start, max(start, stop), step)


def read_key(key: Any, x: Tensor, make: Callable[..., Tensor]) -> tuple[tuple, list[tuple[int, Tensor]]]:
    """Returns (slice key, [(dimension of the sliced view, index tensor), ...]) of any index expression.

    `make` is `torch.tensor`. Masks stay bool tensors that cover several dimensions of the view; True and False become masks on a new dimension.
    """
    size = shape_of(x)
    items = [_item(item, x, make) for item in (key if type(key) is tuple else _as_tuple(key))]
    if sum(item is Ellipsis for item in items) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    canonical: list[Any] = []
    tensors: list[tuple[int, Tensor]] = []
    dim = out = 0
    for place, item in enumerate(items):
        if item is Ellipsis:
            rest = sum(_width(later) for later in items[place + 1 :])
            while dim < len(size) - rest:
                canonical.append(slice(0, size[dim], 1))
                dim, out = dim + 1, out + 1
        elif item is None:
            canonical.append(None)
            out += 1
        elif type(item) is bool:
            canonical.append(None)
            tensors.append((out, make([item], device=x.device)))
            out += 1
        elif isinstance(item, Tensor):
            width = _width(item)
            if dim + width > len(size):
                raise _too_many(size)
            tensors.append((out, item))
            for _ in range(width):
                canonical.append(slice(0, size[dim], 1))
                dim, out = dim + 1, out + 1
        elif type(item) is slice:
            canonical.append(_slice(item, dim, size))
            dim, out = dim + 1, out + 1
        else:
            canonical.append(_integer(item, dim, size))
            dim += 1
    canonical += [slice(0, length, 1) for length in size[dim:]]
    return tuple(canonical), tensors


def _as_tuple(key: Any) -> tuple:
    if isinstance(key, list) and any(item is None or item is Ellipsis or isinstance(item, slice) for item in key):
        return tuple(key)
    return (key,)


def _width(item: Any) -> int:
    if isinstance(item, Tensor):
        return len(shape_of(item)) if item._kind.dtype in (dt.bool_, dt.uint8) else 1
    return 0 if item is None or type(item) is bool or item is Ellipsis else 1


def _item(item: Any, x: Tensor, make: Callable[..., Tensor]) -> Any:
    if item is None or item is Ellipsis or type(item) in (bool, int, slice):
        return item
    if isinstance(item, Tensor):
        dtype = item._kind.dtype
        if dtype.kind not in ("int", "uint", "bool"):
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        if not shape_of(item):
            return bool(item) if dtype is dt.bool_ else int(item) if not _traced(item) else item.reshape(1)
        return item
    if isinstance(item, (list, tuple, range, np.ndarray)):
        made = make(list(item) if isinstance(item, range) else item, device=x.device)
        if not made.numel() and made._kind.dtype.is_floating_point:
            made = made.long()
        return _item(made, x, make)
    if isinstance(item, np.bool_):
        return bool(item)
    if hasattr(item, "__index__"):
        return item.__index__()
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got "
        f"{type(item).__name__})"
    )


def _traced(item: Tensor) -> bool:
    return item._array is not None and item._kind.engine.is_tracing(item._array)
