"""Threads for kernels that work block by block, and how many of them BLAS uses meanwhile.

The workers wait for work on queues of their own; blocks are dealt out in runs, always the same ones, so that sums of blocks
are the same bits from run to run. While blocks are worked on BLAS uses one thread: two levels of threads get in each other's way.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np

__all__ = ["get_num_threads", "run_blocks", "set_num_threads", "sum_blocks"]

_NAMES = (
    "scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads", "openblas_{}_num_threads64_",
    "openblas_{}_num_threads", "bli_thread_{}_num_threads",
)  # fmt: skip
"""What "get" and "set" are called in the BLAS libraries that NumPy is built with."""


class _Pool:
    """Threads beside the calling one, started when first needed."""

    def __init__(self) -> None:
        self.count = int(os.environ.get("OMP_NUM_THREADS") or 0) or os.cpu_count() or 1
        self.forget()

    def forget(self) -> None:
        """Starts anew, as a forked child must: threads do not follow it."""
        self.busy = threading.Lock()
        self.queues: list[SimpleQueue[Any]] = []

    def queue(self, place: int) -> SimpleQueue[Any]:
        while len(self.queues) <= place:
            queue: SimpleQueue[Any] = SimpleQueue()
            threading.Thread(target=_work, args=(queue,), name="torchplug-numpy", daemon=True).start()
            self.queues.append(queue)
        return self.queues[place]


_POOL = _Pool()
os.register_at_fork(after_in_child=_POOL.forget)


def get_num_threads() -> int:
    """Returns how many threads work on the blocks of one kernel."""
    return _POOL.count


def set_num_threads(count: int) -> None:
    """Sets how many threads work on the blocks of one kernel, and how many BLAS uses for one product."""
    _POOL.count = count
    _blas()[1](count)


@functools.cache
def _blas() -> tuple[Callable[[], int], Callable[[int], Any]]:
    """Returns what reads and what sets the threads of the loaded BLAS; of an unknown one, functions that do nothing."""
    import ctypes

    try:
        # Looked up in NumPy's own extension, a name is found in the libraries that it was linked with.
        library = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        library = None
    for name in _NAMES:
        getter, setter = getattr(library, name.format("get"), None), getattr(library, name.format("set"), None)
        if getter is not None and setter is not None:
            return getter, setter
    return lambda: 1, lambda count: None


def _work(queue: SimpleQueue[Any]) -> None:
    np.seterr(all="ignore")  # of this thread alone
    while True:
        function, blocks, done = queue.get()
        done.put(_attempt(function, blocks))
        del function, blocks, done  # or the last arrays would live until the next call


def _attempt(function: Callable[[Any], Any], blocks: Sequence[Any]) -> tuple[Any, BaseException | None]:
    try:
        return function(blocks), None
    except BaseException as error:  # raised again where the work was asked for
        return None, error


def _runs(blocks: Sequence[Any], count: int) -> list[Sequence[Any]]:
    """Returns blocks in `count` runs of nearly the same length."""
    return [blocks[len(blocks) * place // count : len(blocks) * (place + 1) // count] for place in range(count)]


def _dealt(function: Callable[[Sequence[Any]], Any], blocks: Sequence[Any]) -> list[Any]:
    """Returns `function(run)` for runs of blocks, one run for each thread; of all at once where there is one thread."""
    count = min(_POOL.count, len(blocks))
    if count < 2 or not _POOL.busy.acquire(blocking=False):  # taken: another thread's kernel, or one around this
        return [function(blocks)]
    get_blas, set_blas = _blas()
    threads = get_blas()
    try:
        if threads > 1:
            set_blas(1)
        runs, done = _runs(blocks, count), [SimpleQueue[Any]() for _ in range(count - 1)]
        for place, answer in enumerate(done):
            _POOL.queue(place).put((function, runs[place + 1], answer))
        results = [_attempt(function, runs[0]), *[answer.get() for answer in done]]
    finally:
        if threads > 1:
            set_blas(threads)
        _POOL.busy.release()
    for _, error in results:
        if error is not None:
            raise error
    return [result for result, _ in results]


def run_blocks(function: Callable[[Any], Any], blocks: Sequence[Any]) -> None:
    """Calls `function(block)` for every block, which must not touch what it does for others."""

    def run(blocks: Sequence[Any]) -> None:
        for block in blocks:
            function(block)

    _dealt(run, blocks)


def sum_blocks(function: Callable[[Any], Any], blocks: Sequence[Any]) -> Any:
    """Returns the sum of `function(block)`, new arrays all, over all blocks."""

    def run(blocks: Sequence[Any]) -> Any:
        total = function(blocks[0])
        for block in blocks[1:]:
            np.add(total, function(block), total)
        return total

    first, *others = _dealt(run, blocks)
    for other in others:
        np.add(first, other, first)
    return first
