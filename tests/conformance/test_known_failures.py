"""Known failures need a reason and are strict."""

from __future__ import annotations

import pytest

from torchplug_conformance.cases import Case
from torchplug_conformance.known_failures import KnownFailures
from torchplug_conformance.running import judge


class Declaring:
    """Stands for a backend that declares a failure."""

    known_failures = {"forward-*-cumprod-*": "the library has no scan"}


def case(name: str, *differences: str) -> Case:
    return Case("forward", name, lambda: iter(differences))


def test_a_failure_that_is_declared_is_known_and_carries_its_reason() -> None:
    result = judge(case("scans-cumprod-float32-0", "off by one"), KnownFailures(Declaring()))
    assert (result.outcome, result.reason) == ("known", "the library has no scan")


def test_a_declared_failure_that_passes_is_a_failure() -> None:
    result = judge(case("scans-cumprod-float32-0"), KnownFailures(Declaring()))
    assert result.outcome == "failed"
    assert result.differences == ["passes, but is declared a known failure: the library has no scan"]


def test_other_cases_are_judged_by_what_they_find() -> None:
    known = KnownFailures(Declaring())
    assert judge(case("scans-cumsum-float32-0"), known).outcome == "passed"
    assert judge(case("scans-cumsum-float32-0", "off by one"), known).outcome == "failed"


@pytest.mark.parametrize("reason", ["", "  ", None])
def test_a_known_failure_without_a_reason_is_refused(reason: str | None) -> None:
    backend = type("Silent", (), {"known_failures": {"forward-*": reason}})()
    with pytest.raises(ValueError, match="has no reason"):
        KnownFailures(backend)


def test_known_failures_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(TypeError, match="expected a mapping of patterns to reasons"):
        KnownFailures(type("Listing", (), {"known_failures": ["forward-*"]})())


def test_a_pattern_that_names_no_case_is_found() -> None:
    known = KnownFailures(Declaring())
    assert known.unused(["forward-scans-cumsum-float32-0"]) == ["forward-*-cumprod-*"]
    assert known.unused(["forward-scans-cumprod-float32-0"]) == []


def test_an_error_inside_a_check_is_a_difference() -> None:
    def broken() -> None:
        raise KeyError("lost")

    assert judge(Case("forward", "x", broken), KnownFailures(object())).differences == ["raised KeyError: 'lost'"]
