"""The array library this backend stands on: small, immutable, and opaque. Replace it by yours.

NumPy does its arithmetic, but nothing of it shows: an Array has no operators, no methods and no buffer to look into.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Array", "apply", "array", "contents", "descending_order", "joined", "power", "refuse_zero", "scattered",
           "truncated"]  # fmt: skip


class Array:
    """An immutable n-dimensional array. It gives its shape, its element type (a string) and slices of itself."""

    __slots__ = ("_values",)

    def __init__(self, values: Any) -> None:
        self._values = np.asarray(values).view()
        self._values.flags.writeable = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self._values.shape

    @property
    def ndim(self) -> int:
        return self._values.ndim

    @property
    def dtype(self) -> str:
        return self._values.dtype.name

    def __getitem__(self, key: Any) -> Array:
        """Returns a slice; `key` holds ints, slices, None and Ellipsis."""
        return Array(self._values[key])

    def __repr__(self) -> str:
        return f"toy.Array({self._values.tolist()}, {self.dtype})"


def array(values: Any, dtype: str | None = None) -> Array:
    """Returns an array with a copy of `values`."""
    return Array(np.array(values, dtype=dtype))


def contents(x: Array) -> np.ndarray:
    """Returns a copy of the values, for NumPy."""
    return x._values.copy()


def apply(function: Callable[..., Any], *arguments: Any, **options: Any) -> Array:
    """Returns what a NumPy function makes of arrays and scalars. Infinities and NaNs come without a warning."""
    with np.errstate(all="ignore"):
        return Array(function(*map(_values, arguments), **options))


def truncated(x: Array, dtype: str) -> Array:
    """Returns `x` converted to `dtype`; a complex number gives its real part, unless to bool."""
    narrows = x._values.dtype.kind == "c" and np.dtype(dtype).kind not in "cb"
    return apply(lambda values: (values.real if narrows else values).astype(dtype), x)


def power(x: Any, y: Any) -> Array:
    """Returns x to the power of y; a negative integer power truncates towards 0."""
    exponents = np.asarray(_values(y))
    if exponents.dtype.kind not in "iu" or exponents.size == 0 or exponents.min() >= 0:
        return apply(np.power, x, y)
    bases = np.asarray(_values(x))
    if bases.dtype.kind not in "iu":
        return apply(np.power, x, y)
    inverses = np.where(bases == 1, 1, np.where(bases == -1, 1 - 2 * (exponents % 2), 0))
    powers = np.power(bases, np.maximum(exponents, 0))
    return Array(np.where(exponents < 0, inverses, powers).astype(powers.dtype))


def refuse_zero(x: Any, y: Any) -> None:
    """Raises PyTorch's error for integers divided by zero, which would come out as 0 here."""
    numbers, divisors = np.asarray(_values(x)), np.asarray(_values(y))
    if numbers.dtype.kind in "iub" and divisors.dtype.kind in "iub" and not divisors.all():
        raise RuntimeError("ZeroDivisionError")


def joined(real: Array, imag: Array) -> Array:
    """Returns the complex array of these parts."""
    shape = np.broadcast_shapes(real.shape, imag.shape)
    out = np.empty(shape, np.result_type(real._values, np.complex64))
    # Part by part: real + 1j * imag would turn an infinite part into a NaN in the other.
    out.real, out.imag = real._values, imag._values
    return Array(out)


def descending_order(x: Array, axis: int) -> Array:
    """Returns the places of the elements from the greatest to the least, equal ones in their order."""
    # Mirrored, sorted upwards and mirrored back, equal elements keep their order.
    mirrored = np.flip(np.argsort(np.flip(x._values, axis), axis=axis, stable=True), axis)
    return Array(x.shape[axis] - 1 - mirrored)


def scattered(x: Array, indices: Array, values: Array) -> Array:
    """Returns one-dimensional `x` with `values` added at `indices`, each as often as it occurs."""
    out = x._values.copy()
    with np.errstate(all="ignore"):
        np.add.at(out, indices._values, values._values)
    return Array(out)


def _values(argument: Any) -> Any:
    return argument._values if isinstance(argument, Array) else argument
