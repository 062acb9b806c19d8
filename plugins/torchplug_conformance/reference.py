"""The reference: the declared functions in double precision, on a plain engine without kernels of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

import torchplug
from torchplug_spec import DType, registry
from torchplug_spec import dtypes as dt
from torchplug_strict import StrictBackend

__all__ = ["REFERENCE", "double_precision", "on_backend", "widened", "widened_dtype"]

REFERENCE = "reference"
"""The name of the reference engine in the registry of a process that runs the suite."""

_WIDE = {dt.float16: dt.float64, dt.bfloat16: dt.float64, dt.float32: dt.float64, dt.complex64: dt.complex128}


class ReferenceBackend(StrictBackend):
    """NumPy through the required functions alone, so that every function is its default composition."""

    name: ClassVar[str] = REFERENCE


def widened_dtype(dtype: DType) -> DType:
    """Returns the double-precision type of a dtype's kind; integers and bool as they are."""
    return _WIDE.get(dtype, dtype)


def widened(value: Any) -> Any:
    """Returns an argument of a sample in double precision: arrays and dtypes."""
    if isinstance(value, np.ndarray):
        return value.astype(widened_dtype(dt.from_numpy_dtype(value.dtype)).numpy)
    return widened_dtype(value) if isinstance(value, DType) else value


@contextlib.contextmanager
def on_backend(name: str) -> Iterator[None]:
    """Makes a backend the default one inside a with block; the reference is registered when first used."""
    if name == REFERENCE and REFERENCE not in registry.names():
        registry.register(ReferenceBackend)
    with torchplug.use_backend(name):
        yield


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Makes float64 the default dtype inside a with block."""
    before = torchplug.get_default_dtype()
    torchplug.set_default_dtype(dt.float64)
    try:
        yield
    finally:
        torchplug.set_default_dtype(before)
