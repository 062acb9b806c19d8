"""What one eager call costs beyond its arithmetic: 4x4 float32, with and without recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.libraries import NAMES, Suite, finish

CALLS = {
    "add": "x + y",
    "mul": "x * y",
    "add number": "x + 2.0",
    "matmul": "x @ y",
    "reshape": "x.reshape(2, 8)",
    "t[1]": "x[1]",
    "sum": "x.sum()",
    "exp": "x.exp()",
    "relu": "relu(x)",
}


def hundred(expression: str) -> Callable[..., None]:
    """Returns a function of x, y and relu that evaluates an expression 100 times: a call of Python's own would count too."""
    names: dict[str, Any] = {}
    exec(f"def run(x, y, relu):\n    for _ in range(100):\n        {expression}", names)
    run: Callable[..., None] = names["run"]
    return run


class Call(Suite):
    """A hundred calls, one after the other."""

    params = [NAMES, list(CALLS), ["no grad", "recording"]]
    param_names = ["backend", "call", "mode"]

    def prepare(self, lib: Any, call: str, mode: str) -> None:
        self.relu, self.run = lib.relu, hundred(CALLS[call])
        self.x = lib.ones(4, 4).requires_grad_(mode == "recording")
        self.y = lib.ones(4, 4).requires_grad_(mode == "recording")
        self.run(self.x, self.y, self.relu)

    def time_call(self, name: str, call: str, mode: str) -> None:
        self.run(self.x, self.y, self.relu)


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
