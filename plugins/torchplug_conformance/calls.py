"""One sample of one declared function, called on any engine and layout, forward and backward."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import torchplug
from torchplug._core.declare import Declaration, Sample
from torchplug._core.tensor import Tensor
from torchplug_conformance.layouts import Layout
from torchplug_conformance.reference import REFERENCE, double_precision, on_backend, widened, widened_dtype
from torchplug_conformance.tolerance import Tolerance
from torchplug_conformance.trees import Leaf, arrays_in, snapshot, tensors_in, tree_map
from torchplug_spec import DType

__all__ = ["Call", "Outcome", "attempt", "to_tensor", "weights"]


class Outcome:
    """What a call did: `value`, a snapshot of what it returned, or `error`, what it raised."""

    __slots__ = ("error", "value")

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value = value
        self.error = error


def attempt(function: Callable[[], Any]) -> Outcome:
    """Returns the outcome of a call made with the random stream at its start and warnings silenced."""
    torchplug.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Outcome(value=snapshot(function()))
        except Exception as error:
            return Outcome(error=error)


def to_tensor(value: Any) -> Any:
    """Returns a NumPy array as a tensor of the default backend, anything else as it is."""
    return torchplug.tensor(value) if isinstance(value, np.ndarray) else value


class Call:
    """A sample of a declared function and the dtype it was made for."""

    def __init__(self, declaration: Declaration, sample: Sample, dtype: DType) -> None:
        self.declaration = declaration
        self.sample = sample
        self.dtype = dtype
        self.arguments = (tuple(sample.args), dict(sample.kwargs))

    def __repr__(self) -> str:
        return f"{self.declaration.name}{self.sample!r}"

    def tolerance(self, passes: int = 1) -> Tolerance:
        """Returns how far apart right results may be: forward, or after the gradients of 1 or 2 further passes."""
        return Tolerance(self.dtype, arrays_in(self.arguments), passes)

    # ---- forward ----------------------------------------------------------------------------------------------------

    def run(self, backend: str, layout: Layout | None = None, function: Callable[..., Any] | None = None) -> Outcome:
        """Returns the outcome of the call on a backend, every array that a layout fits being such a view."""

        def prepare(value: Any) -> Any:
            return layout(to_tensor, value)[1] if layout and isinstance(value, np.ndarray) else to_tensor(value)

        def call() -> Any:
            args, kwargs = tree_map(prepare, self.arguments)
            return (function or self.declaration.function)(*args, **kwargs)

        with on_backend(backend):
            return attempt(call)

    def expected_types(self, layout: Layout | None = None) -> Outcome:
        """Returns the outcome on the reference engine in the dtypes of the sample."""
        return self.run(REFERENCE, layout)

    def expected(self, layout: Layout | None = None) -> Outcome:
        """Returns the outcome on the reference engine: real and complex results from a run in double precision.

        A function that draws random numbers draws others in double precision, so its results are taken as they are.
        """
        plain = self.expected_types(layout)
        if plain.error is not None or has_drawn():
            return plain
        wide = self.widened()
        with double_precision():
            precise = wide.run(REFERENCE, layout)
        return plain if precise.error is not None else Outcome(value=_merged(plain.value, precise.value))

    def widened(self) -> Call:
        """Returns the same call in double precision."""
        args, kwargs = tree_map(widened, self.arguments)
        sample = Sample(*args, stated_gradient=self.sample.stated_gradient, **kwargs)
        return Call(self.declaration, sample, widened_dtype(self.dtype))

    # ---- backward ---------------------------------------------------------------------------------------------------

    def gradients(self, backend: str, order: int = 1, layout: Layout | None = None) -> Outcome:
        """Returns the gradients of a weighted sum of the results with respect to each real or complex argument.

        Of order 2, those of a weighted sum of the first gradients. None for an argument the result does not depend on.
        """

        def call() -> Any:
            result, leaves = self._recorded(layout)
            return derivatives(result, leaves, order)

        with on_backend(backend):
            return attempt(call)

    def weighted_sum(self, backend: str, order: int = 1) -> float:
        """Returns the number whose derivatives `gradients` returns."""

        def call() -> Any:
            result, leaves = self._recorded(None)
            outputs, given = _weighted_outputs(result, leaves, order)
            pairs = zip(snapshot(outputs), given, strict=True)
            return float(sum(np.sum((weight.conj() * leaf.values).real) for leaf, weight in pairs))

        with on_backend(backend):
            outcome = attempt(call)
        if outcome.error is not None:
            raise outcome.error
        return float(outcome.value)

    def _recorded(self, layout: Layout | None) -> tuple[Any, list[Tensor]]:
        leaves: list[Tensor] = []
        args, kwargs = tree_map(lambda value: _leaf(value, leaves, layout), self.arguments)
        return self.declaration.function(*args, **kwargs), leaves


def has_drawn() -> bool:
    """Says whether the call `attempt` has just made took numbers from the default generator: is its next one the first?"""
    return float(torchplug.default_generator.host.rand((1,))[0]) != _first_number()


@functools.cache
def _first_number() -> float:
    torchplug.manual_seed(0)
    return float(torchplug.default_generator.host.rand((1,))[0])


def _merged(plain: Any, precise: Any) -> Any:
    """Returns a result with the real and complex values of the precise run and all else of the plain one."""
    if isinstance(plain, (tuple, list)):
        return type(plain)(_merged(one, other) for one, other in zip(plain, precise, strict=True))
    if isinstance(plain, Leaf):
        return Leaf(precise.values, plain.dtype) if plain.values.dtype.kind not in "biu" else plain
    return precise if isinstance(plain, (float, complex)) else plain


def _leaf(value: Any, leaves: list[Tensor], layout: Layout | None) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    base = layout(to_tensor, value)[0] if layout else to_tensor(value)
    if is_smooth(base):
        leaves.append(base.requires_grad_())
    return layout.apply(base, value) if layout else base


def is_smooth(tensor: Tensor) -> bool:
    """Says whether a tensor's dtype can have gradients."""
    return bool(tensor.dtype.is_floating_point or tensor.dtype.is_complex)


def derivatives(result: Any, leaves: Sequence[Tensor], order: int) -> tuple[Tensor | None, ...] | None:
    """Returns the derivatives of a weighted sum of the tensors of a result; None where there is nothing to derive."""
    outputs, given = _weighted_outputs(result, leaves, order)
    if not outputs or not leaves:
        return None
    found: tuple[Tensor | None, ...] = _grad(outputs, leaves, given, create_graph=False)
    return found


def _weighted_outputs(result: Any, leaves: Sequence[Tensor], order: int) -> tuple[list[Tensor], list[np.ndarray]]:
    """Returns the tensors that are weighted and summed, and the weights: results, or first gradients for order 2."""
    random = np.random.default_rng(7)
    outputs = [x for x in tensors_in(result) if x.requires_grad]
    given = [weights(random, tuple(x.shape), x.dtype) for x in outputs]
    for _ in range(order - 1):
        if outputs and leaves:
            found = _grad(outputs, leaves, given, create_graph=True)
            outputs = [x for x in found if x is not None and x.requires_grad]
            given = [weights(random, tuple(x.shape), x.dtype) for x in outputs]
    return outputs, given


def _grad(outputs: list[Tensor], leaves: Sequence[Tensor], given: list[np.ndarray], create_graph: bool) -> Any:
    tensors = [to_tensor(weight) for weight in given]
    return torchplug.autograd.grad(outputs, leaves, tensors, create_graph=create_graph, allow_unused=True)


def weights(random: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> np.ndarray:
    """Returns positive numbers to weight the elements of a result with; both parts of complex ones."""
    made = np.asarray(random.uniform(0.5, 1.5, shape))
    if dtype.is_complex:
        made = made + 1j * random.uniform(0.5, 1.5, shape)
    return np.asarray(made.astype(dtype.numpy))
