"""Comparison of two snapshots of a result: containers, dtypes, shapes, values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from torchplug_conformance.tolerance import Tolerance
from torchplug_conformance.trees import Leaf
from torchplug_spec import DType

__all__ = ["value_differences", "type_differences"]


def type_differences(got: Any, expected: Any, where: str = "result") -> Iterator[str]:
    """Yields how containers, dtypes and shapes of a result differ from the expected ones."""
    if isinstance(expected, (tuple, list)):
        if not isinstance(got, (tuple, list)) or len(got) != len(expected):
            yield f"{where}: got {_shown(got)}, expected {_shown(expected)}"
            return
        for place, (one, other) in enumerate(zip(got, expected, strict=True)):
            yield from type_differences(one, other, f"{where}[{place}]")
    elif isinstance(expected, dict):
        if not isinstance(got, dict) or list(got) != list(expected):
            yield f"{where}: got {_shown(got)}, expected {_shown(expected)}"
            return
        for key in expected:
            yield from type_differences(got[key], expected[key], f"{where}[{key!r}]")
    elif isinstance(expected, Leaf):
        if not isinstance(got, Leaf):
            yield f"{where}: got {_shown(got)}, expected a tensor"
        elif got.dtype is not expected.dtype:
            yield f"{where}: got dtype {got.dtype}, expected {expected.dtype}"
        elif got.values.shape != expected.values.shape:
            yield f"{where}: got shape {list(got.values.shape)}, expected {list(expected.values.shape)}"
    elif type(got) is not type(expected):
        yield f"{where}: got {_shown(got)}, expected {_shown(expected)}"


def value_differences(got: Any, expected: Any, tolerance: Tolerance, where: str = "result") -> Iterator[str]:
    """Yields where the values of a result differ from the expected ones, beyond a tolerance where they are inexact."""
    if isinstance(expected, (tuple, list)):
        if not isinstance(got, (tuple, list)) or len(got) != len(expected):
            yield f"{where}: got {_shown(got)}, expected {_shown(expected)}"
            return
        for place, (one, other) in enumerate(zip(got, expected, strict=True)):
            yield from value_differences(one, other, tolerance, f"{where}[{place}]")
    elif isinstance(expected, dict):
        if not isinstance(got, dict) or list(got) != list(expected):
            yield f"{where}: got {_shown(got)}, expected {_shown(expected)}"
            return
        for key in expected:
            yield from value_differences(got[key], expected[key], tolerance, f"{where}[{key!r}]")
    elif isinstance(expected, Leaf):
        if isinstance(got, Leaf):
            yield from _array_differences(got.values, _rounded(expected.values, got.dtype), tolerance, where)
        else:
            yield f"{where}: got {_shown(got)}, expected a tensor"
    elif isinstance(expected, (float, complex)) and isinstance(got, (int, float, complex)):
        yield from _array_differences(np.asarray(got), np.asarray(expected), tolerance, where)
    elif got != expected:
        yield f"{where}: got {got!r}, expected {expected!r}"


def _rounded(expected: np.ndarray, dtype: DType) -> np.ndarray:
    """Returns expected numbers as the type that holds the result can hold them: beyond its range is infinity."""
    if dtype.kind != {"f": "float", "V": "float", "c": "complex"}.get(expected.dtype.kind):
        return expected
    with np.errstate(all="ignore"):
        return expected.astype(dtype.numpy)


def _array_differences(got: np.ndarray, expected: np.ndarray, tolerance: Tolerance, where: str) -> Iterator[str]:
    if got.shape != expected.shape:
        yield f"{where}: got shape {list(got.shape)}, expected {list(expected.shape)}"
        return
    if expected.dtype.kind in "biu":
        close = np.asarray(got == expected)
    else:
        wide = np.complex128 if "c" in (got.dtype.kind, expected.dtype.kind) else np.float64
        got, expected = got.astype(wide), expected.astype(wide)
        close = tolerance.close(got, expected)
    if not close.all():
        bad = np.argwhere(~close)
        place = tuple(int(index) for index in bad[0])
        yield (
            f"{where}: {len(bad)} of {expected.size} values differ, first at {list(place)}: got {got[place]}, expected "
            f"{expected[place]}"
        )


def _shown(value: Any) -> str:
    if isinstance(value, Leaf):
        return "a tensor"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(str, value))}"
    return f"a {type(value).__name__} ({value!r:.60})"
