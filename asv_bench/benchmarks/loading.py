"""Batches from a DataLoader: in-memory images, 64 a batch, no workers."""

from __future__ import annotations

from typing import Any

from benchmarks.libraries import NAMES, Suite


class Batches(Suite):
    """One epoch of 16 batches."""

    params = [NAMES, ["TensorDataset", "one sample at a time"]]
    param_names = ["backend", "dataset"]

    def prepare(self, lib: Any, dataset: str) -> None:
        images, labels = lib.randn(1024, 1, 28, 28), lib.randint(10, (1024,))
        data = lib.utils.data
        source = (
            data.TensorDataset(images, labels) if dataset == "TensorDataset" else list(zip(images, labels, strict=True))
        )
        self.loader = data.DataLoader(source, batch_size=64, shuffle=True)

    def time_epoch(self, name: str, dataset: str) -> None:
        for _batch in self.loader:
            pass
