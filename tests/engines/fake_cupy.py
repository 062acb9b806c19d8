"""A module that answers as CuPy 13 does, over NumPy: it runs the CuPy engine's code where there is no GPU.

It has CuPy's memory pointers, devices, old function names and refusals (no `kind` in argsort, atomic additions for few
types). It says nothing of kernels, streams or speed: those need the GPU.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np
from host_kernels import ElementwiseKernel

__all__ = ["engine", "installed"]


class Pointer:
    """CuPy's MemoryPointer: an address inside a block of memory that it keeps alive."""

    def __init__(self, block: np.ndarray, offset: int) -> None:
        self.block, self.offset = block, offset
        self.ptr = block.__array_interface__["data"][0] + offset

    def __add__(self, distance: int) -> Pointer:
        return Pointer(self.block, self.offset + distance)


class ndarray(np.ndarray):  # noqa: N801  # the name is CuPy's
    def __new__(
        cls, shape: Any, dtype: Any = float, memptr: Pointer | None = None, strides: Any = None, order: str = "C"
    ) -> ndarray:
        if memptr is None:
            return super().__new__(cls, shape, dtype, order=order)
        return super().__new__(cls, shape, dtype, memptr.block, memptr.offset, strides)

    @property
    def data(self) -> Pointer:
        root = self._root().view(np.ndarray)
        dense = root if root.flags.c_contiguous else root.T
        block = dense.reshape(-1).view(np.uint8) if dense.size else dense.reshape(-1)
        return Pointer(block, self.__array_interface__["data"][0] - block.__array_interface__["data"][0])

    @property
    def base(self) -> ndarray | None:
        root = self._root()
        return None if root is self else root.view(ndarray)

    def _root(self) -> np.ndarray:
        root: np.ndarray = self
        while isinstance(np.ndarray.base.__get__(root), np.ndarray):
            root = np.ndarray.base.__get__(root)
        return root

    @property
    def device(self) -> Device:
        return Device(0)

    def argsort(self, axis: int = -1) -> Any:
        return own(np.ndarray.argsort(self, axis, kind="stable"))


class Device:
    def __init__(self, place: int = 0) -> None:
        if place >= 1:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.id = place

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *reason: object) -> None:
        pass

    def synchronize(self) -> None:
        pass

    mem_info = (3 << 30, 4 << 30)


class _Add:
    """cupy.add: callable, and `at` for the types CUDA adds atomically."""

    def __call__(self, x: Any, y: Any) -> Any:
        return own(np.add(x, y))

    def at(self, x: Any, indices: Any, values: Any) -> None:
        if x.dtype.char not in "iIefdLQ" or x.dtype == np.int64:
            raise TypeError("cupy.add.at only supports int32, float16, float32, float64, uint32, uint64, as data type")
        np.add.at(x.view(np.ndarray), np.asarray(indices), np.asarray(values))


def own(result: Any) -> Any:
    """Returns a result as CuPy gives it: an array, never a scalar."""
    return np.asarray(result).view(ndarray) if isinstance(result, (np.ndarray, np.generic)) else result


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        return own(function(*arguments, **options))

    return call


def _broadcast_to(x: Any, shape: Any) -> Any:
    """CuPy has no read-only arrays."""
    return own(np.lib.stride_tricks.as_strided(x, shape, np.broadcast_to(x, shape).strides, subok=True))


_ABSENT = {
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_invert", "bitwise_left_shift", "concat",
    "bitwise_right_shift", "permute_dims", "pow", "isdtype", "astype", "cumulative_sum", "cumulative_prod",
}  # fmt: skip
"""Names of the standard that CuPy 13 lacks."""


def module(devices: int = 1, failure: Exception | None = None) -> types.ModuleType:
    """Returns a stand-in for `cupy` that sees a number of GPUs, or fails to look for them."""
    fake = types.ModuleType("cupy")
    fake.__version__ = "13.4.0"

    def count() -> int:
        if failure is not None:
            raise failure
        return devices

    def lookup(name: str) -> Any:
        if name in _ABSENT or name.startswith("__"):
            raise AttributeError(f"module 'cupy' has no attribute {name!r}")
        return _wrapped(getattr(np, name))

    pool = types.SimpleNamespace(used_bytes=lambda: 512, total_bytes=lambda: 1024, free_all_blocks=lambda: None)
    fake.cuda = types.SimpleNamespace(
        Device=Device,
        runtime=types.SimpleNamespace(
            getDeviceCount=count,
            getDeviceProperties=lambda place: {
                "name": b"NVIDIA Paper", "totalGlobalMem": 4 << 30, "major": 9, "minor": 0, "multiProcessorCount": 2
            },
        ),
    )  # fmt: skip
    fake.get_default_memory_pool = fake.get_default_pinned_memory_pool = lambda: pool
    fake.ndarray = ndarray
    fake.ElementwiseKernel = ElementwiseKernel
    fake.add = _Add()
    fake.asnumpy = lambda x: np.array(x).view(np.ndarray)
    fake.broadcast_to = _broadcast_to
    fake.sort = lambda x, axis=-1: own(np.sort(x, axis))
    fake.__getattr__ = lookup
    return fake


@contextmanager
def installed(fake: types.ModuleType) -> Any:
    """Makes `import cupy` give the stand-in, and the engine's modules new ones over it."""
    names = ("cupy", "torchplug_cupy.engine", "torchplug_cupy.devices", "torchplug_cupy.fused")
    before = {name: sys.modules.pop(name, None) for name in names}
    sys.modules["cupy"] = fake
    try:
        yield
    finally:
        for name, former in before.items():
            sys.modules.pop(name, None)
            if former is not None:
                sys.modules[name] = former


def engine() -> Any:
    """Returns the CuPy engine over NumPy."""
    with installed(module()):
        return importlib.import_module("torchplug_cupy").build()
