"""Tensors brought to one shape and combined in every way: broadcast_tensors, meshgrid, cartesian_prod, combinations."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import broadcast_shapes as common_shape
from torchplug._core.elementwise import need_tensor
from torchplug._core.size import Size
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.joining import stack, tensor_list

__all__ = ["broadcast_shapes", "broadcast_tensors", "broadcast_to", "cartesian_prod", "combinations", "meshgrid"]


def _several(name: str, tensors: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """Returns tensors given one by one or as one sequence."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], Sequence) else tensors
    return tuple(tensor_list(name, given))


@declare(samples=lambda make: [Sample(make(3), (2, 3)), Sample(make(2, 1), (2, 4))], differentiable=True)
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """Returns a view stretched to `size`."""
    need_tensor("broadcast_to", input)
    return input.expand(size)


@declare(method=False, samples=lambda make: [Sample((2, 1), (3,)), Sample((), 4, (1, 4)), Sample((2, 0), (1, 1))])
def broadcast_shapes(*shapes: Any) -> Size:
    """Returns the size that all the given sizes broadcast to."""
    sizes = [(shape,) if isinstance(shape, int) else tuple(shape) for shape in shapes]
    longest = max((len(size) for size in sizes), default=0)
    result = [1] * longest
    for place, size in enumerate(sizes):
        for dim in range(-1, -1 - len(size), -1):
            if size[dim] < 0:
                raise RuntimeError(f"Trying to create tensor with negative dimension ({size[dim]}): ({size[dim]})")
            if size[dim] == 1 or size[dim] == result[dim]:
                continue
            if result[dim] != 1:
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {size[dim]} at {dim}! Mismatching argument at index {place} had "
                    f"{size}; but expected shape should be broadcastable to {result}"
                )
            result[dim] = size[dim]
    return Size(result)


@declare(samples=lambda make: [Sample(make(3), make(2, 1)), Sample(make(), make(2))], method=False, differentiable=True)
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Returns views of the tensors stretched to their common size."""
    given = _several("broadcast_tensors", tensors)
    shape = common_shape(*(shape_of(x) for x in given))
    return tuple(x if shape_of(x) == shape else x.expand(shape) for x in given)


def _grid_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(2), make(3), indexing="ij")
    yield Sample(make(2), make(3), indexing="xy")
    yield Sample([make(2), make(3), make()], indexing="ij")
    yield Sample(make(2), make(3), make(4), indexing="xy")
    yield Sample(make(2))


def _grid_errors() -> Iterable[Sample]:
    x = np.ones(2, np.float32)
    yield Sample(x, x, indexing="x", error=(RuntimeError, 'indexing must be one of "xy" or "ij", but received: x'))
    yield Sample(x, np.ones(2, np.int64), error=(RuntimeError, "meshgrid expects all tensors to have the same dtype"))


@declare(samples=_grid_samples, errors=_grid_errors, dtypes=("float", "int"), method=False, differentiable=True)
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Returns the coordinates of a grid: view number i repeats vector number i along all other dimensions.

    `indexing` "ij" gives dimensions in the order of the vectors, "xy" exchanges the first two.
    """
    vectors = _several("meshgrid", tensors)
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.", stacklevel=2
        )
        indexing = "ij"
    if not vectors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for x in vectors:
        if len(shape_of(x)) > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {x}")
        if x._kind.dtype is not vectors[0]._kind.dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    swap = indexing == "xy" and len(vectors) >= 2
    ordered = (vectors[1], vectors[0], *vectors[2:]) if swap else vectors
    shape = tuple(shape_of(x)[0] if shape_of(x) else 1 for x in ordered)
    grids = [
        x.view([-1 if dim == place else 1 for dim in range(len(shape))]).expand(shape)
        for place, x in enumerate(ordered)
    ]
    return (grids[1], grids[0], *grids[2:]) if swap else tuple(grids)


@declare(
    samples=lambda make: [Sample(make(2), make(3)), Sample(make(3)), Sample(make(2), make(2), make(1))],
    method=False,
    dtypes=("float", "int"),
    differentiable=True,
)
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """Returns all tuples of one element of each vector, as rows; of one vector the vector itself."""
    vectors = _several("cartesian_prod", tensors)
    for x in vectors:
        if len(shape_of(x)) != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(shape_of(x))}")
    if len(vectors) == 1:
        return vectors[0]
    return stack([grid.reshape(-1) for grid in meshgrid(*vectors, indexing="ij")], 1)


@declare(
    samples=lambda make: [Sample(make(4)), Sample(make(3), 3), Sample(make(3), 2, True), Sample(make(2), 3)],
    method=False,
    dtypes=("float", "int"),
    differentiable=True,
)
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Returns all choices of `r` elements of a vector, in the order of `itertools.combinations`, as rows."""
    need_tensor("combinations", input)
    from torchplug.ops.from_data import tensor

    if len(shape_of(input)) != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(shape_of(input))}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(shape_of(input)[0]), r)), np.int64).reshape(-1, r)
    places = tensor(rows.reshape(-1), device=input.device)
    return input.index_select(0, places).reshape(rows.shape)
