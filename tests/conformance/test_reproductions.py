"""The three lines under a failure run, and show what the case found."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from torchplug._core.kind import forget
from torchplug_conformance import differences, probe
from torchplug_conformance.cases import PARTS, Case, Subject, cases_of
from torchplug_spec import NotSupportedError, registry
from torchplug_strict import StrictBackend

SLOW = ("training",)


class Mistaken(StrictBackend):
    """The strict engine with a wrong cosine."""

    name = "mistaken"

    def cos(self, x: object) -> object:
        return StrictBackend.sin(self, x)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def mistaken() -> Iterator[Subject]:
    registry.register(Mistaken)
    yield Subject("mistaken")
    registry.unregister("mistaken")
    forget("mistaken")


@pytest.mark.parametrize("part", PARTS)
def test_every_case_has_three_lines_that_are_a_program(part: str) -> None:
    for case in cases_of(part, Subject("strict")):
        assert len(case.lines) == 3, case.key
        compile("\n".join(case.lines), case.key, "exec")


def kinds(part: str) -> list[Case]:
    """Returns a case of a part for each form its lines have."""
    found = {case.lines[0]: case for case in cases_of(part, Subject("strict"))}
    return list(found.values())


@pytest.mark.parametrize("part", [part for part in PARTS if part not in SLOW])
def test_the_lines_run(part: str) -> None:
    for case in kinds(part):
        try:
            exec("\n".join(case.lines), {})
        except (IndexError, RuntimeError, TypeError, ValueError, NotSupportedError):
            assert part in ("errors", "programs"), case.key  # the call is there to fail


def test_a_probe_shows_what_a_function_gave_and_what_it_should(mistaken: Subject) -> None:
    (case, *_) = [case for case in cases_of("contract", mistaken) if case.name.startswith("cos-float32")]
    assert case.differences()
    got, expected = probe(case.name, backend="mistaken")
    right, same = probe(case.name, backend="strict")
    assert not np.allclose(got, expected, atol=1e-2)
    assert np.allclose(right, same, atol=1e-6) and np.array_equal(same, expected)


def test_a_case_can_be_run_by_the_name_in_a_report(mistaken: Subject) -> None:
    (case, *_) = [case for case in cases_of("contract", mistaken) if case.name.startswith("cos-float32")]
    assert differences(case.key, backend="mistaken") == case.differences()
    assert differences(case.key, backend="strict") == []


@pytest.mark.parametrize("name", ["nonesuch", "contract-nonesuch"])
def test_a_case_that_does_not_exist_is_a_key_error(name: str) -> None:
    with pytest.raises(KeyError, match="the suite has no case"):
        differences(name, backend="strict")
