"""A backend over strided arrays that are written in place and have NumPy's methods: what NumPy and CuPy share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torchplug_spec.array_api import ArrayAPIBackend
from torchplug_spec.backend import Array, Axis, Shape
from torchplug_spec.dtypes import DType
from torchplug_spec.strided_memory import StridedMemory

__all__ = ["HALF_CHARACTERS", "StridedBackend"]

HALF_CHARACTERS = "eE"
"""The NumPy type characters of float16 and bfloat16, which accumulate in float32."""


class StridedBackend(StridedMemory, ArrayAPIBackend):
    """Implements the functions whose NumPy and CuPy spellings are one; `xp` is the library.

    A subclass adds devices, transfers, `as_strided` and `storage_of`.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset({"mutable", "complex", "float64", "float16"})
    is_lenient: ClassVar[bool] = True

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Returns function(*args); where the library warns of inf and NaN, without the warning."""
        return function(*args)

    def native_dtype(self, dtype: DType) -> Any:
        return dtype.numpy

    # ---- creation ---------------------------------------------------------------------------------------------------

    def full(self, shape: Shape, value: complex, dtype: DType, device: str) -> Array:
        if value == 0 and (dtype.is_complex or math.copysign(1.0, value.real) > 0):
            return self.xp.zeros(shape, dtype.numpy)
        out = self.xp.empty(shape, dtype.numpy)
        out.fill(value)
        return out

    def arange(self, start: float, stop: float, step: float, dtype: DType, device: str) -> Array:
        """Element i is start + i * step, rounded once: the library's own rounds the step to the element type first."""
        if dtype.is_floating_point:
            count = max(0, math.ceil((stop - start) / step))
            places = self.xp.arange(count, dtype="float64")
            return (places * step + start).astype(dtype.numpy)
        return self.xp.arange(start, stop, step).astype(dtype.numpy, copy=False)

    def astype(self, x: Array, dtype: DType) -> Array:
        """Returns a converted copy, also when the type stays."""
        if x.dtype.kind == "c" and not dtype.is_complex and dtype.kind != "bool":
            x = x.real
        return self.run(x.astype, dtype.numpy)

    # ---- elementwise ------------------------------------------------------------------------------------------------

    def floor_divide(self, x: Array, y: Array) -> Array:
        self.refuse_zero_divisor(y)
        return self.run(self.xp.floor_divide, x, y)

    def remainder(self, x: Array, y: Array) -> Array:
        self.refuse_zero_divisor(y)
        out = self.run(self.xp.remainder, x, y)
        if out.dtype.kind in "iub":
            return out
        return self.xp.where(out == 0, self.xp.copysign(out, x), out)  # PyTorch's sign of zero, see ArrayAPIBackend

    def refuse_zero_divisor(self, y: Array) -> None:
        if type(y) is not float and (type(y) is int or y.dtype.kind in "iub") and not self.xp.all(y):
            raise RuntimeError("ZeroDivisionError")

    def pow(self, x: Array, y: Array) -> Array:
        if type(y) is float or type(y) is int:
            special = _POWERS.get(y)
            if special is not None and x.dtype.kind in "fc":
                return self.run(special, self.xp, x)
        dtype = x.dtype if hasattr(x, "dtype") else y.dtype
        if dtype.kind in "iu" and type(x) is not float and type(y) is not float:
            return self._integer_power(self.xp.power, self.xp.asarray(x, dtype), self.xp.asarray(y, dtype))
        return self.run(self.xp.power, x, y)

    def round(self, x: Array) -> Array:
        return self.xp.rint(x) if x.dtype.kind in "fcV" else x.copy()

    # ---- reductions -------------------------------------------------------------------------------------------------

    def rounded(self, x: Array, dtype: Any) -> Array:
        """Returns a float32 result as a half type of the library's own."""
        return self.run(x.astype, dtype)

    def sum(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        dtype = x.dtype
        if dtype.char in HALF_CHARACTERS:
            return self.rounded(self.sum(x.astype("float32"), axis, keepdims), dtype)
        return self.run(x.sum, axis, dtype, None, keepdims)

    def prod(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        dtype = x.dtype
        if dtype.char in HALF_CHARACTERS:
            return self.rounded(self.prod(x.astype("float32"), axis, keepdims), dtype)
        return self.run(x.prod, axis, dtype, None, keepdims)

    def max(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return self.run(x.max, axis, None, keepdims)

    def _min(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return self.run(x.min, axis, None, keepdims)

    def argmax(self, x: Array, axis: int, keepdims: bool) -> Array:
        return x.argmax(axis, keepdims=True) if keepdims else x.argmax(axis)

    def _argmin(self, x: Array, axis: int, keepdims: bool) -> Array:
        return x.argmin(axis, keepdims=True) if keepdims else x.argmin(axis)

    def matmul(self, x: Array, y: Array) -> Array:
        dtype = x.dtype
        if dtype.char in HALF_CHARACTERS:
            return self.rounded(self.run(self.xp.matmul, x.astype("float32"), y.astype("float32")), dtype)
        return self.run(self.xp.matmul, x, y)

    # ---- shapes and selection ---------------------------------------------------------------------------------------

    def reshape(self, x: Array, shape: Shape) -> Array:
        return x.reshape(shape)

    def permute_dims(self, x: Array, axes: tuple[int, ...]) -> Array:
        return x.transpose(axes)

    def concat(self, arrays: Sequence[Array], axis: int) -> Array:
        return self.xp.concatenate(arrays, axis)

    def take(self, x: Array, indices: Array, axis: int) -> Array:
        return x.take(indices, axis)

    def argsort(self, x: Array, axis: int, descending: bool) -> Array:
        if x.dtype.char == "E":  # ml_dtypes leaves NaN where it stands
            x = x.astype("float32")
        if descending:
            mirrored = self.argsort(self._flip(x, axis), axis, False)
            return x.shape[axis] - 1 - self._flip(mirrored, axis)
        return self.run(x.argsort, axis, "stable")

    def scatter_add(self, x: Array, indices: Array, values: Array) -> Array:
        out = x.copy()
        self.run(self.xp.add.at, out, indices, values)
        return out

    def _sort(self, x: Array, axis: int, descending: bool) -> Array:
        if descending or x.dtype.char == "E":
            return self._take_along_axis(x, self.argsort(x, axis, descending), axis)
        return self.run(self.xp.sort, x, axis, "stable")

    def _flip(self, x: Array, axis: Axis) -> Array:
        axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
        key = [slice(None)] * x.ndim
        for each in axes:
            key[each] = slice(None, None, -1)
        return x[tuple(key)]

    def _expand_dims(self, x: Array, axis: int) -> Array:
        return x[(slice(None),) * (axis if axis >= 0 else axis + x.ndim + 1) + (None,)]

    def _stack(self, arrays: Sequence[Array], axis: int) -> Array:
        key = (slice(None),) * (axis if axis >= 0 else axis + arrays[0].ndim + 1) + (None,)
        return self.xp.concatenate([x[key] for x in arrays], axis)

    def _cumulative_sum(self, x: Array, axis: int) -> Array:
        return self._accumulate(x.cumsum, x, axis)

    def _cumulative_prod(self, x: Array, axis: int) -> Array:
        return self._accumulate(x.cumprod, x, axis)

    def _accumulate(self, cumulate: Callable[..., Array], x: Array, axis: int) -> Array:
        if x.dtype.char in HALF_CHARACTERS:
            return self.rounded(self.run(cumulate, axis, "float32"), x.dtype)
        return self.run(cumulate, axis, x.dtype)

    # ---- capabilities `mutable` and `complex` -----------------------------------------------------------------------

    def strides_of(self, x: Array) -> Shape:
        itemsize = x.itemsize
        return tuple([stride // itemsize for stride in x.strides])

    def complex(self, real: Array, imag: Array) -> Array:
        out = self.xp.empty(real.shape, "complex64" if real.dtype.char == "f" else "complex128")
        out.real = real
        out.imag = imag
        return out


_POWERS: dict[float, Callable[[Any, Array], Array]] = {
    0.5: lambda xp, x: xp.sqrt(x),
    1: lambda xp, x: x.copy(),
    2: lambda xp, x: xp.multiply(x, x),
    3: lambda xp, x: xp.multiply(xp.multiply(x, x), x),
    -1: lambda xp, x: xp.divide(1, x),
    -0.5: lambda xp, x: xp.divide(1, xp.sqrt(x)),
    -2: lambda xp, x: xp.divide(1, xp.multiply(x, x)),
}
"""Exponents PyTorch computes without `pow`, with the same rounding."""
