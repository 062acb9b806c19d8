"""The inspector: one suite, generated from torchplug's declarations, that decides who is a backend."""

from __future__ import annotations

from typing import Any

__all__ = ["call", "differences", "failing_call", "probe"]

# A pytest plugin of this package is loaded into every pytest run, so nothing heavy is imported before it is used.


def call(name: str, dtype: str, number: int, backend: str) -> tuple[Any, Any]:
    """Returns what a declared function gives for one of its samples on a backend, and what it should give.

    Raises what the call raises.
    """
    from torchplug._core.declare import DECLARATIONS
    from torchplug_conformance.calls import Call
    from torchplug_conformance.cases import samples_of
    from torchplug_spec import dtypes

    chosen = dtypes.named(dtype)
    made = Call(DECLARATIONS[name], samples_of(name, chosen)[number], chosen)
    return _value(made.run(backend)), _value(made.expected())


def failing_call(name: str, number: int, backend: str) -> Any:
    """Makes one of the calls of a declared function that must fail, on a backend."""
    from torchplug._core.declare import DECLARATIONS
    from torchplug_conformance.calls import Call
    from torchplug_spec import dtypes

    errors = DECLARATIONS[name].errors
    sample = list(errors() if errors is not None else ())[number]
    return _value(Call(DECLARATIONS[name], sample, dtypes.float32).run(backend))


def probe(name: str, backend: str) -> tuple[Any, Any]:
    """Returns what a required function gives for one call of the part "contract", as NumPy arrays, and what it should."""
    from torchplug_conformance.cases import Subject
    from torchplug_conformance.parts.contract import outcome, probe_named

    found = probe_named(name)
    return outcome(Subject(backend), found).values, found.expected


def differences(case: str, backend: str) -> list[str]:
    """Returns what a case of the suite finds wrong with a backend, nothing when it passes.

    `case` is the name a report gives it: its part, a dash, the rest. Raises KeyError when there is none.
    """
    from torchplug_conformance.cases import PARTS, Subject, cases_of

    part = case.partition("-")[0]
    if part in PARTS:
        for found in cases_of(part, Subject(backend)):
            if found.key == case:
                return found.differences()
    raise KeyError(f"the suite has no case {case!r} for the backend '{backend}'")


def _value(outcome: Any) -> Any:
    if outcome.error is not None:
        raise outcome.error
    return outcome.value
