"""One pass over a DataLoader: in this process, or with workers that read ahead."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torchplug._core import selection
from torchplug._core.kind import engine_for, loaded
from torchplug.utils.data._utils import draws, worker
from torchplug.utils.data._utils.failure import Failure
from torchplug.utils.data._utils.fetch import MapFetcher, StreamFetcher

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

    from torchplug.utils.data.dataloader import DataLoader

__all__ = ["DataLoaderIterator", "ProcessIterator", "WorkersIterator"]


class DataLoaderIterator(Iterator[Any]):
    """What both kinds of pass share: the sampler's order, the seed of the workers, the check of a stream's length.

    The seed is drawn whether there are workers or not, so that everything drawn later is the same.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader
        if loader.pin_memory:
            _warn_of_pinning(loader.pin_memory_device)
        self.indices: Iterator[Any] = iter(loader.index_sampler)
        self.base_seed = draws.seed_from(loader.generator)
        self.announced = loader.announced_length
        self.yielded = 0

    def __len__(self) -> int:
        return len(self.loader.index_sampler)

    def __next__(self) -> Any:
        batch = self.next_batch()
        if self.announced is not None:
            self._check_length()
        return batch

    def next_batch(self) -> Any:
        """Returns the next batch; StopIteration at the end."""
        raise NotImplementedError

    def _check_length(self) -> None:
        self.yielded += 1
        loader = self.loader
        if self.announced is None or self.yielded <= self.announced:
            return
        text = (
            f"Length of IterableDataset {loader.dataset} was reported to be {self.announced}"
            f"(when accessing len(dataloader)), but {self.yielded} samples have been fetched. "
        )
        if loader.num_workers:
            text += (
                "For multiprocessing data-loading, this could be caused by not properly configuring the "
                "IterableDataset replica at each worker. Please see "
                "https://pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset for examples."
            )
        warnings.warn(text, stacklevel=3)

    def __reduce__(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} cannot be pickled")


def _warn_of_pinning(device: str) -> None:
    if device:
        warnings.warn(
            "pin_memory_device is deprecated, the current accelerator will be used as the device,"
            f"ignore pin_memory_device='{device}'.",
            stacklevel=4,
        )
    if all(name.startswith("cpu") for name in selection.default_engine().backend.devices()):
        warnings.warn(
            "'pin_memory' argument is set as true but no accelerator is found, "
            "then device pinned memory won't be used.",
            stacklevel=4,
        )


class ProcessIterator(DataLoaderIterator):
    """Reads each batch when it is asked for."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        if loader.timeout:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        if loader.is_stream:
            self.fetch = StreamFetcher(loader.dataset, loader.batched, loader.collate_fn, loader.drop_last).fetch
        else:
            self.fetch = MapFetcher(loader.dataset, loader.batched, loader.collate_fn).fetch

    def next_batch(self) -> Any:
        return self.fetch(next(self.indices))


class WorkersIterator(DataLoaderIterator):
    """Has workers read ahead: `prefetch_factor` batches each, dealt out in turn, returned in the order of the sampler.

    Any exception here, also Ctrl-C, ends the workers; so does dropping the iterator.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        from torchplug.utils.data._utils.pool import WorkerPool

        if not loader.prefetch_factor:
            raise AssertionError("prefetch_factor must be greater than 0 for MultiProcessingDataLoaderIter")
        job = worker.Job(
            loader.dataset, loader.is_stream, loader.batched, loader.collate_fn, loader.drop_last,
            loader.worker_init_fn, loader.num_workers, self.base_seed,
        )  # fmt: skip
        self.pool = WorkerPool(loader.multiprocessing_context or _default_context(), _fit_to_fork(loader, job))
        self._begin()

    @property
    def closed(self) -> bool:
        """Whether the workers have ended."""
        return self.pool.closed

    def restart(self, loader: DataLoader[Any]) -> None:
        """Begins another pass with the same workers."""
        self.indices = iter(loader.index_sampler)
        self.announced = loader.announced_length
        self.yielded = 0
        self._guard(self.pool.resume)
        self._begin()

    def _begin(self) -> None:
        count = self.loader.num_workers
        self.turns = itertools.cycle(range(count))
        self.serving = [True] * count
        self.owners: dict[int, int] = {}  # tasks that are sent or answered, but not yet returned, with their workers
        self.answers: dict[int, Any] = {}
        self.sent = 0
        self._guard(self._fill)

    def _fill(self) -> None:
        assert self.loader.prefetch_factor is not None
        for _ in range(self.loader.prefetch_factor * self.loader.num_workers):
            self._send_next()

    def _guard(self, action: Any) -> Any:
        try:
            return action()
        except StopIteration:
            raise
        except BaseException:
            self.pool.close()
            raise

    def next_batch(self) -> Any:
        answer = self._guard(self._next_answer)
        if isinstance(answer, Failure):
            answer.reraise()
        return answer

    def _next_answer(self) -> Any:
        while True:
            task = self._due()
            if task is None:
                if not self.loader.persistent_workers:
                    self.pool.close()
                raise StopIteration
            if task in self.answers:
                self.owners.pop(task)
                answer = self.answers.pop(task)
                self._send_next()
                return answer
            self._receive()

    def _due(self) -> int | None:
        """Returns the task to be returned next, None at the end; drops tasks that a worker's stream ended before."""
        if not self.loader.in_order and self.answers:
            return next(iter(self.answers))
        for task, owner in list(self.owners.items()):
            if task in self.answers or self.serving[owner]:
                return task
            del self.owners[task]
        return None

    def _receive(self) -> None:
        owner, (task, answer) = self.pool.receive(self.loader.timeout or None)
        if isinstance(answer, str) and answer == worker.STREAM_ENDED:
            self.serving[owner] = False
            self.owners.pop(task, None)
            self._send_next()
        else:
            self.answers[task] = answer

    def _send_next(self) -> None:
        receiver = self._receiver()
        if receiver is None:
            return
        try:
            index = next(self.indices)
        except StopIteration:
            return
        self.pool.send(receiver, self.sent, index)
        self.owners[self.sent] = receiver
        self.sent += 1

    def _receiver(self) -> int | None:
        assert self.loader.prefetch_factor is not None
        load = self.loader.prefetch_factor * self.loader.num_workers
        for _ in self.serving:
            candidate = next(self.turns)
            if not self.serving[candidate]:
                continue
            # Out of order, a slow worker must not be given more than its share.
            if self.loader.in_order or len(self.pool.workers[candidate].tasks) < load // sum(self.serving):
                return candidate
        return None


def _default_context() -> BaseContext:
    import multiprocessing

    chosen = multiprocessing.get_start_method(allow_none=True)
    if chosen != "spawn":  # "fork" may only be the platform's default
        chosen = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    if chosen == "forkserver":
        _preload()
    return multiprocessing.get_context(chosen)


def _preload() -> None:
    """Has the fork server import what workers need, once for all of them, unless the program chose what it imports."""
    from multiprocessing import forkserver

    server = forkserver._forkserver
    if getattr(server, "_preload_modules", None) == ["__main__"]:
        server.set_forkserver_preload(["torchplug.utils.data._utils.pool"])


def _fit_to_fork(loader: DataLoader[Any], job: worker.Job) -> worker.Job:
    """Returns the job. Raises RuntimeError for a fork while a backend is in use that does not survive it."""
    context: Any = loader.multiprocessing_context
    if context is not None and context.get_start_method() == "fork":
        for name in loaded():
            if not engine_for(name).backend.fork_safe:
                raise RuntimeError(
                    f"multiprocessing_context='fork' cannot be used after backend '{name}' has started: "
                    "its threads and device do not follow into a forked process; use 'forkserver' or 'spawn'"
                )
    return job
