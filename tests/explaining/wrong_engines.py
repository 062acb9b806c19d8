"""Engines with one defect each for the tools to find: some of the suite's mutants, some of our own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from torchplug_numpy import NumPyBackend
from torchplug_spec import Backend, kernel

__all__ = ["CREATION", "DTYPE", "ERROR", "IN_TURN", "NEARLY", "POOR", "SHAPE", "mutant", "tired_after"]


def _load_mutants() -> Any:
    path = Path(__file__).parents[1] / "conformance" / "mutants.py"
    spec = importlib.util.spec_from_file_location("mutants_to_explain", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MUTANTS


_MUTANTS = _load_mutants()


def mutant(name: str) -> type[Backend]:
    """Returns an engine of the conformance suite's own test."""
    return _MUTANTS[name].backend()


def defective(**members: Any) -> type[Backend]:
    """Returns NumPy's engine with other members, called "mutant"."""
    return type("DefectiveBackend", (NumPyBackend,), {"name": "mutant", **members})


def tired_after(calls: int) -> type[Backend]:
    """Returns an engine whose tanh is one percent off from some call on."""
    count = iter(range(10_000))

    def tanh(self: Any, x: Any) -> Any:
        return np.tanh(x) * x.dtype.type(1.01 if next(count) >= calls else 1)

    return defective(tanh=kernel("tanh")(tanh))


def flattens_a_row(self: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return np.sum(x, axis=axis, keepdims=True)


def sums_in_turn(self: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return np.cumsum(x.reshape(-1), dtype=x.dtype)[-1].reshape(())


def doubles_what_it_fills(self: Any, shape: Any, value: Any, dtype: Any, device: str) -> Any:
    return np.full(shape, value * 2 if shape else value, dtype.numpy)


def raises_in_tanh(self: Any, x: Any) -> Any:
    raise RuntimeError("no tanh today")


def nearly_tanh(self: Any, x: Any) -> Any:
    return np.tanh(x) * x.dtype.type(1 + 1e-6)


def widens_tanh(self: Any, x: Any) -> Any:
    return np.tanh(x.astype(np.float64))


SHAPE = defective(sum=flattens_a_row)
IN_TURN = defective(sum=sums_in_turn)
CREATION = defective(full=doubles_what_it_fills)
ERROR = defective(tanh=kernel("tanh")(raises_in_tanh))
NEARLY = defective(tanh=kernel("tanh")(nearly_tanh))
DTYPE = defective(tanh=kernel("tanh")(widens_tanh))
POOR = defective(capabilities=frozenset(NumPyBackend.capabilities) - {"float64", "complex"})
