"""DataLoader: batches of a dataset, read in this process or by workers, in PyTorch's order for the same seed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from torchplug._core.random import Generator
from torchplug.utils.data._utils.collate import default_collate, default_convert
from torchplug.utils.data._utils.iterators import DataLoaderIterator, ProcessIterator, WorkersIterator
from torchplug.utils.data._utils.worker import get_worker_info
from torchplug.utils.data.dataset import Dataset, IterableDataset
from torchplug.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

_T_co = TypeVar("_T_co", covariant=True)


class DataLoader(Generic[_T_co]):
    """An iterable over the batches of a dataset.

    Arguments are PyTorch's. `batch_size=None` yields single samples, passed through `default_convert`. With
    `num_workers` > 0 batches are read ahead (`prefetch_factor` per worker) by processes that compute with the numpy
    backend and start by forkserver (`multiprocessing_context` chooses another way); batches arrive in the order of the
    sampler unless `in_order` is False, on the default backend of this process. `timeout` is in seconds per batch, 0 for
    none. `pin_memory` has no effect on a CPU.

    Raises: ValueError and TypeError for arguments that contradict each other, in PyTorch's words. While iterating,
    RuntimeError when a worker dies (with pid, exit code or signal, and the sample it was reading) or takes too long;
    an exception in a worker arrives as its own class with the worker's traceback.
    """

    dataset: Dataset[_T_co]
    batch_size: int | None
    num_workers: int
    drop_last: bool
    timeout: float
    prefetch_factor: int | None
    _initialized = False
    _multiprocessing_context: BaseContext | None = None

    def __init__(
        self,
        dataset: Dataset[_T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: BaseContext | str | None = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self.is_stream = isinstance(dataset, IterableDataset)
        if self.is_stream:
            _check_stream(shuffle, sampler, batch_sampler)
        _check_sampling(batch_size, bool(shuffle), sampler, batch_sampler, drop_last)
        if sampler is None:
            sampler = self._default_sampler(bool(shuffle), generator)
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)
        self.persistent_workers = persistent_workers
        self.announced_length: int | None = None
        self._iterator: DataLoaderIterator | None = None
        self._initialized = True
        self.check_worker_number_rationality()

    def _default_sampler(self, shuffle: bool, generator: Generator | None) -> Any:
        if self.is_stream:
            return _Endless()
        if shuffle:
            return RandomSampler(self.dataset, generator=generator)  # type: ignore[arg-type]  # len() itself complains
        return SequentialSampler(self.dataset)  # type: ignore[arg-type]  # likewise

    def __setattr__(self, name: str, value: Any) -> None:
        if self._initialized and name in _FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    @property
    def multiprocessing_context(self) -> BaseContext | None:
        """How worker processes start; None for the default."""
        return self._multiprocessing_context

    @multiprocessing_context.setter
    def multiprocessing_context(self, value: BaseContext | str | None) -> None:
        self._multiprocessing_context = None if value is None else _as_context(value, self.num_workers)

    @property
    def batched(self) -> bool:
        """Whether samples are collated to batches."""
        return self.batch_sampler is not None

    @property
    def index_sampler(self) -> Any:
        """The order of what is read: of batches, or of single samples when these are not batched."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> Iterator[Any]:
        if self.num_workers == 0:
            return ProcessIterator(self)
        if not self.persistent_workers:
            self.check_worker_number_rationality()
            return WorkersIterator(self)
        if isinstance(self._iterator, WorkersIterator) and not self._iterator.closed:
            self._iterator.restart(self)
        else:
            self._iterator = WorkersIterator(self)
        return self._iterator

    def __len__(self) -> int:
        if not self.is_stream:
            return len(self.index_sampler)
        length = self.announced_length = len(self.dataset)  # type: ignore[arg-type]  # len() itself complains
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)

    def check_worker_number_rationality(self) -> None:
        """Warns when there are to be more workers than processors this process may use."""
        checked = hasattr(os, "sched_getaffinity")
        processors = len(os.sched_getaffinity(0)) if checked else os.cpu_count()
        if processors is not None and self.num_workers > processors:
            unchecked = "" if checked else " (`cpuset` is not taken into account)"
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. "
                f"Our suggested max number of worker in current system is {processors}{unchecked}, which is smaller "
                "than what this DataLoader is going to create. "
                "Please be aware that excessive worker creation might get DataLoader running slow or even freeze, "
                "lower the worker number to avoid potential slowness/freeze if necessary.",
                stacklevel=3,
            )


_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


class _Endless(Sampler[None]):
    """The order of a stream: it has no indices, only batches of a size."""

    def __iter__(self) -> Iterator[None]:
        while True:
            yield None


def _check_workers(num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool) -> None:
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing."
            "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_stream(shuffle: bool | None, sampler: Any, batch_sampler: Any) -> None:
    for name, value, given in (
        ("shuffle", shuffle, shuffle not in {False, None}),
        ("sampler", sampler, sampler is not None),
        ("batch_sampler", batch_sampler, batch_sampler is not None),
    ):
        if given:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}"
            )


def _check_sampling(batch_size: int | None, shuffle: bool, sampler: Any, batch_sampler: Any, drop_last: bool) -> None:
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None:
        if batch_size != 1 or shuffle or sampler is not None or drop_last:
            raise ValueError(
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
            )
    elif batch_size is None and drop_last:
        raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")


def _as_context(value: Any, num_workers: int) -> BaseContext:
    import multiprocessing

    if num_workers == 0:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading (num_workers > 0), "
            f"but got num_workers={num_workers}"
        )
    if isinstance(value, str):
        methods = multiprocessing.get_all_start_methods()
        if value not in methods:
            raise ValueError(
                f"multiprocessing_context option should specify a valid start method in {methods!r}, "
                f"but got multiprocessing_context={value!r}"
            )
        return multiprocessing.get_context(value)
    if not isinstance(value, multiprocessing.context.BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string specifying the start method, "
            f"but got multiprocessing_context={value}"
        )
    return value
