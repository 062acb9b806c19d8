"""Functions that engines and plugins fuse, on matrices of the sizes nets have, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from benchmarks.libraries import NAMES, Suite, finish

SHAPES = {"64x1000": (64, 1000), "1024x768": (1024, 768), "8x128x512": (8, 128, 512)}

Function = Callable[..., Any]


def _layer_norm(lib: Any, shape: tuple[int, ...]) -> Function:
    width = shape[-1]
    weight, bias = lib.rand(width, requires_grad=True), lib.rand(width, requires_grad=True)
    return lambda x: lib.nn.functional.layer_norm(x, (width,), weight, bias)


def _cross_entropy(lib: Any, shape: tuple[int, ...]) -> Function:
    rows, width = math.prod(shape[:-1]), shape[-1]
    labels = lib.arange(rows) % width
    return lambda x: lib.nn.functional.cross_entropy(x.reshape(rows, width), labels)


def _embedding(lib: Any, shape: tuple[int, ...]) -> Function:
    rows, width = math.prod(shape[:-1]), shape[-1]
    words = lib.arange(1024) * 7 % rows
    return lambda x: lib.nn.functional.embedding(words, x.reshape(rows, width))


CASES: dict[str, Callable[[Any, tuple[int, ...]], Function]] = {
    "softmax": lambda lib, shape: lambda x: lib.softmax(x, -1),
    "log_softmax": lambda lib, shape: lambda x: lib.log_softmax(x, -1),
    "layer_norm": _layer_norm,
    "gelu": lambda lib, shape: lib.nn.functional.gelu,
    "gelu tanh": lambda lib, shape: lambda x: lib.nn.functional.gelu(x, approximate="tanh"),
    "silu": lambda lib, shape: lib.nn.functional.silu,
    "cross_entropy": _cross_entropy,
    "embedding": _embedding,
}


class Kernel(Suite):
    """One function, and its gradients alone."""

    params = [NAMES, list(CASES), list(SHAPES)]
    param_names = ["backend", "function", "shape"]

    def prepare(self, lib: Any, function: str, shape: str) -> None:
        lib.manual_seed(0)
        self.function = CASES[function](lib, SHAPES[shape])
        self.x = lib.randn(*SHAPES[shape]).requires_grad_()
        self.out = self.function(self.x)
        self.g = lib.ones_like(self.out) + 0  # elements of its own, as a gradient has inside a net
        self.grad, self.no_grad = lib.autograd.grad, lib.no_grad
        self.time_backward(self.name)

    def time_forward(self, name: str, *_: Any) -> None:
        with self.no_grad():
            self.function(self.x)
        finish(name)

    def time_backward(self, name: str, *_: Any) -> None:
        self.grad(self.out, self.x, self.g, retain_graph=True)
        finish(name)
