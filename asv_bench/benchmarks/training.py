"""Whole training steps, eager and compiled, of perceptrons, convolutional nets, an LSTM and a transformer; their memory."""

from __future__ import annotations

import time
from typing import Any

from benchmarks import by_hand
from benchmarks.libraries import ENGINES, NAMES, Suite, finish, library, using
from benchmarks.models import gpt, perceptron, recurrent_net, residual_net, small_perceptron, tutorial_net

CASES: dict[str, tuple[Any, tuple[int, ...], int, str]] = {
    "MLP 64x1000-100-10 SGD": (small_perceptron, (64, 1000), 10, "SGD"),
    "MLP 64x1000-100-10 Adam": (small_perceptron, (64, 1000), 10, "Adam"),
    "MLP 784-512-512-10 batch 128 Adam": (perceptron, (128, 784), 10, "Adam"),
    "CNN of the tutorials batch 64": (tutorial_net, (64, 1, 28, 28), 10, "SGD"),
    "ResNet-18 half width batch 32": (residual_net, (32, 3, 32, 32), 10, "SGD"),
    "LSTM 128 of 64 steps batch 32 SGD": (recurrent_net, (32, 64, 128), 10, "SGD"),
    "GPT 4 layers width 128 batch 8x128 AdamW": (gpt, (8, 128), 65, "AdamW"),
}
"""Case -> model, shape of the input, classes, optimizer. A model of tokens takes integers."""


def make_step(lib: Any, case: str) -> Any:
    """Returns a training step without arguments."""
    build, shape, classes, optimizer_name = CASES[case]
    lib.manual_seed(0)
    net = build(lib)
    optimizer = getattr(lib.optim, optimizer_name)(net.parameters(), lr=0.01 if optimizer_name == "SGD" else 1e-3)
    if build is gpt:
        x, y = lib.randint(classes, shape), lib.randint(classes, (shape[0] * shape[1],))
    else:
        x, y = lib.randn(*shape), lib.randint(classes, (shape[0],))

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

    def prepare_by_hand(self, name: str, model: str) -> None:
        self.step = by_hand.make_step(name, model)

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
