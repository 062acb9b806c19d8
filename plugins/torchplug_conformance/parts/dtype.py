"""Dtype: results have the promoted types, shapes and containers, and hold the precision of their type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from torchplug._core.declare import Declaration
from torchplug_conformance.calls import Call
from torchplug_conformance.cases import Case, Subject, declared_calls
from torchplug_conformance.comparison import type_differences
from torchplug_conformance.parts.forward import compare
from torchplug_conformance.parts.wholes import dtype_cases
from torchplug_conformance.sampling import DTYPES
from torchplug_spec import DType

__all__ = ["cases"]

SAMPLES = 1
"""How many samples of a function run in every type: the types follow from the function, not from the shapes."""


def cases(subject: Subject) -> Iterator[Case]:
    for name, call, lines in declared_calls(subject, all_dtypes, SAMPLES):
        yield Case("dtype", name, partial(check, subject, call), lines)
    yield from dtype_cases(subject)


def all_dtypes(declaration: Declaration) -> Sequence[DType]:
    """Returns every type of the kinds a function is declared for."""
    return [dtype for kind in declaration.dtypes for dtype in DTYPES[kind]]


def check(subject: Subject, call: Call) -> Iterator[str]:
    got = call.run(subject.name)
    expected = call.expected()
    if got.error is None and expected.error is None:
        found = list(type_differences(got.value, expected.value))
        if found:
            yield from found
            return
    yield from compare(subject, got, expected, call.tolerance())
