"""A program whose DataLoader workers meet with an accident; prints what became of it as JSON: test_worker_faults.py."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torchplug as torch
from torchplug.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

FATAL_SAMPLE = 21


class Faulty(Dataset[Any]):
    """Forty numbers; reading number 21 does what `fault` says."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        if index == FATAL_SAMPLE:
            FAULTS[self.fault]()
        return torch.full((2,), float(index))


class FaultyBatches(Faulty):
    """The same, read a batch at a time."""

    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [self[index] for index in indices]


class FaultyStream(IterableDataset[Any]):
    """The same as a stream, half of it from each worker."""

    def __init__(self, fault: str) -> None:
        self.numbers = Faulty(fault)

    def __iter__(self) -> Any:
        me = get_worker_info()
        for index in range(40) if me is None else range(me.id, 40, me.num_workers):
            yield self.numbers[index]


def _sleep() -> None:
    time.sleep(3600)


def _deaf_sleep() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)


def _overflow() -> None:
    import ctypes

    ctypes.string_at(0)


FAULTS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": _overflow,
    "term": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "exit": lambda: sys.exit(7),
    "hard exit": lambda: os._exit(9),
    "exception": lambda: 1 // 0,
    "stuck": _sleep,
    "deaf": _deaf_sleep,
}


def main(fault: str, method: str, style: str, workers: int) -> dict[str, Any]:
    dataset = {"samples": Faulty, "batches": FaultyBatches, "stream": FaultyStream}[style](fault)
    quick = fault in ("stuck", "deaf", "stop")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        list(DataLoader(Faulty("none"), num_workers=1, multiprocessing_context=method))  # starts what stays for good
    before = _descriptors()
    result: dict[str, Any] = {"batches": 0}
    loader = DataLoader(
        dataset, batch_size=4, num_workers=workers, multiprocessing_context=method, timeout=0.5 if quick else 0
    )
    start = time.monotonic()
    try:
        for _ in loader:
            result["batches"] += 1
            start = time.monotonic()
    except Exception as error:
        result["error"], result["message"] = type(error).__name__, str(error)
        del error
    result["seconds"] = time.monotonic() - start  # from the last batch to the end, workers gone
    result["descriptors"] = _descriptors() - before
    return result


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


if __name__ == "__main__":
    kind, method, style, workers = sys.argv[1:]
    print(json.dumps(main(kind, method, style, int(workers))))
