"""Who is measured: every available backend, and as references, where they are installed, PyTorch and what one writes by
hand with JAX and with autograd.

TORCHPLUG_BENCH=numpy,jax,torch chooses among them, "numpy+numba" an engine with a plugin beside it. One thread for everybody, so that ratios mean kernels and overhead.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
for _slow in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(_slow, None)  # they make NumPy's products slower than the processor allows

import importlib.util  # noqa: E402
from contextlib import AbstractContextManager, nullcontext  # noqa: E402
from typing import Any  # noqa: E402

import torchplug  # noqa: E402

REFERENCE = "torch"
BY_HAND = {"jax-by-hand": "jax", "autograd": "autograd"}
"""Reference -> the package it is written with. They have forms of some benchmarks only, in `by_hand.py`."""


def _names() -> list[str]:
    chosen = os.environ.get("TORCHPLUG_BENCH")
    if chosen:
        return [name for name in chosen.split(",") if name]
    packages = {REFERENCE: "torch", **BY_HAND}
    references = [name for name, package in packages.items() if importlib.util.find_spec(package) is not None]
    return [*torchplug.backends.available(), *references]


NAMES = _names()
ENGINES = [name for name in NAMES if name != REFERENCE and name not in BY_HAND]


def library(name: str) -> Any:
    """Returns the module that plays PyTorch: torchplug for an engine, PyTorch itself for the reference."""
    if name in BY_HAND:
        raise NotImplementedError(f"{name} has no form of this benchmark")  # asv shows n/a
    if name == REFERENCE:
        import torch

        torch.set_num_threads(1)
        return torch
    return torchplug


def using(name: str) -> AbstractContextManager[Any]:
    """Makes an engine the default inside a with block."""
    return torchplug.use_backend(name) if name in ENGINES else nullcontext()


def finish(name: str) -> None:
    """Returns once all queued work of an engine is done."""
    if name not in ENGINES:
        return
    from torchplug._core.kind import engine_for

    engine = engine_for(name)
    engine.backend.synchronize(engine.default_device())


class Suite:
    """Base of benchmarks: `prepare(lib)` makes what is timed, with the engine of the first parameter as default."""

    params: list[Any] = [NAMES]
    param_names = ["backend"]
    timeout = 120.0

    def setup(self, name: str, *rest: Any) -> None:
        self.name = name
        self._scope = using(name)
        self._scope.__enter__()
        if name in BY_HAND:
            self.prepare_by_hand(name, *rest)
        else:
            self.prepare(library(name), *rest)

    def prepare_by_hand(self, name: str, *rest: Any) -> None:
        """Makes what is timed for a reference that is not PyTorch."""
        library(name)

    def teardown(self, name: str, *rest: Any) -> None:
        finish(name)
        self._scope.__exit__(None, None, None)

    def prepare(self, lib: Any, *rest: Any) -> None:
        raise NotImplementedError
