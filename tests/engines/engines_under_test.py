"""The engines the contract tests run on, and how a test hands them values and reads them back."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from torchplug_spec import ArrayAPIBackend, Backend, BackendUnavailableError, DType, capability_for
from torchplug_spec import dtypes as dt

__all__ = ["ENGINES", "FLOATS", "INTEGERS", "Bench", "bench_of", "is_installed", "reference", "tolerance"]

INTEGERS = (dt.uint8, dt.int8, dt.int16, dt.int32, dt.int64)
FLOATS = (dt.float16, dt.bfloat16, dt.float32, dt.float64)


class _GenericBackend(ArrayAPIBackend):
    """What any namespace of the array API gets: NumPy through the standard's functions alone."""

    name = "generic"
    capabilities = frozenset({"complex", "float64", "float16"})
    xp = np


def _numpy() -> Backend:
    from torchplug_numpy import NumPyBackend

    return NumPyBackend()


def _strict() -> Backend:
    from torchplug_strict import StrictBackend

    return StrictBackend()


def _jax() -> Backend:
    import torchplug_jax

    return torchplug_jax.build()


def _cupy() -> Backend:
    import torchplug_cupy

    return torchplug_cupy.build()


def _cupy_engine_over_numpy() -> Backend:
    import fake_cupy

    return fake_cupy.engine()


ENGINES: dict[str, Callable[[], Backend]] = {
    "generic": _GenericBackend,
    "numpy": _numpy,
    "strict": _strict,
    "jax": _jax,
    "cupy": _cupy,
    "cupy-over-numpy": _cupy_engine_over_numpy,
}
LIBRARIES = {"jax": "jax", "cupy": "cupy"}
"""The library an engine needs, where it may be absent."""


def is_installed(name: str) -> bool:
    """Says whether the library of an engine can be found; nothing is imported."""
    return name not in LIBRARIES or importlib.util.find_spec(LIBRARIES[name]) is not None


class Bench:
    """One engine with its first device: `bench.run("add", x, y)` takes and returns NumPy arrays."""

    def __init__(self, backend: Backend, name: str) -> None:
        self.backend = backend
        self.name = name
        self.device = backend.devices()[0]

    def __repr__(self) -> str:
        return f"<bench {self.name}>"

    def has(self, *capabilities: str) -> bool:
        return set(capabilities) <= self.backend.capabilities

    def holds(self, dtype: DType) -> bool:
        needed = capability_for(dtype)
        return needed is None or self.has(needed)

    def put(self, values: Any, dtype: DType | None = None) -> Any:
        host = np.asarray(values) if dtype is None else np.asarray(values).astype(dtype.numpy)
        return self.backend.from_numpy(host, self.device)

    def get(self, array: Any) -> np.ndarray:
        return self.backend.to_numpy(array)

    def run(self, function: str, *arguments: Any) -> np.ndarray:
        placed = [self._placed(argument) for argument in arguments]
        called = getattr(self.backend, function)
        # A ufunc called bare warns; test_numpy_engine shows that the front end's users do not see it.
        with np.errstate(all="ignore") if isinstance(called, np.ufunc) else self.warnings():
            return self.get(called(*placed))

    def warnings(self) -> np.errstate:
        """Returns the state NumPy runs in: only engines whose own business it is must be quiet without help."""
        return np.errstate(all="warn" if self.name in ("numpy", "strict") else "ignore")

    def _placed(self, argument: Any) -> Any:
        if isinstance(argument, np.ndarray):
            return self.put(argument)
        if isinstance(argument, list):
            return [self._placed(each) for each in argument]
        return argument


def bench_of(name: str) -> Bench:
    """Returns the bench of an engine, built once; skips the test with the reason when it cannot be used here."""
    if name not in _BENCHES:
        try:
            _BENCHES[name] = Bench(ENGINES[name](), name)
        except BackendUnavailableError as error:
            pytest.skip(f"unavailable: {name}: {error}")
    return _BENCHES[name]


_BENCHES: dict[str, Bench] = {}


def reference(function: Callable[..., Any], *arguments: np.ndarray) -> np.ndarray:
    """Returns a NumPy function computed in float64 (complex128) and rounded once to the type of the first argument."""
    dtype = arguments[0].dtype
    wide = np.complex128 if dtype.kind == "c" else np.float64
    with np.errstate(all="ignore"):
        result = np.asarray(function(*[argument.astype(wide) for argument in arguments]))
        return result if result.dtype == bool else result.astype(dtype)


def tolerance(dtype: np.dtype) -> float:
    """Returns the relative error allowed to an elementwise function of a type."""
    return {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 1.3e-6, "complex64": 1.3e-6}.get(dtype.name, 1e-12)
