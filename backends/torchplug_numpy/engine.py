"""NumPy as a torchplug backend: strided arrays on the host, written in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from torchplug_numpy.bfloat16 import class_for, typed
from torchplug_numpy.kernels.nets import NetKernels
from torchplug_numpy.kernels.optimizers import OptimizerKernels
from torchplug_numpy.quiet import ignore_warnings_raised_in, quiet, quiet_context
from torchplug_numpy.sums import LONGEST_DOT, ONES, sum_over
from torchplug_numpy.threads import set_num_threads
from torchplug_spec.backend import Array, Axis, Shape, kernel
from torchplug_spec.dtypes import DType, bfloat16
from torchplug_spec.strided import HALF_CHARACTERS, StridedBackend

__all__ = ["NumPyBackend"]

_QUIET_UNARY = (
    "exp", "log", "sin", "cos", "sqrt", "square", "reciprocal", "expm1", "log1p", "log2", "log10", "tan", "asin",
    "acos", "sinh", "cosh", "asinh", "acosh", "atanh",
)  # fmt: skip
_QUIET_BINARY = ("divide", "hypot", "logaddexp", "nextafter")
"""Functions in which infinities and NaN are everyday business. The others are NumPy's own objects, called bare."""

# Sums that overflow and differences of infinities are rare, and add, subtract and multiply are the hottest functions
# of all: they stay bare, and the warning filter knows the modules they are called from.
ignore_warnings_raised_in(r"torchplug")


class NumPyBackend(NetKernels, OptimizerKernels, StridedBackend):
    """NumPy arrays. Floating-point exceptions give inf and NaN, never a warning."""

    name: ClassVar[str] = "numpy"
    capabilities: ClassVar[frozenset[str]] = StridedBackend.capabilities | {"bfloat16"}
    xp = np

    def __init__(self) -> None:
        super().__init__()
        for name in _QUIET_UNARY:
            setattr(self, name, quiet(getattr(np, name), 1))
        for name in _QUIET_BINARY:
            setattr(self, name, quiet(getattr(np, name), 2))

    def run(self, function: Any, *args: Any) -> Any:
        return quiet_context().run(function, *args)

    def set_num_threads(self, count: int) -> None:
        """Sets how many threads one kernel uses; `torch.set_num_threads` calls it."""
        set_num_threads(count)

    # ---- creation and transfer --------------------------------------------------------------------------------------

    def devices(self) -> Sequence[str]:
        return ("cpu",)

    def device_of(self, x: Array) -> str:
        return "cpu"

    def to_device(self, x: Array, device: str) -> Array:
        return x

    def from_numpy(self, x: np.ndarray, device: str) -> Array:
        """Returns `x` itself: the memory is shared."""
        return typed(x if type(x) is np.ndarray else np.asarray(x))

    def to_numpy(self, x: Array) -> np.ndarray:
        """Returns `x` itself: the memory is shared."""
        return x if type(x) is np.ndarray else np.asarray(x)

    def astype(self, x: Array, dtype: DType) -> Array:
        """Returns a converted copy, also when the type stays."""
        if x.dtype.kind == "c" and not dtype.is_complex and dtype.kind != "bool":
            x = x.real
        out = quiet_context().run(x.astype, dtype.numpy)
        return out if dtype is not bfloat16 else typed(out)

    def full(self, shape: Shape, value: complex, dtype: DType, device: str) -> Array:
        out = super().full(shape, value, dtype, device)
        return out if dtype is not bfloat16 else typed(out)

    def arange(self, start: float, stop: float, step: float, dtype: DType, device: str) -> Array:
        return typed(super().arange(start, stop, step, dtype, device))

    def copied(self, x: Array, order: str) -> Array:
        return np.array(x, order=order, subok=True)  # type: ignore[call-overload]  # "K" or "C"

    def rounded(self, x: Array, dtype: Any) -> Array:
        return typed(quiet_context().run(x.astype, dtype))

    # ---- reductions and products ------------------------------------------------------------------------------------

    def sum(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        character = x.dtype.char
        if character in "fd":
            if axis is None and not keepdims and x.flags.c_contiguous and x.size <= LONGEST_DOT:
                return quiet_context().run(x.reshape(-1).dot, ONES[character][x.size])
            return quiet_context().run(sum_over, x, axis, keepdims)
        if character in HALF_CHARACTERS:
            return self.rounded(quiet_context().run(sum_over, x.astype("f"), axis, keepdims), x.dtype)
        return quiet_context().run(np.add.reduce, x, axis, x.dtype, None, keepdims)

    def max(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return quiet_context().run(np.maximum.reduce, x, axis, None, None, keepdims)

    def _min(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return quiet_context().run(np.minimum.reduce, x, axis, None, None, keepdims)

    def matmul(self, x: Array, y: Array) -> Array:
        if x.dtype.char in HALF_CHARACTERS:
            return self.rounded(self.matmul(x.astype("f"), y.astype("f")), x.dtype)
        if y.ndim == 2:
            if x.ndim == 2:  # the method skips the generality of the ufunc: 280 against 800 ns
                return quiet_context().run(x.dot, y)
            if x.flags.c_contiguous and x.size:  # one product of tall matrices instead of one per leading index
                rows = quiet_context().run(x.reshape(-1, x.shape[-1]).dot, y)
                return rows.reshape(x.shape[:-1] + y.shape[-1:])
        return quiet_context().run(np.matmul, x, y)

    # ---- shapes -----------------------------------------------------------------------------------------------------

    def broadcast_to(self, x: Array, shape: Shape) -> Array:
        """Returns a view, which may be written where it does not overlap itself."""
        strides = [0] * (len(shape) - x.ndim)
        for old, new, stride in zip(x.shape, shape[len(strides) :], x.strides, strict=True):
            if old != new and old != 1:
                raise ValueError(f"got shape {x.shape}, expected one that broadcasts to {tuple(shape)}")
            strides.append(stride if old == new else 0)
        offset = 0
        if not x.flags.c_contiguous:
            # The constructor wants a buffer without gaps: the memory that `x` looks into.
            itemsize = x.itemsize
            x, offset = self.storage_of(x)
            offset *= itemsize
        # The constructor makes the view ten times faster than np.broadcast_to.
        return class_for(x.dtype)(shape, x.dtype, x, offset, strides)

    # ---- capability `mutable` ---------------------------------------------------------------------------------------

    def storage_of(self, x: Array) -> tuple[Array, int]:
        owner = x
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        flat = _flattened(owner)
        if owner is x and x.flags.c_contiguous:
            return flat, 0
        return typed(flat.view(x.dtype)), (_address(x) - _address(flat)) // x.itemsize

    def data_pointer(self, x: Array) -> int:
        """Returns the address of the first element, 0 when there is none."""
        return _address(x) if x.size else 0

    def as_strided(self, x: Array, shape: Shape, strides: Shape, offset: int) -> Array:
        itemsize = x.itemsize
        return class_for(x.dtype)(shape, x.dtype, x, offset * itemsize, [stride * itemsize for stride in strides])

    @kernel("reinterpret")
    def reinterpret(self, x: Array, dtype: DType) -> Array:
        """Returns a view of the same bytes."""
        return typed(self.to_numpy(x).view(dtype.numpy))

    def assign(self, x: Array, value: Array) -> None:
        if type(value) is np.ndarray and value.dtype is x.dtype:
            x[...] = value
        elif type(value) is float or type(value) is int:
            quiet_context().run(x.fill, value)
        else:
            if x.dtype.kind not in "cb" and np.iscomplexobj(value):
                value = value.real
            quiet_context().run(np.copyto, x, value, "unsafe")


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
    lowest = owner[tuple([slice(None, None, 1 if stride >= 0 else -1) for stride in owner.strides])]
    return np.lib.stride_tricks.as_strided(lowest, ((high - low) // owner.itemsize,), (owner.itemsize,))


def _address(x: np.ndarray) -> int:
    return int(x.__array_interface__["data"][0])
