"""bfloat16 arrays that stay bfloat16 beside a Python number, and compute without warnings.

ml_dtypes widens: `x + 0.5` of a bfloat16 array is float32, and `np.where(c, x, 0.0)` float64. The contract, and PyTorch,
keep the type. A subclass sees every ufunc before it runs, so arrays of other types pay nothing for this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from torchplug_numpy.quiet import quiet_context
from torchplug_spec.backend import Array

__all__ = ["BFloat16Array", "class_for", "typed"]

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_COMPARISONS = frozenset({np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal})


class BFloat16Array(np.ndarray):
    """A NumPy array of ml_dtypes.bfloat16."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        beside_float = method == "__call__" and any([type(each) is float for each in inputs])
        if beside_float and ufunc in _COMPARISONS:
            inputs, beside_float = tuple(map(_narrowed, inputs)), False
        if "out" in options:
            options["out"] = tuple(map(_plain, options["out"]))
        result = quiet_context().run(getattr(ufunc, method), *map(_plain, inputs), **options)
        if beside_float and getattr(result, "dtype", None) == np.float32:
            result = quiet_context().run(result.astype, _BFLOAT16)  # computed in float32, rounded once, as PyTorch does
        return typed(result)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, arguments: Any, options: Mapping[str, Any]
    ) -> Any:
        if function is np.where:
            arguments = (arguments[0], *map(_narrowed, arguments[1:]))
        return typed(quiet_context().run(super().__array_function__, function, types, arguments, options))

    def astype(self, *arguments: Any, **options: Any) -> Any:
        return typed(_plain(self).astype(*arguments, **options))

    def view(self, *arguments: Any) -> Any:  # type: ignore[override]  # NumPy overloads it five ways
        return _plain(self) if arguments == (np.ndarray,) else typed(_plain(self).view(*arguments))

    def argmax(self, *arguments: Any, **options: Any) -> Any:
        return _plain(self).argmax(*arguments, **options)

    def argmin(self, *arguments: Any, **options: Any) -> Any:
        return _plain(self).argmin(*arguments, **options)

    def argsort(self, *arguments: Any, **options: Any) -> Any:
        return _plain(self).argsort(*arguments, **options)


def class_for(dtype: np.dtype) -> type[np.ndarray]:
    """Returns the class arrays of an element type have."""
    return BFloat16Array if dtype is _BFLOAT16 else np.ndarray


def typed(x: Any) -> Array:
    """Returns bfloat16 as a BFloat16Array over the same memory, everything else as plain NumPy; tuples piece by piece."""
    if isinstance(x, np.ndarray):
        return np.ndarray.view(x, BFloat16Array) if x.dtype is _BFLOAT16 else _plain(x)
    if isinstance(x, ml_dtypes.bfloat16):  # a 0-d result: as a scalar it would not see the next ufunc
        return np.ndarray.view(np.asarray(x), BFloat16Array)
    return tuple(map(typed, x)) if isinstance(x, tuple) else x


def _plain(x: Any) -> Any:
    return np.ndarray.view(x, np.ndarray) if isinstance(x, BFloat16Array) else x


def _narrowed(x: Any) -> Any:
    return np.asarray(x, _BFLOAT16) if type(x) is float else x
