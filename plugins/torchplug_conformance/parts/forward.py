"""Forward: each declared function gives the values of its default composition in double precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from torchplug._core.declare import Declaration
from torchplug_conformance.calls import Call, Outcome
from torchplug_conformance.cases import Case, Subject, declared_calls
from torchplug_conformance.comparison import value_differences
from torchplug_conformance.tolerance import Tolerance
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["PRIMARY", "cases", "compare", "primary_dtypes"]

PRIMARY = {"float": dt.float32, "complex": dt.complex64, "int": dt.int64, "bool": dt.bool_}
"""The type of each kind that every sample of a function runs in."""


def primary_dtypes(declaration: Declaration) -> Sequence[DType]:
    """Returns the main type of each kind a function is declared for."""
    return [PRIMARY[kind] for kind in declaration.dtypes]


def cases(subject: Subject) -> Iterator[Case]:
    for name, call, lines in declared_calls(subject, primary_dtypes):
        yield Case("forward", name, partial(check, subject, call), lines)


def check(subject: Subject, call: Call) -> Iterator[str]:
    yield from compare(subject, call.run(subject.name), call.expected(), call.tolerance())


def compare(subject: Subject, got: Outcome, expected: Outcome, tolerance: Tolerance) -> Iterator[str]:
    """Yields how an outcome differs from the reference's; a refusal of what the backend does not claim is right."""
    if subject.excuses(got.error):
        return
    if expected.error is not None:
        if got.error is None:
            yield f"did not raise, expected {described(expected.error)}"
        elif not isinstance(got.error, type(expected.error)):
            yield f"raised {described(got.error)}, expected {described(expected.error)}"
    elif got.error is not None:
        yield f"raised {described(got.error)}"
    else:
        yield from value_differences(got.value, expected.value, tolerance)


def described(error: Exception) -> str:
    """Returns the type and the first line of an error."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
