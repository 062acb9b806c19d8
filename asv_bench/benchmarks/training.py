"""Whole training steps: multi-layer perceptrons and the tutorials' CNN, eager and compiled; their memory."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.libraries import ENGINES, NAMES, Suite, finish, library, using


def _mlp(nn: Any) -> Any:
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def _small(nn: Any) -> Any:
    return nn.Sequential(nn.Linear(1000, 100), nn.ReLU(), nn.Linear(100, 10))


def _cnn(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
        nn.Linear(320, 10),
    )  # fmt: skip


CASES = {
    "MLP 64x1000-100-10 SGD": (_small, (64, 1000), "SGD"),
    "MLP 64x1000-100-10 Adam": (_small, (64, 1000), "Adam"),
    "MLP 784-512-512-10 batch 128 Adam": (_mlp, (128, 784), "Adam"),
    "CNN of the tutorials batch 64": (_cnn, (64, 1, 28, 28), "SGD"),
}


def make_step(lib: Any, case: str) -> Any:
    """Returns a training step without arguments."""
    build, shape, optimizer_name = CASES[case]
    lib.manual_seed(0)
    net = build(lib.nn)
    optimizer = getattr(lib.optim, optimizer_name)(net.parameters(), lr=0.01)
    x, y = lib.randn(*shape), lib.randint(10, (shape[0],))

    def step() -> Any:
        optimizer.zero_grad()
        loss = lib.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


class Eager(Suite):
    """A step as written."""

    params = [NAMES, list(CASES)]
    param_names = ["backend", "model"]

    def prepare(self, lib: Any, model: str) -> None:
        self.step = make_step(lib, model)
        self.step()

    def time_step(self, name: str, model: str) -> None:
        self.step()
        finish(name)

    def peakmem_step(self, name: str, model: str) -> None:
        self.step()
        finish(name)


class Compiled(Suite):
    """A step through torch.compile, once it is compiled; what compiling took is a row of its own."""

    params = [ENGINES, list(CASES)]
    param_names = ["backend", "model"]

    def prepare(self, lib: Any, model: str) -> None:
        self.step = lib.compile(make_step(lib, model))
        for _ in range(4):
            self.step()

    def time_step(self, name: str, model: str) -> None:
        self.step()
        finish(name)

    def track_first_calls(self, name: str, model: str) -> float:
        """Seconds from the first call to the first compiled result."""
        with using(name):
            step = library(name).compile(make_step(library(name), model))
            start = time.perf_counter()
            for _ in range(3):
                step()
            finish(name)
            return time.perf_counter() - start

    track_first_calls.unit = "seconds"  # type: ignore[attr-defined]
