"""NumPy as a torchplug backend: strided, mutable, on the host."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from torchplug_numpy.quiet import ignore_warnings_raised_here, quiet, run_quietly
from torchplug_spec.array_api import ArrayAPIBackend
from torchplug_spec.backend import Array, Axis, Shape
from torchplug_spec.dtypes import DType

__all__ = ["NumPyBackend"]

_QUIET_UNARY = (
    "exp", "log", "sin", "cos", "sqrt", "square", "reciprocal", "expm1", "log1p", "log2", "log10", "tan", "asin", "acos",
    "sinh", "cosh", "asinh", "acosh", "atanh",
)  # fmt: skip
_QUIET_BINARY = ("divide", "hypot", "logaddexp", "nextafter")
"""Functions in which inf, NaN or an exception flag is everyday business. The others are NumPy's own objects."""

_sum, _product, _greatest, _least = np.add.reduce, np.multiply.reduce, np.maximum.reduce, np.minimum.reduce
_HALF = "eE"  # the type characters of float16 and bfloat16

ignore_warnings_raised_here(r"torchplug")


class NumPyBackend(ArrayAPIBackend):
    """NumPy arrays. Floating-point exceptions give inf and NaN, never a warning."""

    name: ClassVar[str] = "numpy"
    capabilities: ClassVar[frozenset[str]] = frozenset({"mutable", "complex", "float64", "bfloat16"})
    xp = np

    def __init__(self) -> None:
        super().__init__()
        for name in _QUIET_UNARY:
            setattr(self, name, quiet(getattr(np, name), 1))
        for name in _QUIET_BINARY:
            setattr(self, name, quiet(getattr(np, name), 2))
        self.round = np.rint

    # ---- creation and transfer --------------------------------------------------------------------------------------

    def devices(self) -> Sequence[str]:
        return ("cpu",)

    def device_of(self, x: Array) -> str:
        return "cpu"

    def to_device(self, x: Array, device: str) -> Array:
        return x

    def from_numpy(self, x: np.ndarray, device: str) -> Array:
        """Returns `x` itself: the memory is shared."""
        return x

    def to_numpy(self, x: Array) -> np.ndarray:
        """Returns `x` itself: the memory is shared."""
        return x if type(x) is np.ndarray else np.asarray(x)

    def full(self, shape: Shape, value: complex, dtype: DType, device: str) -> Array:
        if value == 0 and (dtype.is_complex or math.copysign(1.0, value.real) > 0):
            return np.zeros(shape, dtype.numpy)
        out = np.empty(shape, dtype.numpy)
        out.fill(value)
        return out

    def arange(self, start: float, stop: float, step: float, dtype: DType, device: str) -> Array:
        """Element i is start + i * step, rounded once: `np.arange` rounds the step to the element type first."""
        if not (dtype.is_floating_point or dtype.is_complex):
            return np.arange(start, stop, step).astype(dtype.numpy)
        count = max(0, math.ceil((stop - start) / step))
        return (start + step * np.arange(count, dtype=np.float64)).astype(dtype.numpy)

    def astype(self, x: Array, dtype: DType) -> Array:
        """Returns a converted copy, also when the type stays."""
        if x.dtype.kind == "c" and not dtype.is_complex and dtype.kind != "bool":
            x = x.real
        return run_quietly(x.astype, dtype.numpy)

    # ---- elementwise ------------------------------------------------------------------------------------------------

    def floor_divide(self, x: Array, y: Array) -> Array:
        _refuse_zero_divisor(y)
        return run_quietly(np.floor_divide, x, y)

    def remainder(self, x: Array, y: Array) -> Array:
        _refuse_zero_divisor(y)
        return run_quietly(np.remainder, x, y)

    def pow(self, x: Array, y: Array) -> Array:
        exponents = np.asarray(y)
        if exponents.dtype.kind in "iu" and getattr(x, "dtype", exponents.dtype).kind in "iu":
            return _integer_power(x, y)
        return run_quietly(np.power, x, y)

    # ---- reductions and products ------------------------------------------------------------------------------------

    def sum(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return _accumulate(_sum, x, axis, keepdims)

    def prod(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return _accumulate(_product, x, axis, keepdims)

    def max(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return run_quietly(_greatest, x, axis, None, None, keepdims)

    def _min(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return run_quietly(_least, x, axis, None, None, keepdims)

    def argmax(self, x: Array, axis: int, keepdims: bool) -> Array:
        return x.argmax(axis, None, keepdims=keepdims)

    def _argmin(self, x: Array, axis: int, keepdims: bool) -> Array:
        return x.argmin(axis, None, keepdims=keepdims)

    def matmul(self, x: Array, y: Array) -> Array:
        dtype = x.dtype
        if dtype.char in _HALF:
            return run_quietly(self.matmul(x.astype(np.float32), y.astype(np.float32)).astype, dtype)
        if x.ndim == 2 == y.ndim:  # the method skips the generality of the ufunc: 280 against 800 ns
            return x.dot(y)
        return run_quietly(np.matmul, x, y)

    # ---- shapes and selection ---------------------------------------------------------------------------------------

    def reshape(self, x: Array, shape: Shape) -> Array:
        return x.reshape(shape)

    def permute_dims(self, x: Array, axes: tuple[int, ...]) -> Array:
        return x.transpose(axes)

    def concat(self, arrays: Sequence[Array], axis: int) -> Array:
        return np.concatenate(arrays, axis)

    def take(self, x: Array, indices: Array, axis: int) -> Array:
        return x.take(indices, axis)

    def argsort(self, x: Array, axis: int, descending: bool) -> Array:
        if not descending:
            return x.argsort(axis, "stable")
        # Sorting the mirror image and mirroring back keeps equal elements in order; places count from the end.
        mirrored = np.flip(np.flip(x, axis).argsort(axis, "stable"), axis)
        return x.shape[axis] - 1 - mirrored

    def scatter_add(self, x: Array, indices: Array, values: Array) -> Array:
        out = x.copy()
        run_quietly(np.add.at, out, indices, values)
        return out

    def _sort(self, x: Array, axis: int, descending: bool) -> Array:
        if descending:
            return np.take_along_axis(x, self.argsort(x, axis, True), axis)
        return np.sort(x, axis, "stable")

    def _cumulative_sum(self, x: Array, axis: int) -> Array:
        return run_quietly(np.add.accumulate, x, axis, x.dtype)

    def _cumulative_prod(self, x: Array, axis: int) -> Array:
        return run_quietly(np.multiply.accumulate, x, axis, x.dtype)

    # ---- capability `mutable` ---------------------------------------------------------------------------------------

    def strides_of(self, x: Array) -> Shape:
        itemsize = x.itemsize
        return tuple([stride // itemsize for stride in x.strides])

    def storage_of(self, x: Array) -> tuple[Array, int]:
        owner = x
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        flat = _flattened(owner).view(x.dtype)
        return flat, (_address(x) - _address(flat)) // x.itemsize

    def as_strided(self, x: Array, shape: Shape, strides: Shape, offset: int) -> Array:
        itemsize = x.itemsize
        return np.ndarray(shape, x.dtype, x, offset * itemsize, [stride * itemsize for stride in strides])

    def assign(self, x: Array, value: Array) -> None:
        run_quietly(np.copyto, x, value, casting="unsafe")

    # ---- capability `complex` ---------------------------------------------------------------------------------------

    def complex(self, real: Array, imag: Array) -> Array:
        out = np.empty(np.broadcast_shapes(real.shape, imag.shape), np.result_type(real, np.complex64))
        out.real = real
        out.imag = imag
        return out


def _accumulate(reduce: Callable[..., Array], x: Array, axis: Axis, keepdims: bool) -> Array:
    dtype = x.dtype
    if dtype.char in _HALF:
        return run_quietly(run_quietly(reduce, x, axis, np.float32, None, keepdims).astype, dtype)
    return run_quietly(reduce, x, axis, dtype, None, keepdims)


def _refuse_zero_divisor(y: Array) -> None:
    if isinstance(y, float):
        return
    if isinstance(y, int) or y.dtype.kind in "iu":
        if not np.all(y):
            raise RuntimeError("ZeroDivisionError")


def _integer_power(x: Array, y: Array) -> Array:
    negative = np.less(y, 0)
    if not negative.any():
        return np.power(x, y)
    # 1 and -1 have integer inverses; the inverse of anything else truncates to 0.
    inverse = np.where(np.equal(x, 1), 1, np.where(np.equal(x, -1), np.where(np.bitwise_and(y, 1), -1, 1), 0))
    powers = np.power(x, np.where(negative, 0, y))
    return np.where(negative, inverse, powers).astype(powers.dtype)


def _flattened(owner: np.ndarray) -> np.ndarray:
    """Returns a one-dimensional view over all memory of an array that owns it."""
    if owner.flags.c_contiguous:
        return owner.reshape(-1)
    by_stride = sorted(range(owner.ndim), key=lambda axis: -owner.strides[axis])
    dense = owner.transpose(by_stride)
    if dense.flags.c_contiguous:
        return dense.reshape(-1)
    # Foreign memory with gaps or backward strides: a window over all of it, first byte to last.
    low, high = np.lib.array_utils.byte_bounds(owner)
    lowest = owner[tuple([0 if stride >= 0 else -1 for stride in owner.strides])]
    return np.lib.stride_tricks.as_strided(lowest, ((high - low) // owner.itemsize,), (owner.itemsize,))


def _address(x: np.ndarray) -> int:
    return x.__array_interface__["data"][0]
