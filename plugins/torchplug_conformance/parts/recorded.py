"""Comparison of a recipe's numbers on a backend with those PyTorch gave, recorded in the package."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import torchplug
from torchplug_conformance.calls import attempt
from torchplug_conformance.cases import Case, Subject
from torchplug_conformance.comparison import value_differences
from torchplug_conformance.parts.forward import described
from torchplug_conformance.reference import on_backend
from torchplug_conformance.tolerance import Tolerance
from torchplug_conformance.trees import Leaf
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["FOLDER", "Within", "differences", "recorded", "recorded_cases"]

FOLDER = Path(__file__).parents[1] / "recorded"


@functools.cache
def recorded(table: str) -> Mapping[str, Any]:
    """Returns what PyTorch gave for each recipe of a table."""
    numbers: Mapping[str, Any] = json.loads((FOLDER / f"{table}.json").read_text(encoding="utf-8"))["numbers"]
    return numbers


class Within(Tolerance):
    """A tolerance relative to the largest number of a result: what is left of float32 after a number of roundings."""

    def __init__(self, relative: float) -> None:
        super().__init__(dt.float32, ())
        self.relative = relative


def recorded_cases(
    part: str,
    subject: Subject,
    table: str,
    run: Callable[[Any, str], Any],
    relative: float,
    missing: Callable[[str], bool] = lambda name: False,
    suffix: str = "",
) -> Iterator[Case]:
    """Yields a case per recipe of a table; recipes that need what this torchplug does not have are left out.

    `suffix`: what the names of cases end with, where a recipe is run in several ways that all give the recorded numbers.
    """
    module = f"{run.__module__}"
    for name in recorded(table):
        if missing(name):
            continue
        lines = (
            f"import torchplug; from {module} import {run.__name__}",
            f'with torchplug.use_backend("{subject.name}"):',
            f'    print({run.__name__}(torchplug, "{name}"))',
        )
        yield Case(part, f"{name}{suffix}", partial(check, subject, table, run, name, relative), lines)


def check(subject: Subject, table: str, run: Callable[[Any, str], Any], name: str, relative: float) -> Iterator[str]:
    """Runs a recipe on the backend and compares every number it returns."""
    with on_backend(subject.name):
        outcome = attempt(lambda: run(torchplug, name))
    if subject.excuses(outcome.error):
        return
    if outcome.error is not None:
        yield f"raised {described(outcome.error)}"
    else:
        yield from differences(outcome.value, recorded(table)[name], Within(relative))


def differences(got: Any, expected: Any, tolerance: Tolerance, where: str = "result") -> Iterator[str]:
    """Yields how nested dicts and lists of numbers differ; rectangular lists are compared as arrays."""
    if isinstance(expected, dict):
        if not isinstance(got, dict) or list(got) != list(expected):
            yield f"{where}: got {_keys(got)}, PyTorch has {_keys(expected)}"
            return
        for key in expected:
            yield from differences(got[key], expected[key], tolerance, f"{where}[{key!r}]")
        return
    arrays = _array(got), _array(expected)
    if arrays[0] is not None and arrays[1] is not None:
        yield from value_differences(Leaf(arrays[0], _dtype(arrays[0])), Leaf(arrays[1], dt.float64), tolerance, where)
    elif isinstance(expected, list) and isinstance(got, list) and len(got) == len(expected):
        for place, (one, other) in enumerate(zip(got, expected, strict=True)):
            yield from differences(one, other, tolerance, f"{where}[{place}]")
    elif got != expected:
        yield f"{where}: got {got!r:.80}, PyTorch has {expected!r:.80}"


def _keys(value: Any) -> str:
    return ", ".join(value) if isinstance(value, dict) else f"{value!r:.60}"


def _dtype(array: np.ndarray) -> DType:
    return dt.from_numpy_dtype(array.dtype)


def _array(value: Any) -> np.ndarray | None:
    if not isinstance(value, (list, int, float)) or isinstance(value, bool):
        return None
    try:
        array = np.array(value)
    except ValueError:
        return None  # lists of different lengths
    return array if array.dtype.kind in "iuf" else None
