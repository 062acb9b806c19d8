"""Memory that two processes see: anonymous files, mapped. They have no name, so nothing is left behind by a crash."""

from __future__ import annotations

import mmap
import os
import struct
from typing import Any

import numpy as np

__all__ = ["AVAILABLE", "ProgressBoard", "anonymous_file", "file_of", "map_private"]

AVAILABLE = os.name == "posix"
"""Whether file descriptors can be handed to another process here."""


def anonymous_file(size: int) -> int:
    """Returns the descriptor of a new file of `size` bytes that no directory lists; the caller closes it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("torchplug", os.MFD_CLOEXEC)
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


def file_of(values: np.ndarray) -> int:
    """Returns the descriptor of a new anonymous file that holds the elements of an array in row-major order."""
    descriptor = anonymous_file(values.nbytes)
    with mmap.mmap(descriptor, 0) as memory:
        np.ndarray(values.shape, values.dtype, memory)[...] = values
    return descriptor


def map_private(descriptor: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Returns a writable array over a file whose writes stay in this process; closes the descriptor."""
    try:
        memory = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
    finally:
        os.close(descriptor)
    return np.ndarray(shape, dtype, memory)


_PLACE = struct.Struct("qq")


class ProgressBoard:
    """Where each worker notes the batch and the place in it that it is reading; outlives the worker.

    Sent to a process while that starts. Where memory cannot be shared, it remembers nothing.
    """

    def __init__(self, workers: int) -> None:
        self._memory: mmap.mmap | None = None
        self._descriptor = -1
        if AVAILABLE:
            self._descriptor = anonymous_file(workers * _PLACE.size)
            self._memory = mmap.mmap(self._descriptor, 0)
            for worker in range(workers):
                self.note(worker, -1, -1)

    def note(self, worker: int, batch: int, place: int) -> None:
        """Says that a worker reads sample number `place` of a batch; -1 for all of it."""
        if self._memory is not None:
            _PLACE.pack_into(self._memory, worker * _PLACE.size, batch, place)

    def last(self, worker: int) -> tuple[int, int]:
        """Returns the (batch, place) a worker noted last; -1 for what is not known."""
        if self._memory is None:
            return -1, -1
        batch, place = _PLACE.unpack_from(self._memory, worker * _PLACE.size)
        return batch, place

    def close(self) -> None:
        """Gives the memory back; nothing can be noted or read from now on."""
        if self._memory is not None:
            self._memory.close()
            os.close(self._descriptor)
            self._memory = None

    def __reduce__(self) -> Any:
        if self._memory is None:
            return _empty_board, ()
        from multiprocessing import reduction

        return _board_from, (reduction.DupFd(self._descriptor),)


def _empty_board() -> ProgressBoard:
    board = ProgressBoard.__new__(ProgressBoard)
    board._memory, board._descriptor = None, -1
    return board


def _board_from(handle: Any) -> ProgressBoard:
    board = _empty_board()
    board._descriptor = handle.detach()
    board._memory = mmap.mmap(board._descriptor, 0)
    return board
