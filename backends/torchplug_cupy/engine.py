"""CuPy as a torchplug backend: strided arrays on GPUs, written in place, work queued on streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import cupy
import numpy as np

from torchplug_cupy.devices import DeviceControl, on_device_of_arguments, ordinal
from torchplug_cupy.fused import ELEMENTWISE, STEPS, FusedKernels
from torchplug_spec.backend import Array, Shape, required_functions
from torchplug_spec.dtypes import DType
from torchplug_spec.strided import StridedBackend

__all__ = ["CuPyBackend"]

_FORMER_NAMES = {
    "abs": "absolute", "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan",
    "atan2": "arctan2", "atanh": "arctanh", "bitwise_invert": "invert", "bitwise_left_shift": "left_shift",
    "bitwise_right_shift": "right_shift", "conj": "conjugate", "cumulative_prod": "cumprod", "cumulative_sum": "cumsum",
    "permute_dims": "transpose", "round": "rint",
}  # fmt: skip
"""The standard's names that CuPy 13 lacks, and NumPy 1's that it has."""

_BFLOAT16 = frozenset({"bfloat16"} if int(cupy.__version__.partition(".")[0]) >= 14 else ())
"""CuPy holds ml_dtypes' bfloat16 from version 14 on."""

_ON_NO_DEVICE = ("devices", "device_of", "to_device", "synchronize", "from_numpy", "to_numpy", "full", "arange")
"""Required functions that choose the GPU themselves."""

_ADDED_ATOMICALLY = frozenset({"int32", "uint32", "uint64", "float16", "float32", "float64"})
"""Element types for which CUDA has an atomic addition."""


class CuPyBackend(DeviceControl, FusedKernels, StridedBackend):
    """CuPy arrays on every GPU the driver shows. Integer division by zero gives 0, as PyTorch's does on GPUs."""

    name: ClassVar[str] = "cupy"
    capabilities: ClassVar[frozenset[str]] = StridedBackend.capabilities | {"devices", "streams"} | _BFLOAT16
    fork_safe: ClassVar[bool] = False
    xp = cupy

    def __init__(self) -> None:
        super().__init__()
        self._devices = [f"cuda:{place}" for place in range(cupy.cuda.runtime.getDeviceCount())]
        if len(self._devices) > 1:
            # A single GPU is always the current one, and its calls need no guard.
            own = ("assign", "as_strided", "complex", *ELEMENTWISE, *STEPS)
            for name in (*required_functions(), *own, *self.extra_kernels()):
                if name not in _ON_NO_DEVICE:
                    setattr(self, name, on_device_of_arguments(getattr(self, name)))

    def find(self, name: str) -> Callable[..., Any] | None:
        function = getattr(cupy, name, None)
        return function if function is not None else getattr(cupy, _FORMER_NAMES.get(name, name), None)

    # ---- devices and transfer ---------------------------------------------------------------------------------------

    def devices(self) -> Sequence[str]:
        return self._devices

    def device_of(self, x: Array) -> str:
        return f"cuda:{x.device.id}"

    def to_device(self, x: Array, device: str) -> Array:
        target = ordinal(device)
        if x.device.id == target:
            return x
        with cupy.cuda.Device(target):
            return x.copy()

    def synchronize(self, device: str) -> None:
        cupy.cuda.Device(ordinal(device)).synchronize()

    def from_numpy(self, x: np.ndarray, device: str) -> Array:
        """Returns a copy on the GPU."""
        with cupy.cuda.Device(ordinal(device)):
            return cupy.array(x)

    def to_numpy(self, x: Array) -> np.ndarray:
        """Returns a copy on the host, once the work `x` depends on is done."""
        return np.asarray(cupy.asnumpy(x))

    def full(self, shape: Shape, value: complex, dtype: DType, device: str) -> Array:
        with cupy.cuda.Device(ordinal(device)):
            return super().full(shape, value, dtype, device)

    def arange(self, start: float, stop: float, step: float, dtype: DType, device: str) -> Array:
        with cupy.cuda.Device(ordinal(device)):
            return super().arange(start, stop, step, dtype, device)

    # ---- functions that differ from NumPy's -------------------------------------------------------------------------

    def refuse_zero_divisor(self, y: Array) -> None:
        """Does nothing: looking would wait for the GPU, and PyTorch does not look there either."""

    def floor(self, x: Array) -> Array:
        return cupy.floor(x) if x.dtype.kind not in "iub" else x.copy()

    def matmul(self, x: Array, y: Array) -> Array:
        if x.dtype.char == "E":
            return super().matmul(x, y)
        return cupy.matmul(x, y)  # cuBLAS accumulates float16 in float32

    def argsort(self, x: Array, axis: int, descending: bool) -> Array:
        if descending:
            return super().argsort(x, axis, True)
        return (x.astype("float32") if x.dtype.char == "E" else x).argsort(axis)  # always stable; takes no `kind`

    def _sort(self, x: Array, axis: int, descending: bool) -> Array:
        if descending or x.dtype.char == "E":
            return super()._sort(x, axis, descending)
        return cupy.sort(x, axis)

    def scatter_add(self, x: Array, indices: Array, values: Array) -> Array:
        """Repeated indices are added in no fixed order: the last bits of floats may differ from run to run."""
        if x.dtype.name in _ADDED_ATOMICALLY:
            out = x.copy()
            cupy.add.at(out, indices, values)
            return out
        if x.dtype.kind == "c":
            return self._scatter_add_pairs(x, indices, values)
        if x.dtype.itemsize == 8:  # two's complement: a sum of int64 is the sum of the same bits as uint64
            return self.scatter_add(x.view("uint64"), indices, values.view("uint64")).view(x.dtype)
        wide = "float32" if x.dtype.kind in "fV" else "int32"
        return self.scatter_add(x.astype(wide), indices, values.astype(wide)).astype(x.dtype)

    def _scatter_add_pairs(self, x: Array, indices: Array, values: Array) -> Array:
        out = cupy.array(x, order="C")
        real = out.real.dtype
        cupy.add.at(out.view(real).reshape(-1, 2), indices, cupy.ascontiguousarray(values).view(real).reshape(-1, 2))
        return out

    # ---- capability `mutable` ---------------------------------------------------------------------------------------

    def storage_of(self, x: Array) -> tuple[Array, int]:
        owner = x if x.base is None else x.base
        low, high = _byte_bounds(owner)
        start = owner.data + (low - owner.data.ptr)
        flat = cupy.ndarray(((high - low) // x.itemsize,), x.dtype, start)
        return flat, (x.data.ptr - low) // x.itemsize

    def as_strided(self, x: Array, shape: Shape, strides: Shape, offset: int) -> Array:
        itemsize = x.itemsize
        return cupy.ndarray(shape, x.dtype, x.data + offset * itemsize, [stride * itemsize for stride in strides])

    def assign(self, x: Array, value: Array) -> None:
        if isinstance(value, cupy.ndarray):
            if value.dtype.kind == "c" and x.dtype.kind not in "cb":
                value = value.real
        elif isinstance(value, complex) and x.dtype.kind not in "cb":
            value = value.real
        x[...] = value


def _byte_bounds(x: Array) -> tuple[int, int]:
    """Returns the address of the first byte of `x` and the one after its last."""
    low = high = x.data.ptr
    for length, stride in zip(x.shape, x.strides, strict=True):
        if not length:
            return x.data.ptr, x.data.ptr
        low += min(0, (length - 1) * stride)
        high += max(0, (length - 1) * stride)
    return low, high + x.itemsize
