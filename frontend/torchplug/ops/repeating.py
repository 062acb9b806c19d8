"""Elements repeated, rolled round, and turned over: repeat, tile, roll, flip, rot90."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.dims import as_shape, wrap_dim, wrap_dims
from torchplug._core.elementwise import need_tensor
from torchplug._core.kernels import composition
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import dtypes as dt

__all__ = ["flip", "fliplr", "flipud", "repeat", "repeat_interleave", "roll", "rot90", "tile"]

Shape = tuple[int, ...]


# ---- kernels ---------------------------------------------------------------------------------------------------------


def _repeat(F: Any, x: Any, repeats: Shape) -> Any:
    """Returns x laid side by side: every dimension gets a dimension before it, which is stretched."""
    shape = (1,) * (len(repeats) - x.ndim) + tuple(x.shape)
    apart = tuple(length for size in shape for length in (1, size))
    stretched = tuple(length for count, size in zip(repeats, shape, strict=True) for length in (count, size))
    whole = tuple(count * size for count, size in zip(repeats, shape, strict=True))
    return F.copy(F.reshape(F.broadcast_to(F.reshape(x, apart), stretched), whole))


def _repeat_rule(F: Any, g: Any, x_shape: Shape, repeats: Shape) -> Any:
    shape = (1,) * (len(repeats) - len(x_shape)) + x_shape
    stretched = tuple(length for count, size in zip(repeats, shape, strict=True) for length in (count, size))
    return F.reshape(F.sum(F.reshape(g, stretched), tuple(range(0, len(stretched), 2)), False), x_shape)


REPEAT = Op("repeat", ("x", "repeats"), tensors=("x",), forward=_repeat, rules={"x": _repeat_rule})


@composition
def flip_(F: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """Returns x with the order along some axes turned over."""
    for axis in axes:
        x = F.take(x, F.host(np.arange(x.shape[axis] - 1, -1, -1), x), axis)
    return x


FLIP = Op(
    "flip",
    ("x", "axes"),
    tensors=("x",),
    kernel="flipped",
    forward=lambda F, x, axes: F.copy(F.flip(x, axes)),
    rules={"x": lambda F, g, axes: F.flip(g, axes)},
)
TENSOR_SPACE.flip = FLIP


@composition
def roll_(F: Any, x: Any, shifts: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Returns x moved round along axes: what leaves at the end comes in at the start."""
    for shift, axis in zip(shifts, axes, strict=True):
        shape = tuple(x.shape)
        start = -shift % shape[axis] if shape[axis] else 0
        if start:
            parts = (slice(start, shape[axis], 1), slice(0, start, 1))
            keys = [
                tuple(part if dim == axis else slice(0, length, 1) for dim, length in enumerate(shape))
                for part in parts
            ]
            x = F.concat([F.slice(x, key) for key in keys], axis)
    return F.copy(x)


ROLL = Op("roll", ("x", "shifts", "axes"), tensors=("x",), rules={
    "x": lambda F, g, shifts, axes: F.roll(g, tuple(-shift for shift in shifts), axes),
})  # fmt: skip


def _rot90(F: Any, x: Any, turns: int, dims: tuple[int, int]) -> Any:
    if turns == 2:
        return F.copy(F.flip(x, dims))
    if turns:
        order = list(range(x.ndim))
        order[dims[0]], order[dims[1]] = dims[1], dims[0]
        x = F.permute_dims(F.flip(x, (dims[1] if turns == 1 else dims[0],)), tuple(order))
    return F.copy(x)


ROT90 = Op("rot90", ("x", "turns", "dims"), tensors=("x",), forward=_rot90, rules={
    "x": lambda F, g, turns, dims: F.rot90(g, -turns % 4, dims),
})  # fmt: skip


# ---- repeat ----------------------------------------------------------------------------------------------------------


def _repeat_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3), 2)
    yield Sample(make(3), 2, 3)
    yield Sample(make(2, 3), (2, 1, 2))
    yield Sample(make(), 3)
    yield Sample(make(2, 3), 0, 1)


def _repeat_errors() -> Iterable[Sample]:
    x = np.ones((2, 2), np.float32)
    yield Sample(
        x,
        2,
        error=(RuntimeError, "Number of dimensions of repeat dims can not be smaller than number of dimensions of"),
    )
    yield Sample(x, -1, 2, error=(RuntimeError, "Trying to create tensor with negative dimension -2: [-2, 4]"))


@declare(
    op=REPEAT, samples=_repeat_samples, errors=_repeat_errors, dtypes=("float", "complex", "int", "bool"), public=False
)
def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """Returns the tensor laid side by side, `repeats` times along each dimension (counted from the last)."""
    need_tensor("repeat", input)
    counts, shape = as_shape(repeats), shape_of(input)
    if len(counts) < len(shape):
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    whole = [count * size for count, size in zip(counts, (1,) * (len(counts) - len(shape)) + shape, strict=True)]
    if any(count < 0 for count in counts):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(whole)}: {whole}")
    return REPEAT(input, counts)


@declare(
    samples=lambda make: [Sample(make(3), (2,)), Sample(make(2, 3), (2,)), Sample(make(3), (2, 2))],
    differentiable=True,
    dtypes=("float", "int"),
)
def tile(input: Tensor, *dims: Any) -> Tensor:
    """Returns the tensor laid side by side; missing leading repeats are 1."""
    need_tensor("tile", input)
    counts = as_shape(dims)
    return repeat(input, (1,) * (len(shape_of(input)) - len(counts)) + counts)


def _interleave_samples(make: Any) -> Iterable[Sample]:
    counts = np.array([2, 0, 1])
    yield Sample(make(3), 2)
    yield Sample(make(3, 4), 2)
    yield Sample(make(3, 4), 3, dim=1)
    yield Sample(make(3, 4), counts, dim=0)
    yield Sample(make(3), counts)
    yield Sample(make(3), np.array(2))
    yield Sample(make(3, 2), counts, 0, output_size=3)
    yield Sample(make(), 2)


def _interleave_errors() -> Iterable[Sample]:
    x = np.ones(2, np.float32)
    yield Sample(x, -1, error=(RuntimeError, "Repeats must be non-negative"))
    yield Sample(x, x, error=(NotImplementedError, "not implemented for 'Float'"))
    yield Sample(x, np.ones(3, np.int64), error=(RuntimeError, "repeats must have the same size as input along dim"))
    yield Sample(
        x, np.array([1, 2]), 0, output_size=5, error=(RuntimeError, "allocated size does not match required size")
    )


@declare(samples=_interleave_samples, errors=_interleave_errors, dtypes=("float", "int"), differentiable=True)
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Returns every entry along `dim` (of the flattened tensor if None) repeated, all as often or each as `repeats` says.

    With one tensor alone, returns the index of every entry as often as the entry says.
    """
    need_tensor("repeat_interleave", input)
    if repeats is None:
        return _repeated_places(input, output_size)
    x = input if dim is not None else TENSOR_SPACE.reshape(input, (math.prod(shape_of(input)),))
    axis = wrap_dim(0 if dim is None else dim, len(shape_of(x)))
    if isinstance(repeats, Tensor) and math.prod(shape_of(repeats)) == 1 and len(shape_of(repeats)) < 2:
        _need_counts(repeats)
        repeats = int(repeats.item())
    if not isinstance(repeats, Tensor):
        return _repeated_evenly(x, repeats, axis)
    _need_counts(repeats)
    if shape_of(repeats)[0] != shape_of(x)[axis]:
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = {shape_of(repeats)[0]} and "
            f"input.size({axis}) = {shape_of(x)[axis]}"
        )
    return x.index_select(axis, _repeated_places(repeats, output_size))


def _need_counts(repeats: Tensor) -> None:
    dtype = repeats._kind.dtype
    if dtype is not dt.int64 and dtype is not dt.int32:
        raise NotImplementedError(f"\"repeat_interleave_cpu\" not implemented for '{scalar_type_name(dtype)}'")
    if len(shape_of(repeats)) > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")


def _repeated_evenly(x: Tensor, count: int, axis: int) -> Tensor:
    if count < 0:
        raise RuntimeError("Repeats must be non-negative")
    shape = shape_of(x) or (1,)
    x = TENSOR_SPACE.reshape(x, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    x = TENSOR_SPACE.broadcast_to(x, (*shape[: axis + 1], count, *shape[axis + 1 :]))
    return TENSOR_SPACE.reshape(x.clone(), (*shape[:axis], shape[axis] * count, *shape[axis + 1 :]))


def _repeated_places(repeats: Tensor, output_size: int | None) -> Tensor:
    """Returns the index of each entry as often as the entry says: where its place lies among the running sums."""
    _need_counts(repeats)
    if (repeats < 0).any():
        raise RuntimeError("repeats can not be negative")
    ends = repeats.cumsum(0)
    total = int(ends[-1]) if shape_of(repeats)[0] else 0
    if output_size is not None and output_size != total:
        raise RuntimeError("allocated size does not match required size")
    from torchplug.ops.creation import arange
    from torchplug.ops.searching import searchsorted

    places = searchsorted(ends, arange(total, device=repeats.device), right=True)
    return places.to(repeats._kind.dtype)


# ---- roll, flip, rotate ----------------------------------------------------------------------------------------------


def _as_tuple(value: Any, name: str) -> tuple[int, ...]:
    if isinstance(value, str) or not all(
        hasattr(item, "__index__") for item in (value if isinstance(value, Sequence) else [value])
    ):
        raise TypeError(f"roll(): argument '{name}' must be tuple of ints, not {type(value).__name__}")
    return (value.__index__(),) if hasattr(value, "__index__") else tuple(item.__index__() for item in value)


def _roll_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), 1)
    yield Sample(make(3, 4), -2, 1)
    yield Sample(make(3, 4), (1, 5), (0, 1))
    yield Sample(make(2, 0), 1, 0)
    yield Sample(make(2, 5, 3), shifts=(7, -1), dims=(1, -1))


def _roll_errors() -> Iterable[Sample]:
    x = np.ones(3, np.float32)
    yield Sample(x, (1, 2), error=(RuntimeError, "shifts and dimensions must align. shifts: 2, dims:0"))
    yield Sample(x, (), error=(RuntimeError, "`shifts` required"))
    yield Sample(x, 1, 3, error=(IndexError, "Dimension out of range"))


@declare(op=ROLL, samples=_roll_samples, errors=_roll_errors, dtypes=("float", "complex", "int", "bool"))
def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """Returns the tensor moved round along `dims`, or flattened and moved round if None."""
    need_tensor("roll", input)
    amounts, chosen = _as_tuple(shifts, "shifts"), () if dims is None else _as_tuple(dims, "dims")
    if not amounts:
        raise RuntimeError("`shifts` required")
    if not chosen and len(amounts) == 1:
        flat = TENSOR_SPACE.reshape(input, (math.prod(shape_of(input)),))
        return TENSOR_SPACE.reshape(ROLL(flat, amounts, (0,)), shape_of(input))
    if len(amounts) != len(chosen):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(amounts)}, dims:{len(chosen)}")
    return ROLL(input, amounts, tuple(wrap_dim(dim, len(shape_of(input))) for dim in chosen))


def _flip_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), (0,))
    yield Sample(make(3, 4), [0, -1])
    yield Sample(make(3), ())
    yield Sample(make(2, 0), (1,))


@declare(
    op=FLIP,
    samples=_flip_samples,
    dtypes=("float", "complex", "int", "bool"),
    errors=lambda: [Sample(np.ones(2, np.float32), (0, 0), error=(RuntimeError, "dim 0 appears multiple times"))],
)
def flip(input: Tensor, *dims: Any) -> Tensor:
    """Returns a copy with the order along `dims` turned over."""
    need_tensor("flip", input)
    return FLIP(input, wrap_dims(as_shape(dims), len(shape_of(input))))


@declare(
    samples=lambda make: [Sample(make(2, 3)), Sample(make(2, 3, 2))],
    differentiable=True,
    errors=lambda: [Sample(np.ones(2, np.float32), error=(RuntimeError, "Input must be >= 2-d."))],
)
def fliplr(input: Tensor) -> Tensor:
    """Returns a copy with the columns in opposite order."""
    need_tensor("fliplr", input)
    if len(shape_of(input)) < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return FLIP(input, (1,))


@declare(samples=lambda make: [Sample(make(2, 3)), Sample(make(3))], differentiable=True)
def flipud(input: Tensor) -> Tensor:
    """Returns a copy with the rows in opposite order."""
    need_tensor("flipud", input)
    if not shape_of(input):
        raise RuntimeError("Input must be >= 1-d.")
    return FLIP(input, (0,))


def _rot90_samples(make: Any) -> Iterable[Sample]:
    for turns in range(-1, 5):
        yield Sample(make(2, 3), turns)
    yield Sample(make(2, 3, 4), 1, (1, 2))
    yield Sample(make(2, 3, 4), 3, [2, 0])


def _rot90_errors() -> Iterable[Sample]:
    x = np.ones((2, 2), np.float32)
    yield Sample(x[0], error=(RuntimeError, "expected total dims >= 2, but got total dims = 1"))
    yield Sample(
        x, 1, (0, 0), error=(RuntimeError, "expected rotation dims to be different, but got dim0 = 0 and dim1 = 0")
    )
    yield Sample(x, 1, (0,), error=(RuntimeError, "expected total rotation dims == 2, but got dims = 1"))


@declare(op=ROT90, samples=_rot90_samples, errors=_rot90_errors, dtypes=("float", "int"))
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Returns a copy turned by `k` right angles in the plane of two dimensions, from the first towards the second."""
    need_tensor("rot90", input)
    ndim = len(shape_of(input))
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {ndim}")
    first, second = wrap_dim(dims[0], ndim), wrap_dim(dims[1], ndim)
    if first == second:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    return ROT90(input, k % 4, (first, second))
