"""Aliasing: arguments that are views of other tensors, and writes that reach what shares their memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

import torchplug
from torchplug._core.declare import Declaration
from torchplug._core.tensor import Tensor
from torchplug_conformance.calls import Call, Outcome, attempt, to_tensor
from torchplug_conformance.cases import Case, Subject, declared_calls
from torchplug_conformance.layouts import LAYOUTS
from torchplug_conformance.parts.forward import compare, primary_dtypes
from torchplug_conformance.parts.views import view_cases
from torchplug_conformance.parts.wholes import aliasing_cases
from torchplug_conformance.reference import REFERENCE, on_backend
from torchplug_conformance.trees import arrays_in, tensors_in, tree_map
from torchplug_spec import DType

__all__ = ["cases"]

SAMPLES_WITHOUT_STRIDES = 2
"""How many samples of a function run where arrays have no strides of their own: views are then the front end's."""

NO_VIEW = "view size is not compatible with input tensor's size and stride"
"""What PyTorch's functions say that take a view inside where the memory of a result allows none."""


def cases(subject: Subject) -> Iterator[Case]:
    most = None if "mutable" in subject.capabilities else SAMPLES_WITHOUT_STRIDES
    for name, call, lines in declared_calls(subject, first_dtype, most):
        yield Case("aliasing", name, partial(check, subject, call), lines)
    yield from view_cases(subject)
    yield from aliasing_cases(subject)


def first_dtype(declaration: Declaration) -> Sequence[DType]:
    """Returns the main type of the first kind a function is declared for: memory is laid out alike for all."""
    return primary_dtypes(declaration)[:1]


def check(subject: Subject, call: Call) -> Iterator[str]:
    for name, layout in LAYOUTS.items():
        if any(layout.fits(array) for array in arrays_in(call.arguments)):
            got = call.run(subject.name, layout)
            if got.error is not None and NO_VIEW in str(got.error):
                continue  # which results of functions are contiguous is the engine's own
            found = compare(subject, got, call.expected(layout), call.tolerance())
            yield from (f"{name} arguments: {difference}" for difference in found)
    actions = [arguments_afterwards]
    if call.declaration.inplace and isinstance(call.sample.args[0], np.ndarray):
        actions += [in_place, in_place_on_a_view]
    for action in actions:
        yield from (f"{action.__name__}: {difference}" for difference in _both(subject, call, action))


def _both(subject: Subject, call: Call, action: Callable[[Call], Any]) -> Iterator[str]:
    def outcome(backend: str) -> Outcome:
        with on_backend(backend):
            return attempt(lambda: action(call))

    yield from compare(subject, outcome(subject.name), outcome(REFERENCE), call.tolerance())


def arguments_afterwards(call: Call) -> Any:
    """A function leaves its arguments as they were, but for those it is there to update."""
    args, kwargs = tree_map(to_tensor, call.arguments)
    call.declaration.function(*args, **kwargs)
    return tensors_in((args, kwargs))


def in_place(call: Call) -> Any:
    """The in-place twin writes its first argument, returns that very tensor and counts one version."""
    args, kwargs = tree_map(to_tensor, call.arguments)
    before = args[0]._version
    result = _twin(call)(*args, **kwargs)
    return args[0], result is args[0], args[0]._version - before


def in_place_on_a_view(call: Call) -> Any:
    """The in-place twin of a view writes its base, and nothing beside the view."""
    args, kwargs = tree_map(to_tensor, call.arguments)
    first = call.sample.args[0]
    base = torchplug.tensor(np.stack([first, first, first]))
    _twin(call)(base[1], *args[1:], **kwargs)
    return base


def _twin(call: Call) -> Callable[..., Any]:
    twin: Callable[..., Any] = getattr(Tensor, f"{call.declaration.name}_")
    return twin
