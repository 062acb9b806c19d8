"""Engines with one defect each, and the part of the suite that has to find it.

A function decorated with `@mutant(part, name)` takes the place of the engine's function `name`. On the strict engine it
works on NumPy arrays, which are opened before and wrapped after; on the numpy engine it sees the arrays themselves; on the
tape engine, which has a compiler, it is a method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torchplug_numpy import NumPyBackend
from torchplug_spec import Backend, DType, kernel
from torchplug_spec import dtypes as dt
from torchplug_strict import StrictArray, StrictBackend
from torchplug_strict.array import hidden, opaque

__all__ = ["MUTANTS", "Mutant"]

Array = np.ndarray
Function = Callable[..., Any]


class StrictCompiler(StrictBackend):
    """The strict engine; defects of its compiler are methods, not functions over NumPy arrays."""


class Mutant:
    """A defect: the part that has to catch it, the engine it sits in, and words of the cases to look at first."""

    def __init__(self, part: str, base: type[Backend], members: dict[str, Function], words: str) -> None:
        self.part = part
        self.base = base
        self.members = members
        self.words = words

    def backend(self) -> type[Backend]:
        """Returns the defective engine's class."""
        return type("MutantBackend", (self.base,), {"name": "mutant", **self.members})


MUTANTS: dict[str, Mutant] = {}
"""Name, a sentence about the engine -> mutant."""


def mutant(
    part: str, name: str, *, base: type[Backend] = StrictBackend, fused: bool = False, words: str = ""
) -> Callable[[Function], Function]:
    """Registers a mutant called like the decorated function; `fused` makes that the engine's own kernel `name`."""

    def register(function: Function) -> Function:
        method = MADE_METHODS.get(base, _method)(function)
        MUTANTS[function.__name__] = Mutant(
            part, base, {name: kernel(name)(method) if fused else method}, words or name
        )
        return function

    return register


def _method(function: Function) -> Function:
    def method(self: Backend, *arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arguments)

    return method


def _over_numpy(function: Function) -> Function:
    def method(self: Backend, *arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return opaque(function(*(_opened(argument) for argument in arguments)))

    return method


def _opened(argument: Any) -> Any:
    if isinstance(argument, list):
        return [_opened(item) for item in argument]
    return hidden(argument) if isinstance(argument, StrictArray) else argument


MADE_METHODS: dict[type[Backend], Callable[[Function], Function]] = {
    StrictBackend: _over_numpy,
    StrictCompiler: lambda function: function,
}

# ---- required functions ----------------------------------------------------------------------------------------------


@mutant("contract", "sum")
def sums_over_the_next_axis(x: Array, axis: Any, keepdims: bool) -> Array:
    moved = (axis + 1) % x.ndim if isinstance(axis, int) else axis
    return x.sum(moved, keepdims=keepdims, dtype=x.dtype)


@mutant("contract", "sum")
def sums_in_a_wider_type(x: Array, axis: Any, keepdims: bool) -> Array:
    return x.sum(axis, keepdims=keepdims)


@mutant("contract", "prod")
def drops_kept_dimensions(x: Array, axis: Any, keepdims: bool) -> Array:
    return x.prod(axis, dtype=x.dtype)


@mutant("contract", "max")
def passes_over_nan_in_max(x: Array, axis: Any, keepdims: bool) -> Array:
    return (np.nanmax if x.dtype.kind == "f" else np.max)(x, axis, keepdims=keepdims)


@mutant("contract", "maximum")
def passes_over_nan_in_maximum(x: Array, y: Any) -> Array:
    return np.fmax(x, y)


@mutant("contract", "argmax")
def takes_the_last_maximum(x: Array, axis: int, keepdims: bool) -> Array:
    return x.shape[axis] - 1 - np.flip(x, axis).argmax(axis, keepdims=keepdims)


@mutant("contract", "argsort")
def reverses_ties_when_descending(x: Array, axis: int, descending: bool) -> Array:
    order = np.argsort(x, axis, kind="stable")
    return np.flip(order, axis) if descending else order


@mutant("contract", "round")
def rounds_halves_away_from_zero(x: Array) -> Array:
    return np.copysign(np.floor(np.abs(x) + x.dtype.type(0.5)), x)


@mutant("contract", "floor_divide")
def rounds_quotients_to_zero(x: Array, y: Any) -> Array:
    return np.trunc(np.true_divide(x, y)).astype(x.dtype if isinstance(x, np.ndarray) else y.dtype)


@mutant("contract", "remainder")
def gives_remainders_the_sign_of_the_dividend(x: Array, y: Any) -> Array:
    return np.fmod(x, y)


@mutant("contract", "divide")
def divides_by_zero_to_zero(x: Array, y: Any) -> Array:
    quotient = np.divide(x, y)
    return np.where(np.equal(y, 0), 0, quotient).astype(quotient.dtype)


@mutant("contract", "equal")
def calls_close_numbers_equal(x: Array, y: Any) -> Array:
    return np.abs(np.subtract(x, y, dtype=np.complex128)) < 2


@mutant("contract", "less")
def counts_equal_as_less(x: Array, y: Any) -> Array:
    return np.less_equal(x, y)


@mutant("contract", "abs")
def forgets_imaginary_parts_in_abs(x: Array) -> Array:
    return np.abs(x.real)


@mutant("contract", "where")
def swaps_the_branches(condition: Array, x: Any, y: Any) -> Array:
    return np.where(condition, y, x)


@mutant("contract", "take")
def takes_the_next_place(x: Array, indices: Array, axis: int) -> Array:
    return x.take((indices + 1) % max(x.shape[axis], 1), axis)


@mutant("contract", "scatter_add")
def overwrites_repeated_places(x: Array, indices: Array, values: Array) -> Array:
    out = x.copy()
    out[indices] = x[indices] + values
    return out


@mutant("contract", "matmul")
def adds_the_first_product_twice(x: Array, y: Array) -> Array:
    return (x @ y + x[..., :1] @ y[..., :1, :] if x.shape[-1] else x @ y).astype(x.dtype)


@mutant("contract", "concat")
def joins_in_reverse(arrays: list[Array], axis: int) -> Array:
    return np.concatenate(arrays[::-1], axis)


@mutant("contract", "reshape")
def reshapes_in_column_order(x: Array, shape: tuple[int, ...]) -> Array:
    return x.reshape(shape, order="F")


@mutant("contract", "permute_dims")
def permutes_the_other_way(x: Array, axes: tuple[int, ...]) -> Array:
    return x.transpose(np.argsort(axes))


@mutant("contract", "astype")
def rounds_when_casting(x: Array, dtype: DType) -> Array:
    if x.dtype.kind == "c" and not dtype.is_complex and dtype.kind != "bool":
        x = x.real
    whole = x.dtype.kind == "f" and dtype.kind in ("int", "uint")
    return (np.rint(x) if whole else x).astype(dtype.numpy)


@mutant("contract", "from_numpy")
def narrows_doubles(x: Array, device: str) -> Array:
    return x.astype(np.float32) if x.dtype == np.float64 else x.copy()


@mutant("contract", "from_numpy")
def holds_half_floats_for_brain_floats(x: Array, device: str) -> Array:
    return x.astype(np.float16) if x.dtype == dt.bfloat16.numpy else x.copy()


@mutant("contract", "from_numpy")
def reads_host_memory_in_its_own_order(x: Array, device: str) -> Array:
    return x.ravel(order="K").reshape(x.shape).copy()


@mutant("contract", "arange")
def counts_one_too_few(start: float, stop: float, step: float, dtype: DType, device: str) -> Array:
    return np.arange(start, stop, step)[:-1].astype(dtype.numpy)


@mutant("contract", "scatter_add", base=NumPyBackend)
def writes_into_its_argument(x: Array, indices: Array, values: Array) -> Array:
    np.add.at(x, indices, values.copy())
    return x


@mutant("errors", "add")
def cuts_shapes_that_do_not_fit(x: Any, y: Any) -> Array:
    try:
        return np.add(x, y)
    except ValueError:
        length = min(x.shape[-1], y.shape[-1])
        return np.add(x[..., :length], y[..., :length])


@mutant("contract", "multiply")
def widens_whole_numbers_beside_a_scalar(x: Any, y: Any) -> Array:
    whole = isinstance(x, np.ndarray) and x.dtype.kind in "iu" and isinstance(y, int)
    return np.multiply(x, y, dtype=np.float64 if whole else None)


@mutant("programs", "slice_update", fused=True, words="indexing")
def writes_slices_one_place_off(x: Array, value: Any, key: tuple[Any, ...]) -> Array:
    out = x.copy()
    out[key] = np.roll(value, 1) if isinstance(value, np.ndarray) else value
    return out


# ---- strided memory --------------------------------------------------------------------------------------------------


@mutant("aliasing", "assign", base=NumPyBackend, words="views")
def loses_writes_to_strided_views(x: Array, value: Any) -> None:
    target = x if x.flags.c_contiguous else x.copy()
    target[...] = value


@mutant("capabilities", "as_strided", base=NumPyBackend)
def copies_windows(x: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
    steps = tuple(stride * x.itemsize for stride in strides)
    return np.lib.stride_tricks.as_strided(x[offset:], shape, steps).copy()


@mutant("capabilities", "strides_of", base=NumPyBackend)
def gives_strides_in_bytes(x: Array) -> tuple[int, ...]:
    return x.strides


@mutant("aliasing", "abs", base=NumPyBackend)
def reads_memory_in_its_own_order(x: Array) -> Array:
    return np.abs(x.ravel(order="K")).reshape(x.shape)


@mutant("files", "storage_of", base=NumPyBackend, words="views")
def starts_every_storage_at_its_view(x: Array) -> tuple[Array, int]:
    return x.reshape(-1), 0


# ---- kernels of an engine's own --------------------------------------------------------------------------------------


@mutant("forward", "softmax", base=NumPyBackend, fused=True)
def leaves_the_maximum_in(x: Array, axis: int) -> Array:
    powers = np.exp(x)
    return powers / powers.sum(axis, keepdims=True)


@mutant("forward", "gelu", base=NumPyBackend, fused=True)
def takes_tanh_for_erf(x: Array, *rest: Any) -> Array:
    return (0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3)))).astype(x.dtype)


@mutant("aliasing", "relu", base=NumPyBackend, fused=True)
def clips_its_argument(x: Array) -> Array:
    x[x < 0] = 0
    return x.copy()


@mutant("dtype", "sigmoid", base=NumPyBackend, fused=True)
def computes_in_single_precision(x: Array) -> Array:
    return 1 / (1 + np.exp(-x.astype(np.float32)))


@mutant("gradient", "tanh_backward", base=NumPyBackend, fused=True, words="tanh")
def forgets_a_square(g: Array, out: Array) -> Array:
    return g * (1 - out)


@mutant("gradient", "take_backward", base=NumPyBackend, fused=True, words="index_select")
def overwrites_gradients_of_repeated_rows(g: Array, indices: Array, shape: tuple[int, ...], axis: int) -> Array:
    out = np.zeros(shape, g.dtype)
    out[(slice(None),) * axis + (indices,)] = g
    return out


@mutant("programs", "wrap_index", base=NumPyBackend, fused=True, words="indexing")
def clamps_indices_out_of_range(index: Array, length: int, dim: int) -> Array:
    clamped: Array = np.clip(index.astype(np.int64), -length, length - 1)
    return np.where(clamped < 0, clamped + length, clamped)


@mutant("errors", "check_rows", base=NumPyBackend, fused=True, words="embedding")
def looks_up_rows_that_are_not_there(indices: Array, rows: int) -> None:
    np.clip(indices, 0, max(rows - 1, 0), out=indices)


@mutant("dtype", "softmax", base=NumPyBackend, fused=True)
def promotes_to_double(x: Array, axis: int) -> Array:
    powers: Array = np.exp((x - x.max(axis, keepdims=True)).astype(np.float64))
    return powers / powers.sum(axis, keepdims=True)


@mutant("forward", "fmax", base=NumPyBackend, fused=True)
def takes_the_smaller_number(x: Array, y: Array) -> Array:
    return np.fmin(x, y)


@mutant("modules", "gelu", base=NumPyBackend, fused=True, words="GELU")
def takes_tanh_for_erf_in_layers(x: Array, *rest: Any) -> Array:
    return (0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3)))).astype(x.dtype)


@mutant("optimizers", "sqrt", words="Adam")
def takes_roots_to_three_digits(x: Array) -> Array:
    return np.sqrt(x.astype(np.float16)).astype(x.dtype) if x.dtype == np.float32 else np.sqrt(x)


@mutant("training", "cross_entropy", base=NumPyBackend, fused=True, words="mlp")
def rounds_losses_to_half_precision(
    x: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int
) -> tuple[Array, Array]:
    shifted = x - x.max(1, keepdims=True)
    logarithms = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    loss = -np.take_along_axis(logarithms, target[:, None], 1).mean()
    return loss.astype(np.float16).astype(x.dtype), np.exp(logarithms)


@mutant("streams", "from_numpy", base=NumPyBackend, words="rand")
def brings_draws_over_backwards(x: Array, device: str) -> Array:
    return np.flip(x) if x.dtype == np.float32 and x.ndim == 1 else x


# ---- a compiler's own ------------------------------------------------------------------------------------------------


@mutant("replay", "compile", base=StrictCompiler, words="programs")
def repeats_its_first_results(self: StrictCompiler, fn: Function, donate: tuple[int, ...] = ()) -> Function:
    run, first = StrictCompiler.compile(self, fn), {}

    def frozen(arrays: list[Any]) -> list[Any]:
        return first.setdefault(len(arrays), run(arrays))

    return frozen


@mutant("replay", "compile", base=StrictCompiler, words="programs")
def bakes_its_last_input_in(self: StrictCompiler, fn: Function, donate: tuple[int, ...] = ()) -> Function:
    run, kept = StrictCompiler.compile(self, fn), {}

    def stale(arrays: list[Any]) -> list[Any]:
        last = kept.setdefault((len(arrays), arrays[-1].shape, arrays[-1].dtype), arrays[-1])
        return run([*arrays[:-1], last])

    return stale


@mutant("replay", "compile", base=StrictCompiler, words="programs")
def swaps_two_results(self: StrictCompiler, fn: Function, donate: tuple[int, ...] = ()) -> Function:
    run = StrictCompiler.compile(self, fn)
    return lambda arrays: list(reversed(run(arrays)))


@mutant("replay", "compile", base=StrictCompiler, words="programs-dropout")
def freezes_its_dropout(self: StrictCompiler, fn: Function, donate: tuple[int, ...] = ()) -> Function:
    run, masks = StrictCompiler.compile(self, fn), {}

    def frozen(arrays: list[Any]) -> list[Any]:
        kept = [masks.setdefault(place, x) if _is_mask(hidden(x)) else x for place, x in enumerate(arrays)]
        return run(kept)

    return frozen


def _is_mask(x: Array) -> bool:
    """Says whether an array looks like what dropout multiplies by: zeros and ones, scaled alike, some of each."""
    return x.ndim == 2 and len(np.unique(x)) == 2 and not x.all()


@mutant("capabilities", "is_tracer", base=StrictCompiler)
def does_not_know_its_tracers(self: StrictCompiler, x: Any) -> bool:
    return False
