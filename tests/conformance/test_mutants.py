"""The suite can fail: every engine with a defect is caught by the part that should."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from mutants import MUTANTS, Mutant

from torchplug._core.kind import forget
from torchplug_conformance.cases import PARTS, Subject, cases_of
from torchplug_spec import Backend, registry

ENOUGH = 40


@pytest.fixture
def subject_of() -> Iterator[Callable[[type[Backend]], Subject]]:
    """Registers a backend under the name it carries and forgets it afterwards."""
    names = []

    def register(backend: type[Backend]) -> Subject:
        registry.register(backend)
        names.append(backend.name)
        return Subject(backend.name)

    yield register
    for name in names:
        registry.unregister(name)
        forget(name)


def caught(mutant: Mutant, subject: Subject, sound: Subject) -> str | None:
    """Returns the first case of the mutant's part that fails on it and passes on the sound engine."""
    cases = {case.name: case for case in cases_of(mutant.part, subject)}
    controls = {case.name: case for case in cases_of(mutant.part, sound)}
    for name in sorted(cases, key=lambda name: mutant.words not in name):
        if cases[name].differences() and not controls[name].differences():
            return name
    return None


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_by_its_part(
    name: str, subject_of: Callable[[type[Backend]], Subject], goal: Callable[..., None]
) -> None:
    goal(4, "mutant engines caught by the part that should", ENOUGH)
    mutant = MUTANTS[name]
    sound = subject_of(type("Sound", (mutant.base,), {"name": "sound"}))
    found = caught(mutant, subject_of(mutant.backend()), sound)
    assert found, f"the part '{mutant.part}' did not notice an engine that {name.replace('_', ' ')}"


def test_there_are_forty_mutants_and_some_for_every_part() -> None:
    assert len(MUTANTS) >= ENOUGH
    assert {mutant.part for mutant in MUTANTS.values()} == set(PARTS)
