"""Calls of the required elementwise functions with what NumPy says they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from torchplug_conformance.reference import widened
from torchplug_conformance.sampling import Maker
from torchplug_conformance.trees import tree_map
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["Probe", "elementwise_probes", "in_wide"]

FLOATING = ("float", "complex")
REAL = ("bool", "uint", "int", "float")
NUMBERS = ("uint", "int", "float", "complex")
WHOLE = ("bool", "uint", "int")


class Probe:
    """A call of a required function: arguments with NumPy arrays for the engine's, the expected values and dtype."""

    __slots__ = ("arguments", "expected", "function", "result")

    def __init__(self, function: str, arguments: Sequence[Any], expected: np.ndarray, result: DType) -> None:
        self.function = function
        self.arguments = tuple(arguments)
        self.expected = expected
        self.result = result

    def __repr__(self) -> str:
        return f"{self.function}({', '.join(' '.join(repr(argument).split()) for argument in self.arguments)})"


def in_wide(function: Callable[..., Any], *arguments: Any) -> np.ndarray:
    """Returns NumPy's result of a call in double precision."""
    with np.errstate(all="ignore"):
        return np.asarray(function(*tree_map(widened, arguments)))


BINARY: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "add": (np.add, (*NUMBERS, "bool")),
    "subtract": (np.subtract, NUMBERS),
    "multiply": (np.multiply, (*NUMBERS, "bool")),
    "divide": (np.divide, FLOATING),
    "floor_divide": (np.floor_divide, ("uint", "int", "float")),
    "remainder": (np.remainder, ("uint", "int", "float")),
    "maximum": (np.maximum, REAL),
    "minimum": (np.minimum, REAL),
    "equal": (np.equal, (*REAL, "complex")),
    "less": (np.less, REAL),
    "bitwise_and": (np.bitwise_and, WHOLE),
    "bitwise_or": (np.bitwise_or, WHOLE),
}
UNARY: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "bitwise_invert": (np.invert, WHOLE),
    "abs": (np.abs, ("int", "float", "complex")),
    "exp": (np.exp, FLOATING),
    "log": (np.log, FLOATING),
    "sin": (np.sin, FLOATING),
    "cos": (np.cos, FLOATING),
    "atan": (np.arctan, FLOATING),
    "sqrt": (np.sqrt, FLOATING),
    "floor": (np.floor, ("float",)),
    "round": (np.round, ("float",)),
}
SHAPES = (((3, 4), (3, 4)), ((3, 1), (1, 4)), ((), (5,)), ((2, 0), (1, 1)), ((2, 1, 3), (4, 1)), ((), ()))
"""Pairs of shapes that broadcast."""


def elementwise_probes(dtype: DType) -> Iterator[Probe]:
    """Yields the probes of one element type."""
    make = Maker("contract", dtype)
    for name, (function, kinds) in BINARY.items():
        if dtype.kind in kinds:
            yield from _binary(name, function, make, dtype)
    for name, (function, kinds) in UNARY.items():
        if dtype.kind in kinds:
            yield from _unary(name, function, make, dtype)
    yield from _powers(make, dtype)
    yield from _choices(make, dtype)
    if dtype.is_floating_point:
        yield from _special_values(dtype)


def _binary(name: str, function: Callable[..., Any], make: Maker, dtype: DType) -> Iterator[Probe]:
    result = dt.bool_ if name in ("equal", "less") else dtype
    divides = name in ("floor_divide", "remainder", "divide")
    for left, right in SHAPES:
        x, y = make(left), make(right, positive=True) if divides else make(right)
        yield Probe(name, (x, y), in_wide(function, x, y), result)
    if dtype.kind in ("int", "float"):
        x = make(4)
        yield Probe(name, (x, 3), in_wide(function, x, 3), result)
        y = make(4, positive=True)
        yield Probe(name, (2, y), in_wide(function, 2, y), result)
        if dtype.kind == "float":
            yield Probe(name, (x, 0.5), in_wide(function, x, 0.5), result)
            yield Probe(name, (1.5, y), in_wide(function, 1.5, y), result)
        negative = np.array([-7, -7, 7, 7]).astype(dtype.numpy), np.array([2, -2, 2, -2]).astype(dtype.numpy)
        yield Probe(name, negative, in_wide(function, *negative), result)
    if not divides:
        x = make(4)
        yield Probe(name, (x, x), in_wide(function, x, x), result)


def _unary(name: str, function: Callable[..., Any], make: Maker, dtype: DType) -> Iterator[Probe]:
    result = dtype.to_real() if name == "abs" else dtype
    positive = name in ("log", "sqrt") and not dtype.is_complex
    for shape in ((3, 4), (), (2, 0), (5,)):
        x = make(shape, positive=positive)
        yield Probe(name, (x,), in_wide(function, x), result)
    if name in ("floor", "round"):
        halves = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, -0.75, 2.25]).astype(dtype.numpy)
        yield Probe(name, (halves,), in_wide(function, halves), result)


def _powers(make: Maker, dtype: DType) -> Iterator[Probe]:
    if dtype.kind == "bool":
        return
    whole = dtype.kind in ("uint", "int")
    x = make(3, 4, low=0, high=4) if whole else make(3, 4, positive=True)
    y = make(4, low=0, high=3) if whole else make(4)
    yield Probe("pow", (x, y), in_wide(np.power, x, y), dtype)
    yield Probe("pow", (x, 2), in_wide(np.power, x, 2), dtype)


def _choices(make: Maker, dtype: DType) -> Iterator[Probe]:
    for condition, left, right in (((3, 4), (3, 4), (3, 4)), ((3, 1), (4,), ()), ((2,), (1, 2), (3, 1))):
        mask, x, y = make.mask(condition), make(left), make(right)
        yield Probe("where", (mask, x, y), np.where(mask, x, y), dtype)


def _special_values(dtype: DType) -> Iterator[Probe]:
    """Infinities, NaN and zeros of both signs, against each other."""
    values = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0]).astype(dtype.numpy)
    left, right = (np.asarray(side) for side in np.broadcast_arrays(values[:, None], values[None, :]))
    x, y = np.ascontiguousarray(left), np.ascontiguousarray(right)
    for name in ("add", "multiply", "divide", "maximum", "minimum", "equal", "less"):
        result = dt.bool_ if name in ("equal", "less") else dtype
        yield Probe(name, (x, y), in_wide(BINARY[name][0], x, y), result)
    for name in ("exp", "log", "sqrt", "atan", "abs", "floor", "round"):
        yield Probe(name, (values,), in_wide(UNARY[name][0], values), dtype)
