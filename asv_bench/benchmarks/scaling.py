"""How costs grow: operations in a graph, parameters of a model, size of the batch, length of the sequence, elements."""

from __future__ import annotations

from typing import Any

from benchmarks.libraries import NAMES, Suite, finish


class Operations(Suite):
    """A graph of so many operations on 4x4 matrices, and its gradients."""

    params = [NAMES, [10, 100, 1_000, 10_000]]
    param_names = ["backend", "operations"]

    def prepare(self, lib: Any, operations: int) -> None:
        self.x, self.seed = lib.ones(4, 4).requires_grad_(), lib.ones(4, 4)
        self.time_graph(self.name, 10)

    def time_graph(self, name: str, operations: int) -> None:
        y = self.x
        for _ in range(operations // 2):
            y = y * 0.5 + self.x
        y.backward(self.seed)
        self.x.grad = None
        finish(name)


class Parameters(Suite):
    """A step of Adam over so many parameters of 64 elements each."""

    params = [NAMES, [1, 10, 100, 1_000]]
    param_names = ["backend", "parameters"]

    def prepare(self, lib: Any, parameters: int) -> None:
        held = [lib.nn.Parameter(lib.ones(64)) for _ in range(parameters)]
        for p in held:
            p.grad = lib.ones(64)
        self.optimizer = lib.optim.Adam(held)
        self.optimizer.step()

    def time_step(self, name: str, parameters: int) -> None:
        self.optimizer.step()
        finish(name)


class Batch(Suite):
    """Forward and backward of a perceptron 256-256-10 on so many samples."""

    params = [NAMES, [1, 4, 16, 64, 256, 1_024, 4_096]]
    param_names = ["backend", "samples"]

    def prepare(self, lib: Any, samples: int) -> None:
        nn = lib.nn
        self.net = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
        self.x = lib.randn(samples, 256)
        self.time_gradients(self.name, samples)

    def time_gradients(self, name: str, samples: int) -> None:
        self.net(self.x).sum().backward()
        finish(name)

    def peakmem_gradients(self, name: str, samples: int) -> None:
        self.time_gradients(name, samples)


class Sequence(Suite):
    """Causal attention of 4 heads of width 32 over so many places, and its gradients."""

    params = [NAMES, [16, 64, 256, 1_024]]
    param_names = ["backend", "places"]

    def prepare(self, lib: Any, places: int) -> None:
        self.attend = lib.nn.functional.scaled_dot_product_attention
        self.parts = [lib.randn(2, 4, places, 32).requires_grad_() for _ in range(3)]
        self.time_attention(self.name, places)

    def time_attention(self, name: str, places: int) -> None:
        self.attend(*self.parts, is_causal=True).sum().backward()
        finish(name)

    def peakmem_attention(self, name: str, places: int) -> None:
        self.time_attention(name, places)


class Elements(Suite):
    """Three elementwise operations on so many elements, without gradients."""

    params = [NAMES, [10**exponent for exponent in range(2, 9)]]
    param_names = ["backend", "elements"]

    def prepare(self, lib: Any, elements: int) -> None:
        self.x = lib.rand(elements)

    def time_elementwise(self, name: str, elements: int) -> None:
        (self.x * self.x + self.x).relu()
        finish(name)

    def peakmem_elementwise(self, name: str, elements: int) -> None:
        self.time_elementwise(name, elements)
