"""Turns a namespace that follows the Python array API standard (2024.12) into a backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from torchplug_spec.backend import Array, Axis, Backend, Shape
from torchplug_spec.dtypes import DType, bool_

__all__ = ["EXTRA_ELEMENTWISE", "ArrayAPIBackend"]

_DIRECT = (
    "subtract", "divide", "equal", "bitwise_and", "bitwise_or", "bitwise_invert", "abs", "exp", "log",
    "sin", "cos", "atan", "sqrt", "floor", "round", "where", "reshape", "permute_dims", "broadcast_to", "real", "imag",
    "conj",
)  # fmt: skip
"""Functions of the contract that are the namespace's own, argument for argument."""

_DIRECT_WHERE_LENIENT = ("add", "multiply", "maximum", "minimum", "less")
"""Functions of the contract that take booleans too, which the standard leaves out."""

_EXTRA_WHERE_LENIENT = frozenset({
    "less_equal", "greater", "greater_equal", "isnan", "isinf", "isfinite", "signbit", "logical_not", "logical_and",
    "logical_or", "logical_xor",
})  # fmt: skip
"""Functions beyond the contract that torchplug calls with element types the standard leaves out: the first seven with
booleans or integers, the others with numbers. The default compositions need none of that."""

EXTRA_ELEMENTWISE = (
    "negative", "positive", "square", "reciprocal", "expm1", "log1p", "log2", "log10", "tan", "asin", "acos",
    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "ceil", "trunc", "isnan", "isinf", "isfinite", "signbit",
    "logical_not", "logical_and", "logical_or", "logical_xor", "atan2", "hypot", "copysign", "nextafter", "logaddexp",
    "less_equal", "greater", "greater_equal", "not_equal", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift",
    "tril", "triu", "zeros_like", "ones_like",
)  # fmt: skip
"""Functions beyond the contract whose standard arguments are all positional."""

_EXTRA_ARRANGED = (
    "min", "all", "any", "argmin", "flip", "roll", "expand_dims", "squeeze", "stack", "cumulative_sum",
    "cumulative_prod", "sort", "take_along_axis", "searchsorted",
)  # fmt: skip
"""Functions beyond the contract that take keywords in the standard; a method of the same name puts them in order."""


class ArrayAPIBackend(Backend):
    """A backend over `xp`, an array API namespace given as a class attribute or to the constructor.

    The namespace's own callables become attributes of the instance, so that calling `backend.add` costs what calling
    `xp.add` costs. A subclass that defines a method keeps its own.
    """

    xp: Any = None
    is_lenient: ClassVar[bool] = False
    """Whether the namespace takes booleans for numbers and numbers for booleans, as NumPy does; the standard does not."""

    def __init__(self, xp: Any = None) -> None:
        if xp is not None:
            self.xp = xp
        if self.xp is None:
            raise TypeError(f"{type(self).__name__} has no namespace; set the class attribute xp or pass one")
        self._bool = self.native_dtype(bool_)
        for name in (*_DIRECT, *_DIRECT_WHERE_LENIENT) if self.is_lenient else _DIRECT:
            function = self.find(name)
            if function is not None and not self._overrides(name):
                setattr(self, name, function)
        for name, function in self.extra_kernels().items():
            if not hasattr(type(self), name):
                setattr(self, name, function)

    def find(self, name: str) -> Callable[..., Any] | None:
        """Returns the namespace's function for a name of the standard, or None."""
        function: Callable[..., Any] | None = getattr(self.xp, name, None)
        return function

    def _overrides(self, name: str) -> bool:
        return getattr(type(self), name) is not getattr(ArrayAPIBackend, name)

    def extra_kernels(self) -> dict[str, Callable[..., Any]]:
        """Returns the standard's further functions that the namespace has, by name, all arguments positional.

        Reductions take (x, axis, keepdims), `cumulative_sum` and `cumulative_prod` (x, axis), `sort` (x, axis,
        descending), `take_along_axis` (x, indices, axis), `flip` and `squeeze` (x, axis), `roll` (x, shift, axis),
        `expand_dims` (x, axis), `stack` (arrays, axis), `searchsorted` (sorted, values, side).
        """
        names = [name for name in EXTRA_ELEMENTWISE if self.is_lenient or name not in _EXTRA_WHERE_LENIENT]
        kernels = {name: function for name in names if (function := self.find(name)) is not None}
        for name in _EXTRA_ARRANGED:
            if self.find(name) is not None:
                kernels[name] = getattr(self, f"_{name}")
        return kernels

    # ---- element types and devices ----------------------------------------------------------------------------------

    def native_dtype(self, dtype: DType) -> Any:
        """Returns the namespace's own spelling of an element type."""
        return getattr(self.xp, dtype.name)

    def devices(self) -> Sequence[str]:
        """Returns the default device, and with the capability `devices` the others too."""
        devices = list(self._device_objects())
        return devices if "devices" in self.capabilities else devices[:1]

    def device_of(self, x: Array) -> str:
        return self.spell_device(x.device)

    def to_device(self, x: Array, device: str) -> Array:
        return x if self.device_of(x) == device else x.to_device(self._device(device))

    def synchronize(self, device: str) -> None:
        """Does nothing: the standard knows no queues."""

    def spell_device(self, device: Any) -> str:
        """Returns the namespace's device object in PyTorch's spelling; "cpu" for anything that calls itself a CPU."""
        text = str(device).lower()
        return "cpu" if "cpu" in text else text

    def _device_objects(self) -> dict[str, Any]:
        info = self.xp.__array_namespace_info__()
        known = {self.spell_device(device): device for device in info.devices()}
        default = self.spell_device(info.default_device())
        return {default: known.pop(default, info.default_device()), **known}

    def _device(self, spelling: str) -> Any:
        return self._device_objects()[spelling]

    # ---- creation and transfer --------------------------------------------------------------------------------------

    def from_numpy(self, x: np.ndarray, device: str) -> Array:
        return self.xp.asarray(x, device=self._device(device), copy=True)

    def to_numpy(self, x: Array) -> np.ndarray:
        return np.asarray(x) if hasattr(x, "__array__") else np.from_dlpack(x)

    def full(self, shape: Shape, value: complex, dtype: DType, device: str) -> Array:
        return self.xp.full(shape, value, dtype=self.native_dtype(dtype), device=self._device(device))

    def arange(self, start: float, stop: float, step: float, dtype: DType, device: str) -> Array:
        return self.xp.arange(start, stop, step, dtype=self.native_dtype(dtype), device=self._device(device))

    def astype(self, x: Array, dtype: DType) -> Array:
        if not dtype.is_complex and self.xp.isdtype(x.dtype, "complex floating"):
            if dtype.kind == "bool":  # the standard casts no complex number to it
                return self.xp.not_equal(x, 0)
            x = self.xp.real(x)
        return self.xp.astype(x, self.native_dtype(dtype))

    # ---- elementwise ------------------------------------------------------------------------------------------------

    def add(self, x: Array, y: Array) -> Array:
        if self._is_bool(x) or self._is_bool(y):
            return self.xp.bitwise_or(x, y)
        return self.xp.add(x, y)

    def subtract(self, x: Array, y: Array) -> Array:
        return self.xp.subtract(x, y)

    def multiply(self, x: Array, y: Array) -> Array:
        if self._is_bool(x) or self._is_bool(y):
            return self.xp.bitwise_and(x, y)
        return self.xp.multiply(x, y)

    def divide(self, x: Array, y: Array) -> Array:
        return self.xp.divide(x, y)

    def floor_divide(self, x: Array, y: Array) -> Array:
        """Raises RuntimeError("ZeroDivisionError"), PyTorch's words, for an integer division by zero on a CPU."""
        self.refuse_zero_divisor(y)
        return self.xp.floor_divide(x, y)

    def remainder(self, x: Array, y: Array) -> Array:
        """Raises RuntimeError("ZeroDivisionError"), PyTorch's words, for an integer division by zero on a CPU."""
        self.refuse_zero_divisor(y)
        out = self.xp.remainder(x, y)
        if not self.xp.isdtype(out.dtype, "real floating"):
            return out
        # A remainder of zero has the sign of x (C's fmod, PyTorch); Python and the standard give it the sign of y.
        return self.xp.where(out == 0, self.xp.copysign(out, x), out)

    def refuse_zero_divisor(self, y: Array) -> None:
        """Raises for a zero among integers on a CPU; on other devices PyTorch does not look either."""
        if isinstance(y, float):
            return
        if isinstance(y, int):
            has_zero = y == 0
        elif self.xp.isdtype(y.dtype, ("integral", "bool")) and self.device_of(y).startswith("cpu"):
            has_zero = bool(self.xp.any(y == 0))
        else:
            return
        if has_zero:
            raise RuntimeError("ZeroDivisionError")

    def pow(self, x: Array, y: Array) -> Array:
        """An integer with a negative exponent gives its inverse truncated: 1, -1 or 0."""
        xp = self.xp
        dtype = x.dtype if hasattr(x, "dtype") else y.dtype
        if isinstance(x, float) or isinstance(y, float) or not xp.isdtype(dtype, "signed integer"):
            return xp.pow(x, y)
        return self._integer_power(xp.pow, *(xp.asarray(z, dtype=dtype) if isinstance(z, int) else z for z in (x, y)))

    def _integer_power(self, pow: Callable[[Array, Array], Array], x: Array, y: Array) -> Array:
        where, one = self.xp.where, self.xp.ones_like(y)
        negative = y < 0
        inverse = where((x == 1) | ((x == -1) & (y % 2 == 0)), one, where(x == -1, -one, one - one))
        return where(negative, inverse, pow(x, where(negative, one, y)))

    def maximum(self, x: Array, y: Array) -> Array:
        return self._ordering(self.xp.maximum, x, y)

    def minimum(self, x: Array, y: Array) -> Array:
        return self._ordering(self.xp.minimum, x, y)

    def _ordering(self, function: Callable[[Array, Array], Array], x: Array, y: Array) -> Array:
        """Returns the greater or the lesser; booleans are ordered as 0 and 1."""
        if not (self._is_bool(x) or self._is_bool(y)):
            return function(x, y)
        return self.xp.astype(function(self._number(x), self._number(y)), self._bool)

    def _is_bool(self, x: Array) -> bool:
        return hasattr(x, "dtype") and x.dtype == self._bool

    def _number(self, x: Array) -> Array:
        """Returns a boolean array or Python bool as 0 and 1; everything else as it is."""
        if isinstance(x, bool):
            return int(x)
        return self.xp.astype(x, self.xp.uint8) if self._is_bool(x) else x

    def equal(self, x: Array, y: Array) -> Array:
        return self.xp.equal(x, y)

    def less(self, x: Array, y: Array) -> Array:
        return self.xp.less(self._number(x), self._number(y))

    def bitwise_and(self, x: Array, y: Array) -> Array:
        return self.xp.bitwise_and(x, y)

    def bitwise_or(self, x: Array, y: Array) -> Array:
        return self.xp.bitwise_or(x, y)

    def bitwise_invert(self, x: Array) -> Array:
        return self.xp.bitwise_invert(x)

    def abs(self, x: Array) -> Array:
        return self.xp.abs(x)

    def exp(self, x: Array) -> Array:
        return self.xp.exp(x)

    def log(self, x: Array) -> Array:
        return self.xp.log(x)

    def sin(self, x: Array) -> Array:
        return self.xp.sin(x)

    def cos(self, x: Array) -> Array:
        return self.xp.cos(x)

    def atan(self, x: Array) -> Array:
        return self.xp.atan(x)

    def sqrt(self, x: Array) -> Array:
        return self.xp.sqrt(x)

    def floor(self, x: Array) -> Array:
        return self.xp.floor(x)

    def round(self, x: Array) -> Array:
        return self.xp.round(x)

    def where(self, condition: Array, x: Array, y: Array) -> Array:
        return self.xp.where(condition, x, y)

    # ---- reductions and products ------------------------------------------------------------------------------------

    def sum(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return self.xp.sum(x, axis=axis, dtype=x.dtype, keepdims=keepdims)

    def prod(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return self.xp.prod(x, axis=axis, dtype=x.dtype, keepdims=keepdims)

    def max(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        if x.dtype == self._bool:  # the standard orders numbers only
            return self.xp.any(x, axis=axis, keepdims=keepdims)
        return self.xp.max(x, axis=axis, keepdims=keepdims)

    def argmax(self, x: Array, axis: int, keepdims: bool) -> Array:
        x = self._number(x)
        if self.xp.isdtype(x.dtype, "real floating"):
            x = self._nan_as_greatest(x, axis)
        return self._cast(self.xp.argmax(x, axis=axis, keepdims=keepdims), self.xp.int64)

    def _cast(self, x: Array, native: Any) -> Array:
        return x if x.dtype == native else self.xp.astype(x, native)

    def _nan_as_greatest(self, x: Array, axis: int) -> Array:
        # The standard leaves the order of NaN open. Ranks 0 (number) and 1 (NaN) decide wherever a slice has a NaN.
        is_nan = self.xp.isnan(x)
        has_nan = self.xp.any(is_nan, axis=axis, keepdims=True)
        return self.xp.where(has_nan, self.xp.astype(is_nan, x.dtype), x)

    def matmul(self, x: Array, y: Array) -> Array:
        return self.xp.matmul(x, y)

    # ---- shapes and selection ---------------------------------------------------------------------------------------

    def reshape(self, x: Array, shape: Shape) -> Array:
        return self.xp.reshape(x, shape)

    def permute_dims(self, x: Array, axes: tuple[int, ...]) -> Array:
        return self.xp.permute_dims(x, axes)

    def broadcast_to(self, x: Array, shape: Shape) -> Array:
        return self.xp.broadcast_to(x, shape)

    def concat(self, arrays: Sequence[Array], axis: int) -> Array:
        return self.xp.concat(arrays, axis=axis)

    def take(self, x: Array, indices: Array, axis: int) -> Array:
        return self.xp.take(x, indices, axis=axis)

    def argsort(self, x: Array, axis: int, descending: bool) -> Array:
        # Sorting the mirror image and mirroring back keeps equal elements in order; places count from the end. Some
        # namespaces, NumPy's too, have no `descending`.
        if descending:
            mirrored = self.argsort(self._flip(x, axis), axis, False)
            return x.shape[axis] - 1 - self._flip(mirrored, axis)
        return self._cast(self.xp.argsort(self._number(x), axis=axis, stable=True), self.xp.int64)

    def scatter_add(self, x: Array, indices: Array, values: Array) -> Array:
        """Returns `x` with `values` added at `indices`; a segmented sum, because the standard has no scatter.

        After sorting, equal indices are neighbours. Doubling strides (Hillis and Steele 1986) leave the sum of each run
        at its first element in log2(n) steps; every place of `x` then looks its run up.
        """
        xp, count = self.xp, values.shape[0]
        if count == 0 or x.shape[0] == 0:
            return x
        order = xp.argsort(indices, stable=True)
        keys, sums = xp.take(indices, order, axis=0), xp.take(values, order, axis=0)
        zero = xp.zeros_like(sums)
        stride = 1
        while stride < count:
            same = xp.concat([keys[stride:] == keys[:-stride], xp.zeros((stride,), dtype=self._bool)])
            shifted = xp.concat([sums[stride:], zero[:stride]])
            sums = xp.where(same, xp.add(sums, shifted), sums)
            stride *= 2
        places = xp.arange(x.shape[0], dtype=keys.dtype)
        first = xp.searchsorted(keys, places)
        first = xp.where(first < count, first, xp.zeros_like(first))
        hit = xp.take(keys, first, axis=0) == places
        return xp.where(hit, xp.add(x, xp.take(sums, first, axis=0)), x)

    # ---- capability `complex` ---------------------------------------------------------------------------------------

    def real(self, x: Array) -> Array:
        return self.xp.real(x)

    def imag(self, x: Array) -> Array:
        return self.xp.imag(x)

    def conj(self, x: Array) -> Array:
        return self.xp.conj(x)

    def complex(self, real: Array, imag: Array) -> Array:
        """The standard has no constructor of complex numbers: an infinite imaginary part makes the real one NaN."""
        xp = self.xp
        wide = xp.complex64 if real.dtype == xp.float32 else xp.complex128
        return xp.add(xp.astype(real, wide), xp.multiply(xp.astype(imag, wide), 1j))

    # ---- further functions, arguments positional --------------------------------------------------------------------

    def _min(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        if x.dtype == self._bool:
            return self.xp.all(x, axis=axis, keepdims=keepdims)
        return self.xp.min(x, axis=axis, keepdims=keepdims)

    def _all(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return self.xp.all(x, axis=axis, keepdims=keepdims)

    def _any(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        return self.xp.any(x, axis=axis, keepdims=keepdims)

    def _argmin(self, x: Array, axis: int, keepdims: bool) -> Array:
        x = self._number(x)
        if self.xp.isdtype(x.dtype, "real floating"):
            # NaN counts as the first minimum, as in PyTorch: negated ranks, see _nan_as_greatest.
            x = self.xp.negative(self._nan_as_greatest(self.xp.negative(x), axis))
        return self._cast(self.xp.argmin(x, axis=axis, keepdims=keepdims), self.xp.int64)

    def _flip(self, x: Array, axis: Axis) -> Array:
        return self.xp.flip(x, axis=axis)

    def _roll(self, x: Array, shift: int | tuple[int, ...], axis: Axis) -> Array:
        return self.xp.roll(x, shift, axis=axis)

    def _expand_dims(self, x: Array, axis: int) -> Array:
        return self.xp.expand_dims(x, axis=axis)

    def _squeeze(self, x: Array, axis: Axis) -> Array:
        return self.xp.squeeze(x, axis=axis)

    def _stack(self, arrays: Sequence[Array], axis: int) -> Array:
        return self.xp.stack(arrays, axis=axis)

    def _cumulative_sum(self, x: Array, axis: int) -> Array:
        return self.xp.cumulative_sum(x, axis=axis, dtype=x.dtype)

    def _cumulative_prod(self, x: Array, axis: int) -> Array:
        return self.xp.cumulative_prod(x, axis=axis, dtype=x.dtype)

    def _sort(self, x: Array, axis: int, descending: bool) -> Array:
        if descending:
            return self._take_along_axis(x, self.argsort(x, axis, True), axis)
        return self._cast(self.xp.sort(self._number(x), axis=axis, stable=True), x.dtype)

    def _take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        return self.xp.take_along_axis(x, indices, axis=axis)

    def _searchsorted(self, sorted_values: Array, values: Array, side: str = "left") -> Array:
        return self.xp.searchsorted(sorted_values, values, side=side)
