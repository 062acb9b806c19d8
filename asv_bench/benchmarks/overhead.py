"""What one eager call costs beyond its arithmetic: 4x4 float32, with and without recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.libraries import NAMES, Suite, finish

CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda lib, x, y: x + y,
    "mul": lambda lib, x, y: x * y,
    "add number": lambda lib, x, y: x + 2.0,
    "matmul": lambda lib, x, y: x @ y,
    "reshape": lambda lib, x, y: x.reshape(2, 8),
    "t[1]": lambda lib, x, y: x[1],
    "sum": lambda lib, x, y: x.sum(),
    "exp": lambda lib, x, y: x.exp(),
    "relu": lambda lib, x, y: lib.relu(x),
}


class Call(Suite):
    """One call."""

    params = [NAMES, list(CALLS), ["no grad", "recording"]]
    param_names = ["backend", "call", "mode"]

    def prepare(self, lib: Any, call: str, mode: str) -> None:
        self.lib, self.call = lib, CALLS[call]
        self.x = lib.ones(4, 4).requires_grad_(mode == "recording")
        self.y = lib.ones(4, 4).requires_grad_(mode == "recording")
        self.call(lib, self.x, self.y)

    def time_call(self, name: str, call: str, mode: str) -> None:
        self.call(self.lib, self.x, self.y)


class Graph(Suite):
    """A hundred ops and their gradients; a whole tiny training step."""

    def prepare(self, lib: Any) -> None:
        self.lib = lib
        self.x = lib.ones(4, 4).requires_grad_()
        self.net = lib.nn.Sequential(lib.nn.Linear(4, 4), lib.nn.Linear(4, 4))
        self.optimizer = lib.optim.SGD(self.net.parameters(), lr=0.01)
        self.target = lib.ones(4, 4)

    def time_hundred_ops_and_backward(self, name: str) -> None:
        y = self.x
        for _ in range(50):
            y = y * self.x + self.x
        y.backward(self.target)
        self.x.grad = None
        finish(name)

    def time_tiny_training_step(self, name: str) -> None:
        self.optimizer.zero_grad()
        loss = self.lib.nn.functional.mse_loss(self.net(self.target), self.target)
        loss.backward()
        self.optimizer.step()
        finish(name)
