"""The sampler that gives each process of a group its share of a dataset."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from torchplug._core.random import Generator
from torchplug.utils.data._utils import draws
from torchplug.utils.data.sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler[int]):
    """Every `num_replicas`-th index, from `rank` on, of one shuffle that all processes share.

    The shuffle is that of `seed + epoch`: call `set_epoch` before each epoch. Without drop_last the first indices are
    used twice so that all shares have one length. `num_replicas` and `rank` default to those of the process group.

    Raises: ValueError for a rank outside the group, or when there is no group to ask.
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        replicas = _group().get_world_size() if num_replicas is None else num_replicas
        place = _group().get_rank() if rank is None else rank
        if not 0 <= place < replicas:
            raise ValueError(f"Invalid rank {place}, rank should be in the interval [0, {replicas - 1}]")
        self.dataset = dataset
        self.num_replicas: int = replicas
        self.rank: int = place
        self.epoch = 0
        self.drop_last = drop_last
        length = len(dataset)
        self.num_samples = length // replicas if drop_last else -(-length // replicas)
        self.total_size = self.num_samples * replicas
        self.shuffle = shuffle
        self.seed = seed

    def __iter__(self) -> Iterator[int]:
        indices = list(range(len(self.dataset)))
        if self.shuffle:
            indices = draws.permutation(len(indices), Generator().manual_seed(self.seed + self.epoch)).tolist()
        while len(indices) < self.total_size:
            indices += indices[: self.total_size - len(indices)]
        return iter(indices[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Makes the next iteration use the shuffle of this epoch."""
        self.epoch = epoch


def _group() -> Any:
    # The floor below does not know process groups; a program that has one has loaded their module.
    module = sys.modules.get("torchplug.distributed")
    if module is None or not module.is_initialized():
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
    return module
