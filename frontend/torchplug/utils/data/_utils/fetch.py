"""Reading one batch (or one sample) from a dataset: by index from a map, in turn from a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torchplug.utils.data._utils.collate import default_collate

__all__ = ["MapFetcher", "Progress", "StreamFetcher", "batch_reader"]

Progress = Callable[[int], None]
"""Called with the place in the batch of the sample that is about to be read: a worker's death can be laid to it.
-1 stands for the whole batch; in a stream samples are counted from the first."""


class MapFetcher:
    """Reads samples of a map dataset by index and collates them.

    `batched` says that an index is the list of a whole batch. Takes the dataset's `__getbatch__` where the batch would
    be collated in the default way, else its `__getitems__`, else one sample after another.
    """

    def __init__(
        self, dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], progress: Progress | None = None
    ) -> None:
        self.dataset = dataset
        self.batched = batched
        self.collate_fn = collate_fn
        self.progress = progress
        self.reader = batch_reader(dataset) if batched and collate_fn is default_collate else None

    def fetch(self, index: Any) -> Any:
        """Returns the collated batch (or sample) of an index."""
        if self.progress is not None:
            self.progress(-1)
        if self.reader is not None:
            batch = self.reader(index)
            if batch is not NotImplemented:
                return batch
        return self.collate_fn(self._samples(index))

    def _samples(self, index: Any) -> Any:
        dataset, progress = self.dataset, self.progress
        if not self.batched:
            return dataset[index]
        if getattr(dataset, "__getitems__", None):
            return dataset.__getitems__(index)
        if progress is None:
            return [dataset[each] for each in index]
        samples = []
        for place, each in enumerate(index):
            progress(place)
            samples.append(dataset[each])
        return samples


def batch_reader(dataset: Any) -> Callable[[Any], Any] | None:
    """Returns the dataset's `__getbatch__`, None if it has none or a subclass changed what a sample is."""
    for kind in type(dataset).__mro__:
        own = vars(kind)
        if "__getbatch__" in own:
            reader: Callable[[Any], Any] = dataset.__getbatch__
            return reader
        if "__getitem__" in own or "__getitems__" in own:
            return None
    return None


class StreamFetcher:
    """Reads the next samples of an iterable dataset and collates them; StopIteration at its end.

    An index is only the size of a batch: a list of so many Nones.
    """

    def __init__(
        self,
        dataset: Any,
        batched: bool,
        collate_fn: Callable[[Any], Any],
        drop_last: bool,
        progress: Progress | None = None,
    ) -> None:
        self.samples: Iterator[Any] = iter(dataset)
        self.batched = batched
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.ended = False
        self.progress = progress
        self.count = 0

    def fetch(self, index: Any) -> Any:
        """Returns the collated next batch (or sample)."""
        if self.ended:
            raise StopIteration
        if not self.batched:
            return self.collate_fn(self._next())
        batch = []
        for _ in index:
            try:
                batch.append(self._next())
            except StopIteration:
                self.ended = True
                break
        if not batch or (self.drop_last and len(batch) < len(index)):
            raise StopIteration
        return self.collate_fn(batch)

    def _next(self) -> Any:
        if self.progress is not None:
            self.progress(self.count)
        self.count += 1
        return next(self.samples)
