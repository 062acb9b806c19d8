"""Programs: what is no function of its own, on the backend and the reference: indexing, operators, autograd."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torchplug_conformance.calls import Outcome, attempt
from torchplug_conformance.cases import Case, Subject
from torchplug_conformance.parts.autograd_programs import AUTOGRAD_PROGRAMS
from torchplug_conformance.parts.forward import compare
from torchplug_conformance.parts.indexing_programs import INDEXING_PROGRAMS
from torchplug_conformance.parts.tensor_programs import TENSOR_PROGRAMS
from torchplug_conformance.reference import REFERENCE, on_backend
from torchplug_conformance.tolerance import Tolerance
from torchplug_spec import dtypes as dt

__all__ = ["PROGRAMS", "cases"]

PROGRAMS: dict[str, Callable[[], Any]] = {
    **{f"indexing-{name}": program for name, program in INDEXING_PROGRAMS.items()},
    **{f"tensor-{name}": program for name, program in TENSOR_PROGRAMS.items()},
    **{f"autograd-{name}": program for name, program in AUTOGRAD_PROGRAMS.items()},
}
"""Name -> a program over the default backend that returns what it computed."""


def cases(subject: Subject) -> Iterator[Case]:
    for name in PROGRAMS:
        lines = (
            "from torchplug_conformance.parts.programs import PROGRAMS, on_backend",
            f'with on_backend("{subject.name}"):',
            f'    print(PROGRAMS["{name}"]())',
        )
        yield Case("programs", name, partial(check, subject, name), lines)


def check(subject: Subject, name: str) -> Iterator[str]:
    tolerance = Tolerance(dt.float32, ())
    yield from compare(subject, _run(subject.name, name), _run(REFERENCE, name), tolerance)


def _run(backend: str, name: str) -> Outcome:
    with on_backend(backend):
        return attempt(PROGRAMS[name])
