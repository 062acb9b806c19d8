"""Runs a compiled loop over rows or elements, on several threads where there is work for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

__all__ = ["set_num_threads", "spread"]

SHARE: Final = 1 << 15
"""Elements a thread must get at least: handing work to one takes about 20 us, a loop 5 to 50 us for so many."""

_count = 1
_pool: ThreadPoolExecutor | None = None


def set_num_threads(count: int) -> None:
    """Sets how many threads a kernel may use, the one that calls it among them."""
    global _count, _pool
    if count != _count:
        # Threads of the old pool end with it, once nobody is using it any more.
        _count, _pool = count, None


def spread(
    loop: Callable[..., Any], arrays: Sequence[np.ndarray], numbers: Sequence[Any] = (), whole: Sequence[Any] = ()
) -> list[Any]:
    """Runs `loop(*arrays, *whole, *numbers)` for slices of the arrays along their first axis, one for each thread.

    Returns what the calls return. `whole` are arrays that every slice needs all of.
    """
    rows, size = len(arrays[0]), max([x.size for x in arrays])
    parts = min(_count, size // SHARE, rows)
    if parts < 2:
        return [loop(*arrays, *whole, *numbers)]
    bounds = [rows * part // parts for part in range(parts + 1)]
    slices = [slice(low, high) for low, high in zip(bounds, bounds[1:], strict=False)]
    pool = _threads()
    waiting = [pool.submit(loop, *[x[each] for x in arrays], *whole, *numbers) for each in slices[1:]]
    mine = loop(*[x[slices[0]] for x in arrays], *whole, *numbers)
    return [mine, *[other.result() for other in waiting]]


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(_count - 1, thread_name_prefix="torchplug-numba")
    return _pool


def _forget_the_pool() -> None:
    global _pool
    _pool = None


# The threads of a pool do not exist in a forked child, where it would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_pool)
