"""Replay: compiled functions give what the plain ones give, the second time too, with other values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import torchplug
from torchplug._core.declare import Sample
from torchplug_conformance.calls import Call, Outcome, attempt, to_tensor
from torchplug_conformance.cases import Case, Subject, declared_calls, samples_of
from torchplug_conformance.parts.aliasing import first_dtype
from torchplug_conformance.parts.forward import compare
from torchplug_conformance.parts.recorded import Within
from torchplug_conformance.parts.replay_programs import REPLAY_PROGRAMS
from torchplug_conformance.parts.wholes import replay_cases
from torchplug_conformance.reference import REFERENCE, on_backend
from torchplug_conformance.trees import arrays_in, tree_map

__all__ = ["cases"]

SAMPLES = 2
"""How many samples of a function are compiled: each shape is a program of its own, and takes as long to compile."""

STEPS_APART = 1e-4
"""What a few training steps leave of float32 when compiled arithmetic is rounded in another order."""

REFUSAL = "asks for the value of a tensor while torchplug.compile traces the function"
"""What a function says that cannot be compiled because it looks at values; the text goes on with what to do."""


def cases(subject: Subject) -> Iterator[Case]:
    if not hasattr(torchplug, "compile"):
        return
    for name, call, lines in declared_calls(subject, first_dtype, SAMPLES):
        if arrays_in(call.arguments):
            yield Case("replay", name, partial(check, subject, call), lines)
    for name in REPLAY_PROGRAMS:
        lines = _reproduction(subject, name)
        yield Case("replay", f"programs-{name}", partial(check_program, subject, name), lines)
    yield from replay_cases(subject)


def check(subject: Subject, call: Call) -> Iterator[str]:
    compiled: Any = None
    # The first run is watched, the second traced, the third only replayed.
    for run, current in enumerate((call, other_values(call), call)):
        with on_backend(subject.name):
            if compiled is None:
                compiled = torchplug.compile(_over_tensors(call))
            got = _run(compiled, current)
        if got.error is not None and REFUSAL in str(got.error):
            return  # its result depends on values that a compiled function does not know, and it says so
        found = compare(subject, got, current.expected(), current.tolerance())
        yield from (f"run {run + 1}: {difference}" for difference in found)


def check_program(subject: Subject, name: str) -> Iterator[str]:
    """A program of compiled steps gives what the plain steps give on the reference."""
    program = REPLAY_PROGRAMS[name]
    with on_backend(subject.name):
        got = attempt(lambda: program(torchplug.compile))
    with on_backend(REFERENCE):
        expected = attempt(lambda: program(lambda function: function))
    yield from compare(subject, got, expected, Within(STEPS_APART))


def _reproduction(subject: Subject, name: str) -> tuple[str, ...]:
    return (
        "import torchplug; from torchplug_conformance.parts.replay_programs import REPLAY_PROGRAMS",
        f'with torchplug.use_backend("{subject.name}"):',
        f'    print(REPLAY_PROGRAMS["{name}"](torchplug.compile))  # and with lambda f: f',
    )


def _over_tensors(call: Call) -> Callable[..., Any]:
    """Returns the declared function with only its tensors as arguments, as a user's compiled function would have."""

    def function(tensors: list[Any]) -> Any:
        left = iter(tensors)
        args, kwargs = tree_map(lambda value: next(left) if isinstance(value, np.ndarray) else value, call.arguments)
        return call.declaration.function(*args, **kwargs)

    return function


def _run(compiled: Callable[..., Any], call: Call) -> Outcome:
    return attempt(lambda: compiled([to_tensor(array) for array in arrays_in(call.arguments)]))


def other_values(call: Call) -> Call:
    """Returns the call with arrays of other random numbers, if those have the same shapes."""
    name, dtype = call.declaration.name, call.dtype
    number = samples_of(name, dtype).index(call.sample)
    other = samples_of(name, dtype, stream=1)[number]
    old, new = arrays_in(call.arguments), arrays_in((other.args, other.kwargs))
    if [array.shape for array in old] != [array.shape for array in new]:
        return call
    left = iter(new)
    args, kwargs = tree_map(lambda value: next(left) if isinstance(value, np.ndarray) else value, call.arguments)
    return Call(call.declaration, Sample(*args, **kwargs), dtype)
