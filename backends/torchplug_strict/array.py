"""The opaque array: shape, ndim, dtype, basic indexing, and a TypeError for everything else."""

from __future__ import annotations

from typing import Any, Final, NoReturn

import numpy as np

from torchplug_spec.dtypes import ALL, DType
from torchplug_strict.calls import call

__all__ = ["StrictArray", "StrictDType", "hidden", "native", "opaque"]


class StrictDType:
    """An element type of the library's own: it can be compared and hashed, and its name printed."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"strict.{self._name}"


_NATIVE: Final = {dtype: StrictDType(dtype.name) for dtype in ALL}
_BY_LAYOUT: Final = {dtype.numpy: native for dtype, native in _NATIVE.items()}


def native(dtype: DType) -> StrictDType:
    """Returns the library's spelling of an element type."""
    return _NATIVE[dtype]


class StrictArray:
    """An immutable array on the host that behaves as one on a device would: nothing reads its values but `to_numpy`."""

    __slots__ = ("__values", "__weakref__")
    __values: np.ndarray

    def __init__(self) -> None:
        raise TypeError("a StrictArray is made by the functions of the backend, never by its class")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.__values.shape

    @property
    def ndim(self) -> int:
        return self.__values.ndim

    @property
    def dtype(self) -> StrictDType:
        return _BY_LAYOUT[self.__values.dtype]

    def __getitem__(self, key: Any) -> StrictArray:
        if type(key) is not tuple:
            raise TypeError(f"got {type(key).__name__} as the index of a StrictArray, expected a tuple")
        for part in key:
            if type(part) is slice:
                _check_slice(part)
            elif part is not None and part is not Ellipsis and type(part) is not int:
                raise TypeError(f"got {type(part).__name__} in the index of a StrictArray, expected basic indexing")
        named = sum(part is not None for part in key)
        if Ellipsis not in key and named != self.ndim:
            raise TypeError(f"got an index of {named} axes for {self.ndim}; name every axis, or use an Ellipsis")
        return call("indexing", _indexed, (self, key))

    def __repr__(self) -> str:
        return f"StrictArray(shape={self.shape}, dtype={self.dtype})"


def _check_slice(part: slice) -> None:
    for bound in (part.start, part.stop, part.step):
        if bound is not None and type(bound) is not int:
            raise TypeError(f"got a slice with {type(bound).__name__}, expected int or None")


def opaque(values: Any) -> StrictArray:
    """Returns a StrictArray over `values`, which nobody may write from now on."""
    array = object.__new__(StrictArray)
    frozen = np.asarray(values)
    frozen.flags.writeable = False
    object.__setattr__(array, "_StrictArray__values", frozen)
    return array


def hidden(array: StrictArray) -> np.ndarray:
    """Returns the values behind a StrictArray, for the functions of the backend alone."""
    values: np.ndarray = object.__getattribute__(array, "_StrictArray__values")
    return values


def _indexed(array: StrictArray, key: Any) -> StrictArray:
    return opaque(hidden(array)[key])


def _leak(name: str) -> Any:
    def refuse(self: StrictArray, *args: object, **options: object) -> NoReturn:
        raise TypeError(f"a StrictArray has no {name}: the contract offers shape, ndim, dtype and basic indexing")

    refuse.__name__ = name
    return refuse


# What Python or NumPy would otherwise answer without asking: identity for ==, True for bool(), an object array for
# np.asarray, iteration through __getitem__, a copy through __reduce_ex__.
for _name in (
    "__array__", "__bool__", "__contains__", "__eq__", "__iter__", "__ne__", "__reduce_ex__", "__reversed__",
):  # fmt: skip
    setattr(StrictArray, _name, _leak(_name))
StrictArray.__array_ufunc__ = None  # type: ignore[attr-defined]  # NumPy's operators answer with TypeError
StrictArray.__hash__ = object.__hash__  # type: ignore[method-assign]  # identity, for tables keyed by array
