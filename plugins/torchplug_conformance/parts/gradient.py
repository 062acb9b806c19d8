"""Gradient: derivatives of first and second order, right by finite differences in double precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from torchplug._core.declare import Declaration, Sample
from torchplug_conformance.calls import Call, Outcome
from torchplug_conformance.cases import Case, Subject, declared_calls
from torchplug_conformance.parts.forward import compare
from torchplug_conformance.parts.wholes import gradient_cases
from torchplug_conformance.reference import REFERENCE, double_precision
from torchplug_conformance.trees import arrays_in, tree_map
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["cases", "finite_differences"]

STEP = 1e-5
"""Central differences of this step in double precision err by about STEP**2 = 1e-10 and by rounding, 1e-16 / STEP."""

AGREEMENT = 1e-6
"""How far a derivative may be from its finite difference, relative to its size: the error above with room for large
third derivatives."""

SMOOTHNESS = 1e-2
"""How far the slopes ahead and behind may be apart, relative to their size, where a function has a derivative: they
differ by STEP times the second derivative."""


def cases(subject: Subject) -> Iterator[Case]:
    for name, call, lines in declared_calls(subject, smooth_dtypes):
        if call.declaration.differentiable and arrays_in(call.arguments):
            yield Case("gradient", name, partial(check, subject, call), lines)
    yield from gradient_cases(subject)


def smooth_dtypes(declaration: Declaration) -> Sequence[DType]:
    """Returns float32 and complex64 where a function is declared for them."""
    smooth = {"float": dt.float32, "complex": dt.complex64}
    return [smooth[kind] for kind in declaration.dtypes if kind in smooth]


def check(subject: Subject, call: Call) -> Iterator[str]:
    precise = call.widened()
    for order in (1, 2):
        got = call.gradients(subject.name, order)
        with double_precision():
            expected = precise.gradients(REFERENCE, order)
            found = list(_against_finite_difference(precise, expected, order))
        if not found and not (order == 2 and got.error is not None and expected.error is not None):
            found = list(compare(subject, got, expected, call.tolerance(1 + order)))
        yield from (f"order {order}: {difference}" for difference in found)


def _against_finite_difference(call: Call, expected: Outcome, order: int) -> Iterator[str]:
    """Yields how a derivative of the reference differs from the slope of the function itself.

    Arguments without a gradient stay where they are. Where the slopes ahead and behind differ, at a tie of a maximum or
    a step, the function has no derivative and PyTorch's choice of one cannot be measured.
    """
    if expected.error is not None or expected.value is None or call.sample.stated_gradient:
        return
    moved = [array for array in arrays_in(call.arguments) if array.dtype.kind in "fc"]
    random = np.random.default_rng(11)
    pairs = [
        (leaf, _direction(random, array) if leaf is not None else np.zeros_like(array))
        for leaf, array in zip(expected.value, moved, strict=True)
    ]
    slopes = [(leaf.values.conj() * direction).real for leaf, direction in pairs if leaf is not None]
    derived = float(sum(np.sum(slope) for slope in slopes))
    size = 1.0 + float(sum(np.sum(np.abs(slope)) for slope in slopes))
    try:
        ahead, behind = finite_differences(call, [direction for _, direction in pairs], order)
    except (IndexError, RuntimeError, ValueError):
        return  # the sample lies on the edge of the function's domain
    if not abs(ahead - behind) <= SMOOTHNESS * size:
        return
    measured = (ahead + behind) / 2
    if not abs(derived - measured) <= AGREEMENT * size:
        yield f"the rule gives {derived:.9g} along a direction where finite differences give {measured:.9g}"


def finite_differences(call: Call, directions: list[np.ndarray], order: int) -> tuple[float, float]:
    """Returns the slopes ahead and behind of what `gradients` derives, along one direction per inexact argument."""
    here = call.weighted_sum(REFERENCE, order)
    ahead, behind = (_moved(call, directions, step).weighted_sum(REFERENCE, order) for step in (STEP, -STEP))
    return (ahead - here) / STEP, (here - behind) / STEP


def _moved(call: Call, directions: list[np.ndarray], step: float) -> Call:
    left = iter(directions)

    def move(value: object) -> object:
        if isinstance(value, np.ndarray) and value.dtype.kind in "fc":
            return np.asarray(value + step * next(left))  # 0-d arrays stay arrays
        return value

    args, kwargs = tree_map(move, call.arguments)
    return Call(call.declaration, Sample(*args, stated_gradient=call.sample.stated_gradient, **kwargs), call.dtype)


def _direction(random: np.random.Generator, array: np.ndarray) -> np.ndarray:
    direction = np.asarray(random.uniform(-1, 1, array.shape))
    return direction + 1j * random.uniform(-1, 1, array.shape) if array.dtype.kind == "c" else direction
