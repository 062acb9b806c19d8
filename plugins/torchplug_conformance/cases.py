"""Cases: what a part checks, under a name that says which function, dtype and sample; and the parts by level."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable, Iterator, Sequence

import torchplug_conformance.sampling as sampling
from torchplug._core.declare import DECLARATIONS, Declaration, Sample
from torchplug._core.kind import Engine, engine_for
from torchplug_conformance.calls import Call
from torchplug_conformance.reference import on_backend
from torchplug_spec import CAPABILITIES, DType, NotSupportedError, capability_for

__all__ = ["LEVELS", "PARTS", "Case", "Subject", "by_name", "cases_of", "declared_calls"]

LEVELS = {1: "computes", 2: "trains", 3: "compiles", 4: "identical"}
"""What a backend can do when it passes every case of a level and of those below."""

PARTS = {
    "contract": 1,
    "capabilities": 1,
    "forward": 1,
    "dtype": 1,
    "aliasing": 1,
    "programs": 1,
    "errors": 1,
    "gradient": 2,
    "modules": 2,
    "optimizers": 2,
    "files": 2,
    "replay": 3,
    "streams": 4,
    "training": 4,
}
"""The parts of the suite and the level each belongs to; each is a module of `torchplug_conformance.parts`."""

Check = Callable[[], Iterator[str]]


class Case:
    """One thing checked. `check` yields differences, none when the backend is right; `lines` reproduce it.

    `foreign`: it checks a function of a plugin, which comes and goes with that and not with versions of the suite.
    """

    __slots__ = ("check", "foreign", "lines", "name", "part")

    def __init__(self, part: str, name: str, check: Check, lines: Sequence[str] = ()) -> None:
        self.part = part
        self.name = name
        self.check = check
        self.lines = tuple(lines)
        self.foreign = False

    @property
    def key(self) -> str:
        """The case's name among all of the suite: what known failures are declared by."""
        return f"{self.part}-{self.name}"

    @property
    def level(self) -> int:
        return PARTS[self.part]

    def differences(self) -> list[str]:
        """Runs the case and returns every difference it finds; an error in the check itself is one."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return list(self.check())
            except Exception as error:
                return [f"raised {type(error).__name__}: {error}"]


class Subject:
    """The backend under test and what it says it can do."""

    def __init__(self, name: str) -> None:
        self.name = name
        with on_backend(name):
            self.engine: Engine = engine_for(name)
        self.capabilities = self.engine.backend.capabilities

    def has(self, dtype: DType) -> bool:
        """Says whether the backend claims to hold a dtype."""
        needed = capability_for(dtype)
        return needed is None or needed in self.capabilities

    def excuses(self, error: Exception | None) -> bool:
        """Says whether an error is the refusal of a capability the backend does not claim."""
        return isinstance(error, NotSupportedError) and error.capability in CAPABILITIES.keys() - self.capabilities


def cases_of(part: str, subject: Subject) -> list[Case]:
    """Returns the cases of one part for a backend, each with lines that reproduce it."""
    found = list(importlib.import_module(f"torchplug_conformance.parts.{part}").cases(subject))
    for case in found:
        case.lines = case.lines or by_name(case.key, subject.name)
    of_plugins(found)
    return found


@functools.cache
def samples_of(name: str, dtype: DType, stream: int = 0) -> tuple[Sample, ...]:
    """Returns the samples of a declared function for one dtype, the same objects on every call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # arithmetic on random integers may wrap
        return tuple(sampling.samples_of(DECLARATIONS[name], dtype, stream))


def declared_calls(
    subject: Subject, choose: Callable[[Declaration], Sequence[DType]], most: int | None = None
) -> Iterator[tuple[str, Call, tuple[str, ...]]]:
    """Yields (name, call, lines that reproduce it) for the samples of every declared function, `most` of each dtype."""
    for declaration in DECLARATIONS.values():
        if declaration.samples is None:
            continue
        for dtype in choose(declaration):
            if not subject.has(dtype):
                continue
            for number, sample in enumerate(samples_of(declaration.name, dtype)[:most]):
                name = f"{declaration.family}-{declaration.name}-{dtype.name}-{number}"
                call = Call(declaration, sample, dtype)
                yield name, call, _reproduction(subject, call, number)


def of_plugins(cases: Sequence[Case]) -> None:
    """Marks the cases of functions that plugins brought."""
    from torchplug._tensor.plugin_ops import ADOPTED

    brought = tuple(f"{op.plugin}-{name}-" for name, op in ADOPTED.items())
    for case in cases:
        case.foreign = bool(brought) and case.name.startswith(brought)


def by_name(key: str, backend: str) -> tuple[str, ...]:
    """Returns lines that run a case by its name."""
    return (
        "from torchplug_conformance import differences",
        f'for difference in differences("{key}", backend="{backend}"):',
        "    print(difference)",
    )


def _reproduction(subject: Subject, call: Call, number: int) -> tuple[str, ...]:
    return (
        "from torchplug_conformance import call",
        f'got, expected = call("{call.declaration.name}", "{call.dtype.name}", {number}, backend="{subject.name}")',
        "print(got, expected)",
    )
