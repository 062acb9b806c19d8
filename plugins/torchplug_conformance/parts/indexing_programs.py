"""Programs that read and write through every kind of index, and differentiate the reading."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import torchplug
from torchplug._core.tensor import Tensor

__all__ = ["INDEXING_PROGRAMS", "KEYS"]


def _long(*values: Any) -> Tensor:
    return torchplug.tensor(np.array(values, np.int64))


def grid() -> Tensor:
    """Returns 0, 1, ... 59 in shape (3, 4, 5)."""
    return torchplug.tensor(np.arange(60, dtype=np.float32).reshape(3, 4, 5))


KEYS: dict[str, Callable[[Tensor], Any]] = {
    "integer": lambda x: 1,
    "negative": lambda x: (-1, slice(None), -2),
    "slices": lambda x: (slice(1, None), slice(None, None, 2), slice(1, 4)),
    "ellipsis": lambda x: (..., 3),
    "none": lambda x: (None, 1, None),
    "list": lambda x: [2, 0, 2],
    "index": lambda x: _long(2, 0),
    "negative_index": lambda x: _long(-1, 0, -3),
    "index_matrix": lambda x: _long([0, 1], [2, 0]),
    "index_on_last": lambda x: (..., _long(4, 0)),
    "two_indices": lambda x: (_long(0, 2), _long(3, 1)),
    "broadcast_indices": lambda x: (_long([0], [2]), _long(3, 1)),
    "apart_indices": lambda x: (_long(0, 2), slice(None), _long(4, 1)),
    "index_and_slice": lambda x: (slice(0, 2), _long(3, 1, 1), slice(None, None, 2)),
    "index_and_integer": lambda x: (1, _long(3, 1)),
    "mask": lambda x: x > 30,
    "row_mask": lambda x: torchplug.tensor(np.array([True, False, True])),
    "mask_and_index": lambda x: (torchplug.tensor(np.array([True, False, True])), _long(3, 1)),
    "empty_index": lambda x: torchplug.tensor(np.zeros(0, np.int64)),
    "zero_dim_index": lambda x: torchplug.tensor(np.array(2)),
}
"""Kinds of indices into `grid()`."""

OUTSIDE: dict[str, Callable[[], Any]] = {
    "integer": lambda: 3,
    "negative": lambda: (0, -5),
    "index": lambda: _long(0, 3),
    "negative_index": lambda: (0, _long(1, -5)),
}
"""Indices with a place outside of `grid()`: an engine must raise, not clamp or wrap them."""


def _read_outside(key: str) -> Any:
    return grid()[OUTSIDE[key]()]


def _write_outside(key: str) -> Any:
    x = grid()
    x[OUTSIDE[key]()] = 1.0
    return x


def _read(key: str) -> Any:
    x = grid()
    return x[KEYS[key](x)]


def _write_number(key: str) -> Any:
    x = grid()
    x[KEYS[key](x)] = -5.0
    return x, x._version


def _write_tensor(key: str) -> Any:
    x = grid()
    chosen = KEYS[key](x)
    x[chosen] = x[chosen] * -2
    return x


def _write_view(key: str) -> Any:
    base = grid()
    view = base.permute(0, 1, 2)
    view[KEYS[key](view)] = 0.5
    return base


def _gradient(key: str) -> Any:
    x = grid().requires_grad_()
    read = x[KEYS[key](x)]
    return torchplug.autograd.grad((read * read).sum(), [x])


def _gradient_of_write(key: str) -> Any:
    leaf = grid().requires_grad_()
    factor = torchplug.tensor(np.array(3.0, np.float32)).requires_grad_()
    x = leaf * 1
    x[KEYS[key](leaf)] = factor
    return torchplug.autograd.grad((x * x).sum(), [leaf, factor])


def _accumulate() -> Any:
    x = torchplug.zeros(4)
    x.index_put_((_long(1, 1, 3),), torchplug.tensor(np.array([1.0, 2.0, 4.0], np.float32)), accumulate=True)
    return x


ACTIONS: dict[str, Callable[[str], Any]] = {
    "read": _read,
    "write_number": _write_number,
    "write_tensor": _write_tensor,
    "write_view": _write_view,
    "gradient": _gradient,
    "gradient_of_write": _gradient_of_write,
}
INDEXING_PROGRAMS: dict[str, Callable[[], Any]] = {
    f"{action}-{key}": partial(ACTIONS[action], key) for action in ACTIONS for key in KEYS
}
INDEXING_PROGRAMS["accumulate"] = _accumulate
INDEXING_PROGRAMS |= {f"read_outside-{key}": partial(_read_outside, key) for key in OUTSIDE}
INDEXING_PROGRAMS |= {f"write_outside-{key}": partial(_write_outside, key) for key in OUTSIDE}
"""Every action with every kind of index."""
