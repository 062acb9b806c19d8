"""One case as one test: pass, fail with the differences and the lines that reproduce them, or fail as declared."""

from __future__ import annotations

import pytest

from torchplug_conformance.cases import Case
from torchplug_conformance.known_failures import KnownFailures
from torchplug_conformance.provisional import FirmCases, firm_cases
from torchplug_conformance.report import Result
from torchplug_conformance.reporting import PROPERTY

__all__ = ["judge", "run_case"]


def judge(case: Case, known: KnownFailures, firm: FirmCases | None = None) -> Result:
    """Runs a case and returns its result; a declared failure that does not occur is a failure.

    A case that is not firm yet (`firm_cases` unless given) fails provisionally.
    """
    differences = case.differences()
    reason = known.reason(case.key)
    if reason is None:
        failed = "failed" if case.foreign or case.key in (firm or firm_cases()) else "provisional"
        return Result(case.part, case.key, failed if differences else "passed", differences, case.lines)
    if differences:
        return Result(case.part, case.key, "known", differences, case.lines, reason)
    return Result(case.part, case.key, "failed", [f"passes, but is declared a known failure: {reason}"], case.lines)


def run_case(case: Case, known: KnownFailures, node: pytest.Item) -> None:
    """Runs a case inside a pytest test and leaves its facts for the report."""
    result = judge(case, known)
    node.user_properties.append((PROPERTY, result.facts()))
    if result.outcome == "known":
        pytest.xfail(result.reason)
    if result.outcome == "provisional":
        pytest.xfail(f"provisional: {result.differences[0]}")
    if result.outcome == "failed":
        lines = [*result.differences, "", "Reproduce:", *result.lines] if result.lines else result.differences
        pytest.fail("\n".join(lines), pytrace=False)
