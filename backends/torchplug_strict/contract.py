"""Checks the arguments of every call: what the contract lets a front end pass, not what a lenient library takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from torchplug_spec.dtypes import DType
from torchplug_strict.array import StrictArray, hidden

__all__ = ["ARGUMENTS", "DOMAINS", "MEANINGS", "prepared"]

ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    "full": ("shape", "number", "dtype", "device"),
    "arange": ("number", "number", "number", "dtype", "device"),
    "astype": ("array", "dtype"),
    **dict.fromkeys(("add", "subtract", "multiply", "pow", "maximum", "minimum", "equal"), ("operand", "operand")),
    **dict.fromkeys(("divide", "floor_divide", "remainder", "less"), ("operand", "operand")),
    **dict.fromkeys(("bitwise_and", "bitwise_or"), ("operand", "operand")),
    **dict.fromkeys(("abs", "bitwise_invert", "exp", "log", "sin", "cos", "atan", "sqrt"), ("array",)),
    **dict.fromkeys(("floor", "round"), ("array",)),
    "where": ("mask", "operand", "operand"),
    **dict.fromkeys(("sum", "prod", "max"), ("array", "axis", "flag")),
    "argmax": ("array", "one axis", "flag"),
    "matmul": ("matrices", "matrices"),
    "reshape": ("array", "shape"),
    "permute_dims": ("array", "axes"),
    "broadcast_to": ("array", "shape"),
    "concat": ("arrays", "one axis"),
    "take": ("array", "indices", "one axis"),
    "argsort": ("array", "one axis", "flag"),
    "scatter_add": ("vector", "indices", "vector"),
    **dict.fromkeys(("real", "imag", "conj"), ("array",)),
    "complex": ("array", "array"),
}
"""Function of the contract -> what each of its arguments must be."""

MEANINGS: Final[dict[str, str]] = {
    "array": "an array",
    "arrays": "a list or tuple of one or more arrays of one element type",
    "axes": "a tuple of ints: every axis once, none negative",
    "axis": "an int, a tuple of ints, or None for all axes",
    "device": "one of the strings of `devices()`",
    "dtype": "a `torchplug_spec.dtypes.DType`",
    "flag": "True or False",
    "indices": "an int64 array of one axis, every place within range and none negative",
    "mask": "a bool array",
    "matrices": "an array of two axes or more; those in front of the last two broadcast",
    "number": "a Python number",
    "one axis": "an int",
    "operand": "an array, or a Python number that the other operand's element type can hold; operands have one element type",
    "shape": "a tuple of ints",
    "vector": "an array of one axis",
}
"""What an argument must be -> the same in words, for the documentation."""

DOMAINS: Final = {
    **dict.fromkeys(("exp", "log", "sin", "cos", "atan", "sqrt", "divide"), "fc"),
    **dict.fromkeys(("floor", "round", "floor_divide", "remainder", "maximum", "minimum", "less", "max"), "biuf"),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_invert"), "biu"),
    **dict.fromkeys(("real", "imag", "conj"), "c"),
    "complex": "f",
}
"""Function -> the NumPy kinds of element types it is defined for; the others take all."""


def prepared(name: str, arguments: tuple[Any, ...]) -> list[Any]:
    """Returns the arguments with the values of arrays in their place; TypeError or IndexError for a broken contract."""
    kinds = ARGUMENTS[name]
    if len(arguments) != len(kinds):
        raise TypeError(f"{name} got {len(arguments)} arguments, expected {len(kinds)}: {', '.join(kinds)}")
    values = [_CHECKS[kind](name, argument) for kind, argument in zip(kinds, arguments, strict=True)]
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    domain = DOMAINS.get(name)
    if domain is not None:
        for array in arrays:
            if _kind(array) not in domain:
                raise TypeError(f"{name} got an array of {array.dtype}, for which it is not defined")
    if name in ("take", "scatter_add"):
        _check_range(name, values[0], values[1], values[2] if name == "take" else 0)
    elif kinds[-1] == "operand":
        return values[:-2] + _agreeing(name, values[-2], values[-1])
    return values


def _kind(array: np.ndarray) -> str:
    return "f" if array.dtype.kind == "V" else array.dtype.kind  # NumPy counts bfloat16 as void


def _agreeing(name: str, x: Any, y: Any) -> list[Any]:
    """Returns two operands of one element type; a Python number takes the other's, if that can hold its kind."""
    if not isinstance(x, np.ndarray) and not isinstance(y, np.ndarray):
        raise TypeError(f"{name} got two Python numbers, expected an array among them")
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        if x.dtype != y.dtype:
            raise TypeError(f"{name} got {x.dtype} and {y.dtype}, expected operands of one element type")
        return [x, y]
    array, number = (x, y) if isinstance(x, np.ndarray) else (y, x)
    if _NUMBER_RANK[type(number)] > _KIND_RANK[_kind(array)]:
        raise TypeError(f"{name} got the number {number!r} for an array of {array.dtype}, which cannot hold its kind")
    if array.dtype.kind == "V":
        number = np.asarray(number, array.dtype)
    return [x, number] if array is x else [number, y]


_NUMBER_RANK: Final = {bool: 0, int: 1, float: 2, complex: 3}
_KIND_RANK: Final = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}


def _check_range(name: str, x: np.ndarray, indices: np.ndarray, axis: int) -> None:
    if indices.size and (indices.min() < 0 or indices.max() >= x.shape[axis]):
        raise IndexError(
            f"{name} got indices from {indices.min()} to {indices.max()}, expected 0 to {x.shape[axis] - 1}"
        )


def _array(name: str, argument: Any) -> np.ndarray:
    if type(argument) is not StrictArray:
        raise TypeError(f"{name} got {type(argument).__name__}, expected an array of this backend")
    return hidden(argument)


def _operand(name: str, argument: Any) -> Any:
    return argument if type(argument) in (bool, int, float, complex) else _array(name, argument)


def _number(name: str, argument: Any) -> Any:
    if type(argument) not in (bool, int, float, complex):
        raise TypeError(f"{name} got {type(argument).__name__}, expected a Python number")
    return argument


def _mask(name: str, argument: Any) -> np.ndarray:
    return _of_type(name, argument, np.dtype(bool))


def _vector(name: str, argument: Any) -> np.ndarray:
    return _of_rank(name, _array(name, argument), 1, 1)


def _indices(name: str, argument: Any) -> np.ndarray:
    return _of_rank(name, _of_type(name, argument, np.dtype(np.int64)), 1, 1)


def _matrices(name: str, argument: Any) -> np.ndarray:
    return _of_rank(name, _array(name, argument), 2, 64)


def _of_type(name: str, argument: Any, dtype: np.dtype) -> np.ndarray:
    array = _array(name, argument)
    if array.dtype != dtype:
        raise TypeError(f"{name} got an array of {array.dtype}, expected {dtype}")
    return array


def _of_rank(name: str, array: np.ndarray, least: int, most: int) -> np.ndarray:
    if not least <= array.ndim <= most:
        raise TypeError(f"{name} got an array of {array.ndim} axes, expected {least}" + " or more" * (most > least))
    return array


def _arrays(name: str, argument: Any) -> list[np.ndarray]:
    if not isinstance(argument, Sequence) or not argument:
        raise TypeError(f"{name} got {type(argument).__name__}, expected a list of arrays that is not empty")
    arrays = [_array(name, each) for each in argument]
    if len({array.dtype for array in arrays}) > 1:
        raise TypeError(f"{name} got several element types: {', '.join(str(array.dtype) for array in arrays)}")
    return arrays


def _shape(name: str, argument: Any) -> tuple[int, ...]:
    if not isinstance(argument, tuple) or any(type(length) is not int for length in argument):
        raise TypeError(f"{name} got {argument!r}, expected a tuple of ints")
    return argument


def _one_axis(name: str, argument: Any) -> int:
    if type(argument) is not int:
        raise TypeError(f"{name} got the axis {argument!r}, expected an int")
    return argument


def _axis(name: str, argument: Any) -> Any:
    if argument is None or type(argument) is int:
        return argument
    return _shape(name, argument)


def _flag(name: str, argument: Any) -> bool:
    if type(argument) is not bool:
        raise TypeError(f"{name} got {argument!r}, expected True or False")
    return argument


def _dtype(name: str, argument: Any) -> DType:
    if type(argument) is not DType:
        raise TypeError(f"{name} got {argument!r}, expected a torchplug_spec.dtypes.DType")
    return argument


def _device(name: str, argument: Any) -> str:
    if argument != "cpu":
        raise ValueError(f"{name} got the device {argument!r}, expected 'cpu'")
    return "cpu"


_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "array": _array, "arrays": _arrays, "axes": _shape, "axis": _axis, "device": _device, "dtype": _dtype,
    "flag": _flag, "indices": _indices, "mask": _mask, "matrices": _matrices, "number": _number, "one axis": _one_axis,
    "operand": _operand, "shape": _shape, "vector": _vector,
}  # fmt: skip
