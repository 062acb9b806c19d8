"""The worker processes of a DataLoader, seen from the process that reads their batches."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from multiprocessing import connection as connections
from multiprocessing.context import BaseContext
from typing import Any

from torchplug.utils.data._utils import messages, worker
from torchplug.utils.data._utils.failure import Failure, describe_death
from torchplug.utils.data._utils.parcel import Parcel, refuse_while_unpacking
from torchplug.utils.data._utils.shared import ProgressBoard

__all__ = ["WorkerPool"]

_CLOSING = worker.GRACE + 0.2
"""Seconds a worker gets to end by itself, before it is told to with a signal."""

_STARTING_TIME = 60.0
"""Seconds workers get to start, on top of the timeout of a batch."""

_START_LOCK = threading.Lock()

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class _Worker:
    """A process and our end of its pipe; `tasks` holds the batches it was sent and has not answered, by number."""

    def __init__(self, process: Any, connection: Any) -> None:
        self.process = process
        self.connection = connection
        self.tasks: dict[int, Any] = {}
        self.started = False


class WorkerPool:
    """`job.num_workers` processes that serve batches; they end with the pool, however that ends.

    `receive` notices a death at once: it waits for the pipes and for the processes' sentinels together.
    """

    def __init__(self, context: BaseContext, job: worker.Job) -> None:
        refuse_while_unpacking()
        self.job = job
        self.board = ProgressBoard(job.num_workers)
        self.workers: list[_Worker] = []
        self._end = weakref.finalize(self, _end, os.getpid(), self.workers, self.board)
        parcel = Parcel(job)
        try:
            for number in range(job.num_workers):
                self.workers.append(self._start(context, parcel, number))
        except BaseException:
            self.close()
            raise
        finally:
            parcel.close()

    def _start(self, context: Any, parcel: Parcel, number: int) -> _Worker:
        ours, theirs = context.Pipe()
        forks = context.get_start_method() == "fork"
        inherited = [ours, *(each.connection for each in self.workers)] if forks else []
        process = context.Process(
            target=_run, args=(theirs, inherited, self.board, parcel, number), daemon=True, name=f"data worker {number}"
        )
        try:
            with _START_LOCK, _main_left_alone(), _environment(_ONE_THREAD):
                process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            ours.close()
            error.add_note(
                "DataLoader sends the dataset, collate_fn and worker_init_fn to its worker processes: they must be "
                "made of functions and classes defined at the top level of a module. Define them there, or use "
                "num_workers=0, or multiprocessing_context='fork' (numpy backend only)."
            )
            raise
        finally:
            theirs.close()
        return _Worker(process, ours)

    @property
    def closed(self) -> bool:
        """Whether the processes have ended."""
        return not self._end.alive

    def send(self, number: int, task: int, index: Any) -> None:
        """Gives worker `number` the batch `task`. Raises RuntimeError when it is dead."""
        receiver = self.workers[number]
        receiver.tasks[task] = index
        self._send(number, (task, index))

    def resume(self) -> None:
        """Has every worker begin anew with its dataset, after an epoch."""
        for number in range(len(self.workers)):
            self._send(number, (worker.RESUME, None))
        waiting = set(range(len(self.workers)))
        while waiting:
            number, (task, _) = self.receive(None)
            if task == worker.RESUME:
                waiting.discard(number)
                self.workers[number].tasks.clear()

    def _send(self, number: int, value: Any) -> None:
        try:
            messages.send(self.workers[number].connection, value)
        except OSError:
            raise self._death(number) from None

    def receive(self, timeout: float | None) -> tuple[int, Any]:
        """Returns (worker number, message) of the next message from any worker.

        Raises RuntimeError when a worker has died, or after `timeout` seconds without a message; what workers need to
        start is not counted.
        """
        while True:
            number, message = self._next_message(timeout)
            if message[0] == worker.STARTED:
                self.workers[number].started = True
            elif message[0] == worker.BROKEN:
                message[1].reraise()
            else:
                self.workers[number].tasks.pop(message[0], None)
                return number, message

    def _next_message(self, timeout: float | None) -> tuple[int, Any]:
        pipes: dict[Any, int] = {each.connection: number for number, each in enumerate(self.workers)}
        sentinels: dict[Any, int] = {each.process.sentinel: number for number, each in enumerate(self.workers)}
        patience = timeout
        if timeout is not None and not all(each.started for each in self.workers):
            patience = timeout + _STARTING_TIME
        ready: list[Any] = connections.wait([*pipes, *sentinels], patience)
        if not ready:
            raise RuntimeError(f"DataLoader timed out after {timeout:g} seconds; {self._slow()}")
        for readable in ready:
            if readable in pipes:  # what a worker sent before it died still counts
                number = pipes[readable]
                try:
                    return number, messages.receive(readable)
                except (EOFError, OSError):
                    raise self._death(number) from None
        raise self._death(sentinels[ready[0]])

    def _slow(self) -> str:
        busy = [
            f"worker {number} (pid {each.process.pid}) is reading {self._reading(number)}"
            for number, each in enumerate(self.workers)
            if each.tasks
        ]
        return ", ".join(busy) or "no worker has anything to read"

    def _reading(self, number: int) -> str:
        tasks = self.workers[number].tasks
        batch, place = self.board.last(number)
        if batch not in tasks:
            batch, place = next(iter(tasks)), -1
        return f"{self.job.describe_place(tasks[batch], place)} (batch {batch})"

    def _death(self, number: int) -> RuntimeError:
        dead = self.workers[number]
        dead.process.join(1.0)  # the pipe closes a moment before the process is gone
        code = dead.process.exitcode
        text = describe_death(dead.process.pid, code)
        started = self.board.last(number) != (-1, -1)
        if dead.tasks:
            text += f" while reading {self._reading(number)}" if started else " before it read anything"
        return RuntimeError(text)

    def close(self) -> None:
        """Ends the processes: by closing their pipes, then by signals. Takes less than 2 seconds."""
        self._end()


def _end(owner: int, workers: list[_Worker], board: ProgressBoard) -> None:
    if os.getpid() != owner:
        return  # a forked child inherits the objects, not the processes
    for each in workers:
        each.connection.close()
    deadline = time.monotonic() + _CLOSING
    for each in workers:
        each.process.join(max(0.0, deadline - time.monotonic()))
    stubborn = [each.process for each in workers if each.process.is_alive()]
    for process in stubborn:
        process.terminate()
    for process in stubborn:
        process.join(0.1)
        if process.is_alive():
            process.kill()
            process.join(1.0)
    for each in workers:
        with contextlib.suppress(ValueError):  # still not gone, in an uninterruptible wait
            each.process.close()
    workers.clear()
    board.close()


def _run(connection: Any, inherited: list[Any], board: ProgressBoard, parcel: Any, number: int) -> None:
    for other in inherited:
        other.close()
    try:
        job = parcel.open()
    except Exception as error:
        failure = Failure(error, f"while DataLoader worker process {number} was starting")
        messages.send(connection, (worker.BROKEN, failure))
        return
    worker.work(connection, board, job, number)


@contextlib.contextmanager
def _main_left_alone() -> Iterator[None]:
    """Makes processes that are started now not import the main module: multiprocessing passes over one of this name."""
    main = sys.modules["__main__"]
    before = getattr(main, "__spec__", None)
    main.__spec__ = ModuleSpec("__main__", None)
    try:
        yield
    finally:
        main.__spec__ = before


@contextlib.contextmanager
def _environment(ones: tuple[str, ...]) -> Iterator[None]:
    """Makes processes that are started now compute with one thread each, as torch.set_num_threads(1) would."""
    before = {name: os.environ.get(name) for name in ones}
    os.environ.update(dict.fromkeys(ones, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
