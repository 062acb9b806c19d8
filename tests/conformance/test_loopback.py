"""The suite reaches everything: an engine that records its calls passes, and every declared op has been called.

It is the strict engine but for the records, so only the parts that between them call every op are run here;
TORCHPLUG_LOOPBACK=all runs the others too (minutes).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from torchplug._core.kernels import OPS
from torchplug._core.kind import forget
from torchplug._core.op import Op
from torchplug_conformance.cases import PARTS, Subject, cases_of
from torchplug_spec import registry, required_functions
from torchplug_strict import StrictBackend

CHOSEN = PARTS if os.environ.get("TORCHPLUG_LOOPBACK") == "all" else ("forward", "programs", "gradient")


class LoopbackBackend(StrictBackend):
    """The strict engine; its engine object notes the kernels it is asked for."""

    name = "loopback"


@pytest.fixture(scope="module")
def run() -> Iterator[tuple[set[str], list[str]]]:
    """The kernels called and the failures found in a run of the chosen parts."""
    registry.register(LoopbackBackend)
    subject = Subject("loopback")
    called = record(subject)
    failures = [
        f"{case.key}: {found[0]}"
        for part in CHOSEN
        for case in cases_of(part, subject)
        if (found := case.differences())
    ]
    yield called, failures
    registry.unregister("loopback")
    forget("loopback")


def record(subject: Subject) -> set[str]:
    """Returns the set into which the engine's kernels put their names when called, as ops and from compositions."""
    called: set[str] = set()

    def noted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def kernel(*arguments: Any) -> Any:
            called.add(name)
            return function(*arguments)

        return kernel

    engine = subject.engine
    engine.table[:] = [noted(op.kernel, function) for op, function in zip(OPS, engine.table, strict=True)]
    for name in {*(op.kernel for op in OPS), *required_functions()}:
        try:
            function = engine.F.find(name)
        except AttributeError:
            continue
        setattr(engine.F, name, noted(name, function))
    return called


def test_the_loopback_engine_passes_every_case(run: tuple[set[str], list[str]], goal: Callable[..., None]) -> None:
    goal(4, "cases that the loopback engine fails", 0, len(run[1]), at_most=True)
    assert run[1] == []


def test_every_declared_op_is_called(run: tuple[set[str], list[str]], goal: Callable[..., None]) -> None:
    # A move takes a second device; the contract part moves raw arrays between all there are.
    missed = sorted({op.kernel for op in OPS if type(op) is Op} - run[0] - {"move"})
    goal(4, "declared ops that the loopback engine is not asked for", 0, len(missed), at_most=True)
    assert missed == []


def test_every_required_function_is_called(run: tuple[set[str], list[str]]) -> None:
    # Transfers and devices are the contract part's own.
    apart = {"devices", "device_of", "to_device", "synchronize", "from_numpy", "to_numpy"}
    assert sorted({*required_functions()} - apart - run[0]) == []
