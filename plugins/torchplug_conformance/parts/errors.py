"""Errors: calls that must fail do, with the exception and the words declared, and leave what they were given alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torchplug._core.declare import DECLARATIONS
from torchplug_conformance.calls import Call
from torchplug_conformance.cases import Case, Subject
from torchplug_conformance.parts.forward import described
from torchplug_conformance.parts.wholes import error_cases
from torchplug_spec import dtypes as dt

__all__ = ["cases"]


def cases(subject: Subject) -> Iterator[Case]:
    for declaration in DECLARATIONS.values():
        for number, sample in enumerate(declaration.errors() if declaration.errors is not None else ()):
            call = Call(declaration, sample, dt.float32)
            name = f"{declaration.family}-{declaration.name}-{number}"
            yield Case("errors", name, partial(check, subject, call), _reproduction(subject, call, number))
    yield from error_cases(subject)


def check(subject: Subject, call: Call) -> Iterator[str]:
    kind, words = call.sample.error or (Exception, "")
    error = call.run(subject.name).error
    if subject.excuses(error):
        return
    if error is None:
        yield f"did not raise, expected {kind.__name__}: {words}"
    elif not isinstance(error, kind) or words not in str(error):
        yield f"raised {described(error)}, expected {kind.__name__}: {words}"


def _reproduction(subject: Subject, call: Call, number: int) -> tuple[str, ...]:
    kind, words = call.sample.error or (Exception, "")
    return (
        "from torchplug_conformance import failing_call",
        f'failing_call("{call.declaration.name}", {number}, backend="{subject.name}")',
        f"# expected {kind.__name__}: {words}",
    )
