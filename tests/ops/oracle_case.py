"""One declared sample of one function on one engine, called in every way the function can be called, beside PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch_oracle import (
    Outcome,
    arrays_in,
    attempt,
    compare,
    host,
    real_function,
    same_error,
    tensors_in,
    to_plug,
    to_torch,
    torch,
    tree_map,
)

import torchplug
from torchplug._core.declare import Declaration, Sample
from torchplug_conformance.layouts import LAYOUTS
from torchplug_conformance.tolerance import Tolerance
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["Case"]

PRIMARY = (dt.float32, dt.complex64, dt.int64, dt.bool_)
"""The types whose samples are called in every way; others compare values (float64 and complex128 gradients too)."""

NARROW = (dt.float16, dt.bfloat16)
"""Types PyTorch's CPU kernels often lack; torchplug may compute where it refuses."""


class Side:
    """One of the two libraries: how to make its tensors and call it."""

    def __init__(self, library: Any, convert: Callable[[Any], Any]) -> None:
        self.library = library
        self.convert = convert

    def seeded(self, function: Callable[[], Any]) -> Outcome:
        # The generator of the CPU alone: PyTorch's manual_seed also looks for every kind of accelerator.
        self.library.default_generator.manual_seed(0)
        return attempt(function)


PLUG, TORCH = Side(torchplug, to_plug), Side(torch, to_torch)


class Case:
    """A sample and what it is compared in; each `check_*` yields the differences it finds.

    `precision` is the type whose tolerance holds, that of the sample unless given.
    """

    def __init__(
        self, engine: str, declaration: Declaration, dtype: DType, sample: Sample, precision: DType | None = None
    ) -> None:
        self.engine = engine
        self.declaration = declaration
        self.dtype = dtype
        self.sample = sample
        self.primary = dtype in PRIMARY
        self.function = declaration.function
        self.real = real_function(declaration)
        arrays = arrays_in((list(sample.args), dict(sample.kwargs)))
        self.tolerances = [Tolerance(precision or dtype, arrays, passes) for passes in (1, 2, 3)]

    def run(self) -> list[str]:
        """Returns every difference from PyTorch, each with the name of the check that found it."""
        checks = [self.check_value]
        smooth = self.dtype.is_floating_point or self.dtype.is_complex
        if smooth and self.dtype not in NARROW:
            checks.append(self.check_gradient)
        if self.dtype is dt.float64:
            checks.append(self.check_second_gradient)
        if self.declaration.inplace:
            checks.append(self.check_inplace)
        if self.primary:
            checks += [self.check_names, self.check_out, self.check_layouts]
        with torchplug.use_backend(self.engine):
            return [f"{check.__name__.removeprefix('check_')}: {found}" for check in checks for found in check()]

    # ---- forward ----------------------------------------------------------------------------------------------------

    def check_value(self) -> Iterator[str]:
        ours, theirs = self._call(PLUG), self._call(TORCH)
        if (
            self.dtype in NARROW
            and ours.error is None
            and (theirs.error is not None or _has_foreign_type(theirs.value))
        ):
            return
        yield from self._compare(ours, theirs)
        if theirs.error is None and ours.error is None:
            yield from self._compare_views(ours.value, theirs.value)

    def _call(self, side: Side, function: Any = None) -> Outcome:
        args, kwargs = self._arguments(side)
        side.args = args  # type: ignore[attr-defined]
        chosen = function or (self.function if side is PLUG else self.real)
        return side.seeded(lambda: chosen(*args, **kwargs))

    def _arguments(self, side: Side) -> tuple[Any, Any]:
        return tree_map(side.convert, self.sample.args), tree_map(side.convert, self.sample.kwargs)

    def _compare(self, ours: Outcome, theirs: Outcome, order: int = 0) -> Iterator[str]:
        if ours.error is not None and theirs.error is not None:
            difference = same_error(ours.error, theirs.error)
            if difference and not (self.dtype in NARROW and type(ours.error) is type(theirs.error)):
                yield difference
        elif ours.error is not None:
            yield f"raised {type(ours.error).__name__}: {ours.error}; PyTorch did not"
        elif theirs.error is not None:
            yield f"did not raise; PyTorch {type(theirs.error).__name__}: {theirs.error}"
        else:
            yield from compare(ours.value, theirs.value, self.tolerances[order])

    def _compare_views(self, ours: Any, theirs: Any) -> Iterator[str]:
        """Results that are their input, or share its memory, must do so here, with the same strides."""
        our_inputs, their_inputs = tensors_in(PLUG.args), tensors_in(TORCH.args)  # type: ignore[attr-defined]
        for place, (one, other) in enumerate(zip(tensors_in(ours), tensors_in(theirs), strict=False)):
            for own, real in zip(our_inputs, their_inputs, strict=True):
                if (one is own) != (other is real):
                    yield f"result {place} {'is' if one is own else 'is not'} its input itself, unlike PyTorch's"
                shared = other.untyped_storage().data_ptr() == real.untyped_storage().data_ptr() != 0
                if (one._cell is not None and one._cell is own._cell) != shared and one is not own:
                    verb = "does not share" if shared else "shares"
                    yield f"result {place} {verb} its input's memory, unlike PyTorch's"
                elif shared and (found := _strides(one)) != (expected := _strides(other)):
                    yield f"result {place} is a view with strides and offset {found}, in PyTorch {expected}"

    def check_names(self) -> Iterator[str]:
        """The function is where PyTorch has it, and its method does the same."""
        name = self.declaration.name
        if "." in name:
            found: Any = torchplug
            for part in name.split("."):
                found = getattr(found, part, None)
            if found is not self.function:
                yield f"torchplug.{name} is not the declared function"
            return
        for known in (name, *self.declaration.aliases):
            if self.declaration.public and getattr(torchplug, known, None) is not self.function:
                yield f"torchplug.{known} is not the declared function"
            if not self.declaration.method:
                continue
            if not hasattr(torchplug.Tensor, known):
                yield f"Tensor.{known} is missing"
            elif isinstance(self.sample.args[0], np.ndarray) and hasattr(torch.Tensor, known) and self.primary:
                theirs = getattr(torch.Tensor, known)
                if callable(theirs):
                    yield from self._compare(
                        self._call(PLUG, getattr(torchplug.Tensor, known)), self._call(TORCH, theirs)
                    )

    def check_out(self) -> Iterator[str]:
        if "." in self.declaration.name or not self.declaration.public:
            return
        theirs = self._call(TORCH)
        if theirs.error is not None or not tensors_in(theirs.value) or isinstance(theirs.value, list):
            return
        value = theirs.value if isinstance(theirs.value, torch.Tensor) else tuple(theirs.value)
        made = tree_map(lambda x: torch.empty(0, dtype=x.dtype), value)
        real = self._call(TORCH, lambda *args, **kwargs: self.real(*args, **kwargs, out=made))
        if isinstance(real.error, TypeError):
            return
        own = tree_map(lambda x: torchplug.empty(0, dtype=getattr(torchplug, str(x.dtype).rpartition(".")[2])), made)
        ours = self._call(PLUG, lambda *args, **kwargs: self.function(*args, **kwargs, out=own))
        found = list(self._compare(ours, real))
        if not found and ours.error is None:
            for one, other in zip(tensors_in(ours.value), tensors_in(own), strict=True):
                if one is not other:
                    found.append("returned another tensor than out=")
        yield from found

    # ---- gradients --------------------------------------------------------------------------------------------------

    def check_gradient(self) -> Iterator[str]:
        yield from self._compare_gradients(1)

    def check_second_gradient(self) -> Iterator[str]:
        yield from self._compare_gradients(2)

    def _compare_gradients(self, order: int, layout: Any = None) -> Iterator[str]:
        theirs = TORCH.seeded(lambda: self._gradient(TORCH, layout, order))
        ours = PLUG.seeded(lambda: self._gradient(PLUG, layout, order))
        if theirs.error is not None and ours.error is None:
            return  # PyTorch has no derivative there; ours is checked by finite differences
        if ours.error is None and theirs.error is None:
            ours.value, theirs.value = _without_zeros(ours.value), _without_zeros(theirs.value)
        yield from self._compare(ours, theirs, order)

    def _gradient(self, side: Side, layout: Any, order: int) -> Any:
        """Returns the gradients of weighted sums of the outputs with respect to every float or complex argument."""
        leaves: list[Any] = []

        def prepare(value: Any) -> Any:
            made = side.convert(value)
            if not isinstance(value, np.ndarray):
                return made
            if layout is not None:
                leaf, made = layout(side.convert, value)
            else:
                leaf = made
            if _is_smooth(leaf):
                leaves.append(leaf.requires_grad_())
                if layout is not None:
                    made = layout.apply(leaf, value)
            return made

        args, kwargs = tree_map(prepare, self.sample.args), tree_map(prepare, self.sample.kwargs)
        side.library.manual_seed(0)
        result = (self.function if side is PLUG else self.real)(*args, **kwargs)
        return self._differentiate(side, result, leaves, order)

    @staticmethod
    def _differentiate(side: Side, result: Any, leaves: list[Any], order: int) -> Any:
        random = np.random.default_rng(7)
        outputs = [x for x in tensors_in(result) if x.requires_grad]
        if not outputs or not leaves:
            return None
        for step in range(order):
            weights = [side.convert(_weights(random, host(x), x)) for x in outputs]
            again = step + 1 < order
            grads = side.library.autograd.grad(outputs, leaves, weights, create_graph=again, allow_unused=True)
            outputs = list(grads)
            if again:
                outputs = [g for g in outputs if g is not None and g.requires_grad]
                if not outputs:
                    return None
        return tuple(outputs)

    # ---- in place ---------------------------------------------------------------------------------------------------

    def check_inplace(self) -> Iterator[str]:
        name = f"{self.declaration.name}_"
        if not hasattr(torch.Tensor, name) or not isinstance(self.sample.args[0], np.ndarray):
            return
        runs = [self._inplace]
        if self.primary:
            runs.append(self._inplace_on_view)
            if self.dtype.is_floating_point or self.dtype.is_complex:
                runs.append(self._inplace_gradient)
        for run in runs:
            theirs = TORCH.seeded(lambda run=run: run(TORCH, name))
            ours = PLUG.seeded(lambda run=run: run(PLUG, name))
            if (
                theirs.error is not None
                and ours.error is None
                and (self.dtype in NARROW or "derivative" in str(theirs.error))
            ):
                continue
            order = 1 if run == self._inplace_gradient else 0
            yield from (f"{run.__name__[1:]}: {found}" for found in self._compare(ours, theirs, order))

    def _inplace(self, side: Side, name: str) -> Any:
        args, kwargs = self._arguments(side)
        before = args[0]._version
        try:
            result = getattr(side.library.Tensor, name)(*args, **kwargs)
        except Exception:
            if not np.array_equal(host(args[0]), _widened(self.sample.args[0]), equal_nan=_is_smooth(args[0])):
                raise AssertionError("the failed call has written to its tensor") from None
            raise
        return args[0], result is args[0], args[0]._version - before

    def _inplace_on_view(self, side: Side, name: str) -> Any:
        args, kwargs = self._arguments(side)
        first = self.sample.args[0]
        base = side.convert(np.stack([first, first]))
        getattr(side.library.Tensor, name)(base[1], *args[1:], **kwargs)
        return base

    def _inplace_gradient(self, side: Side, name: str) -> Any:
        args, kwargs = self._arguments(side)
        leaves = [x for x in tensors_in((args, kwargs)) if _is_smooth(x)]
        for leaf in leaves:
            leaf.requires_grad_()
        start = args[0].clone()
        side.library.manual_seed(0)
        getattr(side.library.Tensor, name)(start, *args[1:], **kwargs)
        return _without_zeros(self._differentiate(side, start, leaves, 1))

    # ---- layouts ----------------------------------------------------------------------------------------------------

    def check_layouts(self) -> Iterator[str]:
        smooth = self.dtype.is_floating_point or self.dtype.is_complex
        for name, layout in LAYOUTS.items():
            if not any(layout.fits(array) for array in arrays_in((list(self.sample.args), dict(self.sample.kwargs)))):
                continue
            found = list(self._compare(self._laid_out(PLUG, layout), self._laid_out(TORCH, layout)))
            if not found and smooth:
                found = list(self._compare_gradients(1, layout))
            yield from (f"{name}: {line}" for line in found)
            if found and self.engine == "jax":
                break

    def _laid_out(self, side: Side, layout: Any) -> Outcome:
        def prepare(value: Any) -> Any:
            return layout(side.convert, value)[1] if isinstance(value, np.ndarray) else side.convert(value)

        args, kwargs = tree_map(prepare, self.sample.args), tree_map(prepare, self.sample.kwargs)
        return side.seeded(lambda: (self.function if side is PLUG else self.real)(*args, **kwargs))


def _without_zeros(gradients: Any) -> Any:
    """Returns gradients with None for those that are zero: PyTorch itself says now one, now the other."""
    if gradients is None:
        return None
    kept = tuple(None if g is None or not host(g).any() else g for g in gradients)
    return kept if any(g is not None for g in kept) else None


def _strides(x: Any) -> tuple[tuple[int, ...], int]:
    return tuple(x.stride()), x.storage_offset()


def _has_foreign_type(value: Any) -> bool:
    """Says whether PyTorch answered in a type torchplug does not have (complex32)."""
    return any(not hasattr(dt, str(x.dtype).rpartition(".")[2].replace("bool", "bool_")) for x in tensors_in(value))


def _is_smooth(x: Any) -> bool:
    return bool(x.dtype.is_floating_point or x.dtype.is_complex)


def _widened(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == dt.bfloat16.numpy else array


def _weights(random: np.random.Generator, values: np.ndarray, like: Any) -> np.ndarray:
    made = random.uniform(0.5, 1.5, values.shape)
    if values.dtype.kind == "c":
        made = made + 1j * random.uniform(0.5, 1.5, values.shape)
    return np.asarray(made).astype(dt.named(str(like.dtype).rpartition(".")[2]).numpy)
