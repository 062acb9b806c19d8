"""Worker processes read what one process reads, in its order, with PyTorch's seeds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import loader_datasets as datasets
import pytest

import torchplug
from torchplug.utils.data import DataLoader, TensorDataset, get_worker_info


@pytest.fixture(autouse=True)
def few_processors() -> Iterator[None]:
    """Lets a test use more workers than there are processors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


def plain(batch: Any) -> Any:
    if isinstance(batch, list | tuple):
        return [plain(part) for part in batch]
    if isinstance(batch, dict):
        return {name: plain(part) for name, part in batch.items()}
    return (batch.dtype, batch.tolist()) if hasattr(batch, "dtype") else batch


def read(dataset: Any, seed: int = 5, epochs: int = 2, **arguments: Any) -> Any:
    """All batches of some epochs, and what the default generator draws after them."""
    torchplug.manual_seed(seed)
    loader = DataLoader(dataset, **arguments)
    return [[plain(batch) for batch in loader] for _ in range(epochs)], torchplug.rand(3).tolist()


LOADERS: dict[str, dict[str, Any]] = {
    "in order": {"batch_size": 4},
    "shuffled": {"batch_size": 4, "shuffle": True},
    "whole batches": {"batch_size": 4, "shuffle": True, "drop_last": True},
    "single samples": {"batch_size": None, "shuffle": True},
    "batch sampler": {"batch_sampler": [[3, 1], [2], [5, 5, 5]]},
    "collate": {"batch_size": 5, "collate_fn": datasets.as_texts},
}


@pytest.mark.parametrize("name", LOADERS)
def test_results_do_not_depend_on_the_number_of_workers(name: str) -> None:
    alone = read(datasets.Squares(), **LOADERS[name])
    for workers in (1, 2, 3):
        assert read(datasets.Squares(), num_workers=workers, **LOADERS[name]) == alone


@pytest.mark.parametrize(
    "arguments", [{"prefetch_factor": 1}, {"prefetch_factor": 9}, {"multiprocessing_context": "spawn"}]
)
def test_results_do_not_depend_on_how_workers_are_kept(arguments: dict[str, Any]) -> None:
    alone = read(datasets.Squares(), batch_size=3, shuffle=True)
    assert read(datasets.Squares(), batch_size=3, shuffle=True, num_workers=2, **arguments) == alone


def test_workers_that_are_kept_give_pytorchs_recorded_epochs() -> None:
    torchplug.manual_seed(5)
    loader = DataLoader(range(9), 3, shuffle=True, num_workers=2, persistent_workers=True)  # type: ignore[arg-type]
    assert [[batch.tolist() for batch in loader] for _ in range(3)] == RECORDED_EPOCHS
    assert torchplug.rand(1).item() == pytest.approx(0.0333, abs=5e-5)


RECORDED_EPOCHS = [
    [[5, 3, 2], [8, 6, 4], [1, 7, 0]], [[8, 6, 3], [2, 0, 7], [1, 4, 5]], [[7, 4, 8], [5, 3, 6], [2, 1, 0]],
]  # fmt: skip
"""PyTorch 2.13.0, from the same seed. Unlike workers that start anew, these draw a seed for the first epoch only."""


def test_out_of_order_batches_are_all_there() -> None:
    batches = [plain(batch)[1] for batch in DataLoader(datasets.Squares(), 4, num_workers=2, in_order=False)]
    assert sorted(sum((batch[1] for batch in batches), [])) == list(range(23))


@pytest.mark.parametrize("persistent", [False, True])
def test_a_loop_left_early_does_not_disturb_the_next(persistent: bool) -> None:
    loader = DataLoader(datasets.Squares(), 2, num_workers=2, persistent_workers=persistent)
    for _ in range(3):
        next(iter(loader))
    assert [plain(batch)[1][1][0] for batch in loader] == list(range(0, 23, 2))


def test_every_element_type_arrives_as_it_was() -> None:
    alone, _ = read(datasets.Lifelike(), batch_size=2)
    assert read(datasets.Lifelike(), batch_size=2, num_workers=1)[0] == alone


@pytest.mark.parametrize("backend", ["numpy", "strict"])
def test_batches_arrive_on_the_default_backend_and_can_be_written(backend: str) -> None:
    with torchplug.use_backend(backend):
        values = torchplug.arange(300_000.0).reshape(3, 100_000)
        (batch,) = next(iter(DataLoader(TensorDataset(values), 3, num_workers=1)))
        assert batch._kind.engine.name == backend
        batch.add_(1)
        assert batch[:, -1].tolist() == [100_000.0, 200_000.0, 300_000.0]
        assert values[0, 0].item() == 0


def test_workers_write_to_copies_of_a_large_tensor() -> None:
    rows = torchplug.arange(400_000.0).reshape(4, 100_000)
    for _ in range(2):
        loader = DataLoader(datasets.Shared(rows), None, sampler=[0, 1, 2, 3], num_workers=2)
        assert [batch[1].item() for batch in loader] == [1.0, 100_001.0, 200_001.0, 300_001.0]
    assert rows.min().item() == 0


def test_workers_know_who_they_are() -> None:
    loader = DataLoader(datasets.Where(), None, num_workers=2, worker_init_fn=datasets.tag_worker)
    assert [tuple(sample) for sample in loader] == [(i, i % 2, 2, True, f"worker {i % 2}", "numpy") for i in range(6)]
    assert get_worker_info() is None


def test_workers_compute_with_numpy_whatever_the_default_backend_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHPLUG_BACKEND", "strict")
    with torchplug.use_backend("strict"):
        loader = DataLoader(datasets.Where(), None, num_workers=1)
        assert {sample[-1] for sample in loader} == {"numpy"}


def test_the_default_dtype_reaches_the_workers() -> None:
    torchplug.set_default_dtype(torchplug.float64)
    try:
        (batch, *_) = next(iter(DataLoader(datasets.Squares(), 2, num_workers=1)))
        assert batch.dtype == torchplug.float64
    finally:
        torchplug.set_default_dtype(torchplug.float32)


DRAWS_OF_PYTORCH = """
import json, random
import numpy, torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

class Draws(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        me = get_worker_info()
        drawn = torch.rand(()).item(), random.random(), float(numpy.random.rand())
        return (index, me.id, me.seed, torch.initial_seed(), *drawn)

torch.manual_seed(9)
print(json.dumps(list(DataLoader(Draws(), None, num_workers=2, multiprocessing_context="fork"))))
"""
"""A process of its own: PyTorch's workers are forked, which a process with JAX in it does not survive."""


def test_seeds_and_draws_in_workers_are_pytorchs() -> None:
    pytest.importorskip("torch")
    torchplug.manual_seed(9)
    ours = [tuple(sample) for sample in DataLoader(datasets.Draws(), None, num_workers=2)]
    done = subprocess.run([sys.executable, "-c", DRAWS_OF_PYTORCH], capture_output=True, text=True, check=True)
    assert ours == [tuple(sample) for sample in json.loads(done.stdout)]


RECORDED_SEEDS = [
    (0, 0, 900450186894289455, 900450186894289455, 0.7821398973464966, 0.21315340548154382, 0.8371640508861415),
    (1, 1, 900450186894289456, 900450186894289456, 0.6938178539276123, 0.7733861492043289, 0.6702704958690073),
    (2, 0, 900450186894289455, 900450186894289455, 0.053598999977111816, 0.2764485855185723, 0.38757835109739946),
]
"""PyTorch 2.13.0: manual_seed(0); three samples of DataLoader(Draws(), None, num_workers=2)."""


def test_recorded_seeds_and_draws() -> None:
    torchplug.manual_seed(0)
    samples = [tuple(sample) for sample in DataLoader(datasets.Draws(), None, num_workers=2)]
    assert samples[:3] == RECORDED_SEEDS


STREAMS: dict[str, tuple[int, dict[str, Any], list[Any]]] = {
    "even": (8, {"batch_size": 2}, [[0, 2], [1, 3], [4, 6], [5, 7]]),
    "uneven": (7, {"batch_size": 2}, [[0, 2], [1, 3], [4, 6], [5]]),
    "whole batches": (7, {"batch_size": 2, "drop_last": True}, [[0, 2], [1, 3], [4, 6]]),
    "one by one": (3, {"batch_size": None}, [0, 1, 2]),
    "short": (1, {"batch_size": 4}, [[0]]),
    "empty": (0, {"batch_size": 4}, []),
}


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("name", STREAMS)
def test_streams_are_read_in_turn_until_each_worker_ends(name: str, persistent: bool) -> None:
    stop, arguments, expected = STREAMS[name]
    loader = DataLoader(datasets.Counting(stop), num_workers=2, persistent_workers=persistent, **arguments)
    for _ in range(2):
        assert [batch if isinstance(batch, int) else batch.tolist() for batch in loader] == expected


def test_a_stream_that_every_worker_repeats_is_warned_of() -> None:
    loader = DataLoader(datasets.Counting(4, announced=2), None, num_workers=2)
    assert len(loader) == 2
    with pytest.warns(UserWarning, match="not properly configuring the IterableDataset replica at each worker"):
        list(loader)


FAILURES: dict[str, tuple[Exception, type[Exception]]] = {
    "ValueError": (ValueError("bad sample"), ValueError),
    "KeyError": (KeyError("bad sample"), KeyError),
    "StopIteration": (StopIteration("bad sample"), StopIteration),
    "of two arguments": (datasets.TwoArguments("bad sample", "b"), RuntimeError),
    "UnicodeDecodeError": (UnicodeDecodeError("utf8", b"a", 0, 1, "bad sample"), RuntimeError),
}


@pytest.mark.parametrize("name", [name for name in FAILURES if name != "StopIteration"])
def test_an_exception_arrives_as_itself_if_it_can_be_made_from_text(name: str) -> None:
    error, kind = FAILURES[name]
    loader = DataLoader(datasets.Fails(error), None, num_workers=2)
    with pytest.raises(kind, match="bad sample") as caught:
        list(loader)
    assert type(caught.value) is kind
    beginning = (
        f"Caught {type(error).__name__} in DataLoader worker process 1. It was reading sample 3.\nOriginal Trace"
    )
    assert str(caught.value).startswith(beginning)


def test_after_an_exception_the_pass_can_go_on() -> None:
    iterator = iter(DataLoader(datasets.Fails(ValueError("bad sample")), None, num_workers=2))
    found: list[Any] = []
    while len(found) < 8:
        try:
            found.append(next(iterator))
        except ValueError:
            found.append("failed")
    assert found == [0, 1, 2, "failed", 4, 5, 6, 7]


def test_a_worker_init_fn_that_fails_is_reported() -> None:
    with pytest.raises(ValueError, match="not worker 0"):
        list(DataLoader(datasets.Where(), num_workers=1, worker_init_fn=datasets.refuse_worker))


def test_a_batch_that_cannot_be_sent_is_reported() -> None:
    loader = DataLoader(datasets.Squares(), 2, num_workers=1, collate_fn=datasets.with_lambda)
    with pytest.raises(Exception, match="Can't pickle local object|Can't get local object"):
        list(loader)


def test_a_batch_whose_gradient_would_cross_processes_is_refused() -> None:
    x = torchplug.ones(4, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor which requires_grad"):
        list(DataLoader(TensorDataset(x), 2, num_workers=1))


UNSENDABLE: dict[str, Callable[[], dict[str, Any]]] = {
    "lambda": lambda: {"collate_fn": lambda batch: batch},
    "local class": lambda: {"worker_init_fn": type("Local", (), {"__call__": lambda self, i: None})()},
}


@pytest.mark.parametrize("name", UNSENDABLE)
def test_what_cannot_be_sent_to_a_worker_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(Exception, match="Can't|not the same object|lookup") as caught:
        iter(DataLoader(datasets.Squares(), num_workers=1, **UNSENDABLE[name]()))
    assert "num_workers=0" in "\n".join(caught.value.__notes__)


def test_fork_is_refused_once_a_backend_is_live_that_does_not_survive_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchplug._core.kind import engine_for

    monkeypatch.setattr(type(engine_for("strict").backend), "fork_safe", False)
    with pytest.raises(RuntimeError, match="multiprocessing_context='fork' cannot be used after backend 'strict'"):
        iter(DataLoader(datasets.Squares(), num_workers=1, multiprocessing_context="fork"))


SCRIPT = """
import torchplug as torch
from torchplug.utils.data import DataLoader, Dataset, TensorDataset
{definition}
print("here", flush=True)
loader = DataLoader({dataset}, num_workers=2)
{guard}
for batch in loader:
    print(batch)
"""

DEFINITION = """
class Own(Dataset):
    def __len__(self): return 2
    def __getitem__(self, index): return index * 10
"""


def run(tmp_path: Path, **fields: str) -> tuple[int, str, str]:
    import subprocess

    script = tmp_path / "program.py"
    script.write_text(SCRIPT.format(**{"definition": "", "guard": "", **fields}))
    roots = [str(Path(__file__).parents[2] / root) for root in ("frontend", "backends", "plugins")]
    path = os.pathsep.join([*roots, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_script_without_a_guard_can_have_workers_for_the_datasets_of_other_modules(tmp_path: Path) -> None:
    code, out, err = run(tmp_path, dataset="TensorDataset(torch.arange(2))")
    assert (code, out, err) == (0, "here\n[tensor([0])]\n[tensor([1])]\n", "")


def test_a_script_without_a_guard_is_told_to_have_one_for_datasets_of_its_own(tmp_path: Path) -> None:
    code, _, err = run(tmp_path, definition=DEFINITION, dataset="Own()")
    assert code == 1
    assert "if __name__ == '__main__':" in err.strip().splitlines()[-1]


def test_a_script_with_a_guard_can_have_workers_for_datasets_of_its_own(tmp_path: Path) -> None:
    guard = "if __name__ != '__main__': loader = ()"
    code, out, err = run(tmp_path, definition=DEFINITION, dataset="Own()", guard=guard)
    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if line != "here"] == ["tensor([0])", "tensor([10])"]
