"""Different elements or rows: unique, unique_consecutive."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.dims import wrap_dim
from torchplug._core.elementwise import need_tensor
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE
from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import dtypes as dt

__all__ = ["unique", "unique_consecutive"]


def _samples(make: Any) -> Iterable[Sample]:
    x = make(4, 3)
    few = ((x > 0) * 2 + (x > 1)).astype(x.dtype)
    for chosen in (few, x, few[0], few[:0]):
        yield Sample(chosen, return_inverse=True, return_counts=True)
    yield Sample(few)
    yield Sample(few, return_counts=True)
    yield Sample(few, dim=0, return_inverse=True, return_counts=True)
    yield Sample(few, dim=1)
    yield Sample(make())


def _errors() -> Iterable[Sample]:
    yield Sample(np.ones(2, np.complex64), error=(NotImplementedError, "\"unique\" not implemented for 'ComplexFloat'"))
    yield Sample(np.ones(2, np.float32), dim=1, error=(IndexError, "Dimension out of range"))


@declare(samples=_samples, errors=_errors, dtypes=("float", "int", "bool"), differentiable=False)
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Returns the different elements (or slices along `dim`) in order; then, if asked, for each element the place of its
    like among them, and how often each occurs.
    """
    lines = _lines("unique", input, dim)
    order = _order(lines)
    values, inverse, counts = _runs(lines.index_select(0, order))
    back = TENSOR_SPACE.scatter(inverse, order, inverse)
    return _answer(input, dim, values, back, counts, return_inverse, return_counts)


@declare(samples=_samples, dtypes=("float", "int", "bool"), differentiable=False)
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Returns the elements (or slices along `dim`) without repetitions of the one before; then, if asked, for each element
    the place of its run, and how long each run is.
    """
    return _answer(input, dim, *_runs(_lines("unique_consecutive", input, dim)), return_inverse, return_counts)


def _lines(name: str, input: Tensor, dim: int | None) -> Tensor:
    """Returns what is compared, as rows of a matrix; `dim` None compares single elements."""
    need_tensor(name, input)
    dtype, shape = input._kind.dtype, shape_of(input)
    if dtype.is_complex:
        raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_type_name(dtype)}'")
    input = input.detach()
    if dim is None:
        return input.reshape(-1, 1)
    axis = wrap_dim(dim, len(shape))
    return input.movedim(axis, 0).reshape(shape[axis], -1)


def _order(lines: Tensor) -> Tensor:
    """Returns the lexicographic order of rows: stable sorts by the last column first."""
    count, width = shape_of(lines)
    if not width:
        from torchplug.ops.creation import arange

        return arange(count, device=lines.device)
    order = lines[:, width - 1].argsort(stable=True)
    for column in range(width - 2, -1, -1):
        order = order.index_select(0, lines[:, column].index_select(0, order).argsort(stable=True))
    return order


def _runs(lines: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the first row of each run of equal rows, the number of each row's run, and the lengths of the runs."""
    from torchplug.ops.creation import full, ones
    from torchplug.ops.joining import cat

    count = shape_of(lines)[0]
    device = lines.device
    if count == 0:
        nothing = full((0,), 0, dtype=dt.int64, device=device)
        return lines.clone(), nothing, nothing
    changes = (lines[1:] != lines[:-1]).any(1)
    starts = cat([ones(1, dtype=dt.bool_, device=device), changes])
    first = starts.nonzero().reshape(-1)
    ends = cat([first[1:], full((1,), count, dtype=dt.int64, device=device)])
    return lines.index_select(0, first), starts.cumsum(0) - 1, ends - first


def _answer(
    input: Tensor,
    dim: int | None,
    values: Tensor,
    inverse: Tensor,
    counts: Tensor,
    wants_inverse: bool,
    wants_counts: bool,
) -> Any:
    shape = shape_of(input)
    if dim is None:
        values, inverse = values.reshape(-1), inverse.reshape(shape)
    else:
        axis = wrap_dim(dim, len(shape))
        rest = shape[:axis] + shape[axis + 1 :]
        values = values.reshape((shape_of(values)[0], *rest)).movedim(0, axis)
        values = values.contiguous()
    parts = [values] + [inverse] * wants_inverse + [counts] * wants_counts
    return parts[0] if len(parts) == 1 else tuple(parts)
