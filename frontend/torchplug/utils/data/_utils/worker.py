"""What a DataLoader's worker process does: take the indices of a batch, read it, send it back."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from torchplug.utils.data._utils import messages
from torchplug.utils.data._utils.failure import Failure
from torchplug.utils.data._utils.fetch import MapFetcher, StreamFetcher
from torchplug.utils.data._utils.shared import ProgressBoard

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["BROKEN", "GRACE", "RESUME", "STARTED", "STREAM_ENDED", "Job", "WorkerInfo", "get_worker_info", "work"]

GRACE = 1.0
"""Seconds a worker may go on with a sample after its reader went away."""

STREAM_ENDED = "stream ended"
RESUME = "resume"
BROKEN = "broken"
STARTED = "started"


class WorkerInfo(NamedTuple):
    """What `get_worker_info()` tells a worker of itself; `dataset` is the worker's own copy."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Returns the number, seed and dataset of the DataLoader worker this is called in; None in the main process."""
    return _worker_info


class Job(NamedTuple):
    """What all workers of a DataLoader do, beside the numbers of each."""

    dataset: Any
    is_stream: bool
    batched: bool
    collate_fn: Any
    drop_last: bool
    worker_init_fn: Any
    num_workers: int
    base_seed: int

    def describe_place(self, index: Any, place: int) -> str:
        """Returns the words for sample number `place` of a batch, or for all of it."""
        if self.is_stream:
            return f"sample {place} of this worker's stream"
        if not self.batched:
            return f"sample {index}"
        return f"sample {index[place]}" if 0 <= place < len(index) else f"samples {_shortened(index)}"


def _shortened(indices: Any) -> str:
    shown = ", ".join(map(str, indices[:8]))
    return f"{shown}, ... ({len(indices)} in all)" if len(indices) > 8 else shown


class _Link:
    """A worker's end of its pipe. A thread of its own reads it, so that neither side waits for the other to read."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.closing = False
        threading.Thread(target=self._read, name="torchplug_data_reader", daemon=True).start()

    def send(self, value: Any) -> None:
        """Sends a value; when nobody reads any more, ends the process."""
        try:
            messages.send(self.connection, value)
        except (BrokenPipeError, ConnectionResetError):
            raise SystemExit(0) from None

    def _read(self) -> None:
        from multiprocessing import connection, parent_process

        parent = parent_process()
        assert parent is not None
        while True:
            # A parent that was killed shows by its sentinel, also where another process holds its end of the pipe.
            ready = connection.wait([self.connection, parent.sentinel])
            try:
                if self.connection not in ready:
                    raise EOFError
                self.tasks.put(messages.receive(self.connection))
            except (EOFError, OSError):
                break
        self.closing = True
        self.tasks.put(None)
        time.sleep(GRACE)
        os._exit(1)


def work(connection: Connection, board: ProgressBoard, job: Job, worker: int) -> None:
    """Serves batches until the other end of the pipe closes."""
    global _worker_info
    # Ctrl-C reaches the whole process group; the main process ends its workers itself.
    signal.signal(signal.SIGINT, lambda *_: None)
    link = _Link(connection)
    link.send((STARTED, None))
    seed = job.base_seed + worker
    _seed(seed, job.base_seed, worker)
    _worker_info = WorkerInfo(worker, job.num_workers, seed, job.dataset)
    _Worker(link, board, job, worker).run()


def _seed(seed: int, base_seed: int, worker: int) -> None:
    import random

    import numpy as np

    from torchplug._core.random import manual_seed

    random.seed(seed)
    manual_seed(seed)
    entropy = [worker, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    np.random.seed(np.random.SeedSequence(entropy).generate_state(4))


class _Worker:
    def __init__(self, link: _Link, board: ProgressBoard, job: Job, number: int) -> None:
        self.link = link
        self.board = board
        self.job = job
        self.number = number
        self.batch = -1
        self.failed: Failure | None = None
        self.fetcher: Any = None
        self.ended = False
        self.place = -1

    def run(self) -> None:
        """Answers one task after another."""
        try:
            if self.job.worker_init_fn is not None:
                self.job.worker_init_fn(self.number)
            self.fetcher = self._new_fetcher()
        except Exception as error:
            self.failed = self._failure(error)
        while (task := self.link.tasks.get()) is not None:
            number, index = task
            if number == RESUME:
                self._resume()
            elif not self.ended:
                self.batch = number
                self._send_answer(number, index)

    def _send_answer(self, number: int, index: Any) -> None:
        answer = self._answer(index)
        try:
            self.link.send((number, answer))
        except Exception as error:  # a batch that cannot be pickled; nothing of it was sent
            self.link.send((number, self._failure(error)))

    def _resume(self) -> None:
        try:
            self.fetcher = self._new_fetcher()
        except Exception as error:
            self.failed = self._failure(error)
        self.ended = False
        self.link.send((RESUME, None))

    def _answer(self, index: Any) -> Any:
        if self.failed is not None:
            failed, self.failed = self.failed, None
            return failed
        try:
            batch = self.fetcher.fetch(index)
        except Exception as error:
            if self.job.is_stream and isinstance(error, StopIteration):
                self.ended = True
                return STREAM_ENDED
            return self._failure(error, index)
        return batch

    def _new_fetcher(self) -> MapFetcher | StreamFetcher:
        job = self.job
        if job.is_stream:
            return StreamFetcher(job.dataset, job.batched, job.collate_fn, job.drop_last, self._progress)
        return MapFetcher(job.dataset, job.batched, job.collate_fn, self._progress)

    def _progress(self, place: int) -> None:
        if self.link.closing:
            raise SystemExit(0)
        self.place = place
        self.board.note(self.number, self.batch, place)

    def _failure(self, error: Exception, index: Any = None) -> Failure:
        detail = "" if index is None else f" It was reading {self.job.describe_place(index, self.place)}."
        return Failure(error, f"in DataLoader worker process {self.number}", detail)
