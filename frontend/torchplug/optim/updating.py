"""From parameter groups to one kernel call and back: gathering, running, writing the results into the tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core import tensor as memory
from torchplug._core.inplace import assign, check_places, check_writable
from torchplug._core.kind import Kind
from torchplug._core.op import TENSOR_SPACE, device_error
from torchplug._core.tensor import Tensor, array_of, cell_of, wrap, write
from torchplug._core.tracing import hyper, trace_state
from torchplug.optim.counting import scalar_kind
from torchplug_spec import dtypes as dt

__all__ = ["Gathered", "by_kind", "hyperparameter", "is_traced", "update"]


class Gathered:
    """Parameters of one kind that have gradients."""

    __slots__ = ("grads", "kind", "params")

    def __init__(self, kind: Kind, params: list[Tensor], grads: list[Tensor]) -> None:
        self.kind = kind
        self.params = params
        self.grads = grads


def by_kind(group: dict[str, Any]) -> Iterable[Gathered]:
    """Returns the parameters of a group that have gradients, those of one engine, device and dtype together."""
    found: dict[Kind, Gathered] = {}
    kind: Kind | None = None
    params: Any = None
    grads: Any = None
    for p in group["params"]:
        g = getattr(p, "_grad", None)
        if g is None:
            continue
        if p._kind is not kind:
            kind = p._kind
            gathered = found.get(kind)
            if gathered is None:
                gathered = found[kind] = Gathered(kind, [], [])
            params, grads = gathered.params, gathered.grads
        if g._kind is not kind:
            g = _converted(p, g)
        params.append(p)
        grads.append(g)
    return found.values()


def _converted(p: Tensor, g: Tensor) -> Tensor:
    if g._kind.engine is not p._kind.engine or g._kind.native_device != p._kind.native_device:
        raise device_error("step", [p, g])
    return wrap(p._kind.F.astype(array_of(g), p._kind.dtype), p._kind)


def is_traced(gathered: Gathered) -> bool:
    """Says whether compile is tracing through this step: values are not known, numbers become arrays."""
    return trace_state.get() is not None and gathered.kind.engine.is_tracing(array_of(gathered.grads[0]))


def hyperparameter(group: dict[str, Any], name: str, kind: Kind, traced: bool, differentiable: bool = False) -> Any:
    """Returns an option as a number; a 0-d tensor while compile traces, or where the option is a tensor to differentiate.

    A pair of numbers (betas) comes as a pair.
    """
    value = group[name]
    if isinstance(value, Tensor):
        value = value.reshape(()) if value.ndim else value
        return value if traced or differentiable else value.item()
    if type(value) is tuple and any(isinstance(item, Tensor) for item in value):
        return tuple(hyperparameter({name: item}, name, kind, traced, differentiable) for item in value)
    if trace_state.get() is None:
        return value
    wide = scalar_kind(kind)
    value = hyper(group, name, wide)
    if not traced:
        return value
    read = wrap(value, wide)
    return (read[0], read[1]) if type(group[name]) in (tuple, list) else read


def update(
    kernel: str,
    kind: Kind,
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    states: Sequence[Tensor],
    numbers: tuple[Any, ...],
    options: tuple[Any, ...],
    differentiable: bool = False,
) -> list[Any]:
    """Runs one optimizer kernel and writes the new parameters and states; returns the states it made anew.

    Raises RuntimeError, with nothing written, for a parameter that may not be written in place.
    """
    if differentiable:
        return _differentiable_update(kernel, kind, params, grads, states, numbers, options)
    for p in params:
        if p._cell is None:
            cell_of(p)
        elif p._view is not None and p._view.chain:
            check_places(p)  # a step records nothing, so any view may be written
    targets = [*params, *states]
    arrays = [array_of(x) if x._array is None else x._array for x in targets]
    given = [array_of(g) if g._array is None else g._array for g in grads]
    results = _run(kernel, kind, arrays, given, numbers, options)
    for target, array in zip(targets, results, strict=False):
        if array is not target._array:
            write(target, array)
            continue
        cell = target._cell or cell_of(target)  # the engine has written it in place
        if target._view is None:
            cell.version += 1
        else:
            memory.count_write(cell, target._view)
    return [wrap(array, kind) for array in results[len(targets) :]] if len(results) > len(targets) else []


def _run(kernel: str, kind: Kind, targets: list[Any], grads: list[Any], numbers: tuple, options: tuple) -> list[Any]:
    """Returns new parameters and states: `targets` holds the old ones, parameters first."""
    dtype = kind.dtype
    if dtype.is_complex:
        return _in_parts(kernel, kind, targets, grads, numbers, options)
    if dtype.itemsize == 2:
        return _in_float32(kernel, kind, targets, grads, numbers, options)
    count = len(grads)
    F = kind.F
    if trace_state.get() is None and not F.has_own(kernel) and "compile" in F.backend.capabilities:
        return _compiled(kernel, kind, targets, grads, numbers, options)
    given = tuple([_cast(number, kind) if isinstance(number, Tensor) else number for number in numbers])
    params, states = getattr(F, kernel)(targets[:count], grads, targets[count:], given, options)
    return [*params, *states]


def _cast(number: Tensor, kind: Kind) -> Any:
    return kind.F.astype(array_of(number), kind.dtype)


def _in_parts(kernel: str, kind: Kind, targets: list[Any], grads: list[Any], *rest: Any) -> list[Any]:
    """Complex parameters step as pairs of real numbers."""
    F = kind.F
    real = kind.to(kind.dtype.to_real())
    results = _run(kernel, real, [F.view_as_real(x) for x in targets], [F.view_as_real(g) for g in grads], *rest)
    return [F.view_as_complex(x) for x in results]


def _in_float32(kernel: str, kind: Kind, targets: list[Any], grads: list[Any], *rest: Any) -> list[Any]:
    """16-bit parameters are computed in float32 and rounded once."""
    F = kind.F
    wide = kind.to(dt.float32)
    arrays = _run(
        kernel, wide, [F.astype(x, dt.float32) for x in targets], [F.astype(g, dt.float32) for g in grads], *rest
    )
    return [F.astype(x, kind.dtype) for x in arrays]


def _compiled(
    kernel: str, kind: Kind, targets: list[Any], grads: list[Any], numbers: tuple, options: tuple
) -> list[Any]:
    """Runs the step as one compiled call on engines that compile: eagerly each small operation would be a dispatch."""
    F = kind.F
    key = (kernel, len(grads), len(targets), len(numbers), options)
    programs = _PROGRAMS.setdefault(kind.engine.name, {})
    program = programs.get(key)
    if program is None or program[0] is not kind.engine:
        program = programs[key] = (
            kind.engine,
            F.backend.compile(_pure(kernel, F, len(grads), len(targets), len(numbers), options)),
        )
    packed = F.from_numpy(np.array(numbers, kind.dtype.numpy), kind.native_device)
    return list(program[1]([*targets, *grads, packed]))


_PROGRAMS: dict[str, dict[Any, Any]] = {}


def _pure(kernel: str, F: Any, count: int, total: int, length: int, options: tuple) -> Any:
    def step(arrays: Sequence[Any]) -> list[Any]:
        numbers = tuple([F.slice(arrays[-1], (place,)) for place in range(length)])
        params, states = getattr(F, kernel)(
            arrays[:count], arrays[total : total + count], arrays[count:total], numbers, options
        )
        return [*params, *states]

    return step


def _differentiable_update(
    kernel: str,
    kind: Kind,
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    states: Sequence[Tensor],
    numbers: tuple,
    options: tuple,
) -> list[Any]:
    """The same kernel over Tensors: every part of the step is recorded."""
    for p in params:
        check_writable(p, True)
    given = tuple([number.to(kind.dtype) if isinstance(number, Tensor) else number for number in numbers])
    old = [_before(x) for x in (*params, *states)]
    count = len(params)
    new_params, new_states = getattr(TENSOR_SPACE, kernel)(old[:count], list(grads), old[count:], given, options)
    results = [*new_params, *new_states]
    targets = [*params, *states]
    for target, result in zip(targets, results, strict=False):
        assign(target, result)
    return results[len(targets) :]


def _before(x: Tensor) -> Tensor:
    """Returns a tensor as it is before it is written, for the history of the step."""
    from torchplug._core.inplace import shadow

    before = shadow(x)
    before._array = x._kind.F.copy(before._array)
    return before
