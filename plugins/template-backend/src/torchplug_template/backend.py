"""The engine: torchplug's contract, function by function, in terms of the array library in `toy.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from torchplug_spec import Backend, DType, kernel

from torchplug_template import toy
from torchplug_template.toy import Array

__all__ = ["TemplateBackend"]

Shape = tuple[int, ...]
Axis = int | tuple[int, ...] | None


class TemplateBackend(Backend):
    """Immutable arrays on the host."""

    name: ClassVar[str] = "template"
    api_version: ClassVar[int] = 1
    capabilities: ClassVar[frozenset[str]] = frozenset({"complex", "float64", "float16"})

    # ---- creation and transfer --------------------------------------------------------------------------------------

    def devices(self) -> Sequence[str]:
        return ("cpu",)

    def device_of(self, x: Array) -> str:
        return "cpu"

    def to_device(self, x: Array, device: str) -> Array:
        return x

    def synchronize(self, device: str) -> None:
        """Does nothing: every function has finished when it returns."""

    def from_numpy(self, x: np.ndarray, device: str) -> Array:
        return toy.array(x)

    def to_numpy(self, x: Array) -> np.ndarray:
        return toy.contents(x)

    def full(self, shape: Shape, value: complex, dtype: DType, device: str) -> Array:
        return toy.apply(np.full, shape, value, dtype.name)

    def arange(self, start: float, stop: float, step: float, dtype: DType, device: str) -> Array:
        return toy.truncated(toy.apply(np.arange, start, stop, step), dtype.name)

    def astype(self, x: Array, dtype: DType) -> Array:
        return toy.truncated(x, dtype.name)

    # ---- elementwise ------------------------------------------------------------------------------------------------

    def add(self, x: Array, y: Array) -> Array:
        return toy.apply(np.add, x, y)

    def subtract(self, x: Array, y: Array) -> Array:
        return toy.apply(np.subtract, x, y)

    def multiply(self, x: Array, y: Array) -> Array:
        return toy.apply(np.multiply, x, y)

    def divide(self, x: Array, y: Array) -> Array:
        return toy.apply(np.divide, x, y)

    def floor_divide(self, x: Array, y: Array) -> Array:
        toy.refuse_zero(x, y)
        return toy.apply(np.floor_divide, x, y)

    def remainder(self, x: Array, y: Array) -> Array:
        toy.refuse_zero(x, y)
        return toy.apply(np.remainder, x, y)

    def pow(self, x: Array, y: Array) -> Array:
        return toy.power(x, y)

    def maximum(self, x: Array, y: Array) -> Array:
        return toy.apply(np.maximum, x, y)

    def minimum(self, x: Array, y: Array) -> Array:
        return toy.apply(np.minimum, x, y)

    def equal(self, x: Array, y: Array) -> Array:
        return toy.apply(np.equal, x, y)

    def less(self, x: Array, y: Array) -> Array:
        return toy.apply(np.less, x, y)

    def bitwise_and(self, x: Array, y: Array) -> Array:
        return toy.apply(np.bitwise_and, x, y)

    def bitwise_or(self, x: Array, y: Array) -> Array:
        return toy.apply(np.bitwise_or, x, y)

    def bitwise_invert(self, x: Array) -> Array:
        return toy.apply(np.bitwise_not, x)

    def abs(self, x: Array) -> Array:
        return toy.apply(np.abs, x)

    def exp(self, x: Array) -> Array:
        return toy.apply(np.exp, x)

    def log(self, x: Array) -> Array:
        return toy.apply(np.log, x)

    def sin(self, x: Array) -> Array:
        return toy.apply(np.sin, x)

    def cos(self, x: Array) -> Array:
        return toy.apply(np.cos, x)

    def atan(self, x: Array) -> Array:
        return toy.apply(np.arctan, x)

    def sqrt(self, x: Array) -> Array:
        return toy.apply(np.sqrt, x)

    def floor(self, x: Array) -> Array:
        return toy.apply(np.floor, x)

    def round(self, x: Array) -> Array:
        return toy.apply(np.round, x)

    def where(self, condition: Array, x: Array, y: Array) -> Array:
        return toy.apply(np.where, condition, x, y)

    # ---- reductions, products, shapes, selection --------------------------------------------------------------------

    def sum(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return toy.apply(np.sum, x, axis, x.dtype, keepdims=keepdims)

    def prod(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return toy.apply(np.prod, x, axis, x.dtype, keepdims=keepdims)

    def max(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return toy.apply(np.max, x, axis, keepdims=keepdims)

    def argmax(self, x: Array, axis: int, keepdims: bool) -> Array:
        return toy.apply(np.argmax, x, axis, keepdims=keepdims)

    def matmul(self, x: Array, y: Array) -> Array:
        return toy.apply(np.matmul, x, y)

    def reshape(self, x: Array, shape: Shape) -> Array:
        return toy.apply(np.reshape, x, shape)

    def permute_dims(self, x: Array, axes: tuple[int, ...]) -> Array:
        return toy.apply(np.transpose, x, axes)

    def broadcast_to(self, x: Array, shape: Shape) -> Array:
        return toy.apply(np.broadcast_to, x, shape)

    def concat(self, arrays: Sequence[Array], axis: int) -> Array:
        return toy.apply(lambda *parts: np.concatenate(parts, axis), *arrays)

    def take(self, x: Array, indices: Array, axis: int) -> Array:
        return toy.apply(np.take, x, indices, axis)

    def argsort(self, x: Array, axis: int, descending: bool) -> Array:
        return toy.descending_order(x, axis) if descending else toy.apply(np.argsort, x, axis, stable=True)

    def scatter_add(self, x: Array, indices: Array, values: Array) -> Array:
        return toy.scattered(x, indices, values)

    # ---- what the capability `complex` asks for ---------------------------------------------------------------------

    def real(self, x: Array) -> Array:
        return toy.apply(np.real, x)

    def imag(self, x: Array) -> Array:
        return toy.apply(np.imag, x)

    def conj(self, x: Array) -> Array:
        return toy.apply(np.conj, x)

    def complex(self, real: Array, imag: Array) -> Array:
        return toy.joined(real, imag)

    # ---- faster than the default composition ------------------------------------------------------------------------

    @kernel("softmax")
    def softmax(self, x: Array, axis: int) -> Array:
        """Returns exp(x) over its sum along `axis`; the maximum is taken off first, so that exp cannot overflow."""
        powers = self.exp(self.subtract(x, self.max(x, axis, True)))
        return self.divide(powers, self.sum(powers, axis, True))
