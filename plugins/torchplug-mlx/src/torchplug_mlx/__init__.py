"""Apple's MLX as a torchplug backend: arrays on the CPU, on Linux as on a Mac."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar

import mlx.core as mx
import numpy as np
from torchplug_spec import ArrayAPIBackend, Backend, DType, dtypes, required_functions
from torchplug_spec.backend import Array, Axis, Shape
from torchplug_spec.hookspecs import hookimpl

__all__ = ["MLXBackend", "plugin"]

_NOT_THE_STANDARDS = {"argmin", "roll", "searchsorted", "sort"}
"""Functions whose arguments or results differ; the default compositions take their place."""


class MLXBackend(ArrayAPIBackend):
    """MLX arrays, on the CPU, which becomes MLX's default device. No float64: its sine is a float's."""

    name: ClassVar[str] = "mlx"
    capabilities: ClassVar[frozenset[str]] = frozenset({"float16", "bfloat16", "streams"})
    is_lenient: ClassVar[bool] = True
    fork_safe: ClassVar[bool] = False  # MLX computes in threads of its own
    xp = mx

    def __init__(self) -> None:
        mx.set_default_device(mx.cpu)
        super().__init__()
        # MLX notes what is to be computed; what nobody reads would keep all that led to it alive.
        for name in {*required_functions(), *self.extra_kernels()}:
            if name not in ("devices", "device_of", "to_device", "synchronize", "to_numpy"):
                setattr(self, name, _queued(getattr(self, name)))

    def find(self, name: str) -> Callable[..., Any] | None:
        return None if name in _NOT_THE_STANDARDS else super().find(name)

    def native_dtype(self, dtype: DType) -> Any:
        return mx.bool_ if dtype is dtypes.bool_ else super().native_dtype(dtype)

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def device_of(self, x: Array) -> str:
        return "cpu"

    def synchronize(self, device: str) -> None:
        mx.synchronize()

    def from_numpy(self, x: np.ndarray, device: str) -> Array:
        return mx.array(x, dtype=self.native_dtype(dtypes.from_numpy_dtype(x.dtype)))

    def to_numpy(self, x: Array) -> np.ndarray:
        if x.dtype == mx.bfloat16:  # NumPy's buffers have no name for it
            return np.array(x.view(mx.uint16)).view(dtypes.bfloat16.numpy)
        return np.array(x)

    def full(self, shape: Shape, value: complex, dtype: DType, device: str) -> Array:
        return mx.broadcast_to(mx.array(value, self.native_dtype(dtype)), shape)

    def arange(self, start: float, stop: float, step: float, dtype: DType, device: str) -> Array:
        places = np.arange(max(0, math.ceil((stop - start) / step)))
        return self.from_numpy((start + places * step).astype(dtype.numpy), device)

    def floor_divide(self, x: Array, y: Array) -> Array:
        multiple = self.subtract(x, self.remainder(x, y))
        whole = mx.issubdtype(multiple.dtype, mx.integer)
        return mx.floor_divide(multiple, y) if whole else mx.round(mx.divide(multiple, y))

    def remainder(self, x: Array, y: Array) -> Array:
        self.refuse_zero_divisor(y)
        out = mx.remainder(x, y)
        return mx.where(out == 0, mx.array(x, out.dtype) * 0, out)  # a remainder of zero has the sign of x

    def sum(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return self._reduced(mx.sum, 0, x, axis, keepdims)

    def prod(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return self._reduced(mx.prod, 1, x, axis, keepdims)

    def _reduced(self, function: Callable[..., Array], start: int, x: Array, axis: Axis, keepdims: bool) -> Array:
        if x.size == 0:  # MLX's loop over nothing sometimes does not end
            return mx.full(np.empty(x.shape).sum(axis, keepdims=keepdims).shape, mx.array(start, x.dtype))
        return function(x, axis, keepdims).astype(x.dtype)

    def matmul(self, x: Array, y: Array) -> Array:
        if mx.issubdtype(x.dtype, mx.inexact):
            return mx.matmul(x, y)
        return self.sum(mx.expand_dims(x, -1) * mx.expand_dims(y, -3), -2, False)  # MLX multiplies matrices of floats

    def argsort(self, x: Array, axis: int, descending: bool) -> Array:
        return super().argsort(x, axis, True) if descending else mx.argsort(x, axis).astype(mx.int64)

    def scatter_add(self, x: Array, indices: Array, values: Array) -> Array:
        return x.at[indices].add(values) if values.shape[0] else x


def _queued(function: Callable[..., Array]) -> Callable[..., Array]:
    @functools.wraps(function)
    def call(*arguments: Any) -> Array:
        result = function(*arguments)
        mx.async_eval(result)
        return result

    return call


class Plugin:
    """What this distribution brings to torchplug."""

    @hookimpl
    def register_backend(self, register: Callable[[Callable[[], Backend]], None]) -> None:
        register(MLXBackend)


plugin = Plugin()
