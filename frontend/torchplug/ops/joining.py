"""Tensors put together: along a dimension there is, along a new one, or on the diagonal of a matrix."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare
from torchplug._core.dims import wrap_dim
from torchplug._core.elementwise import convert
from torchplug._core.inplace import write_out
from torchplug._core.kernels import composition
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.promotion import promote_types
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.structure import CONCAT

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "cat",
    "column_stack",
    "dstack",
    "hstack",
    "stack",
    "vstack",
]

Shape = tuple[int, ...]


# ---- kernels ---------------------------------------------------------------------------------------------------------


def _at(shape: Shape, axis: int, item: Any) -> tuple[Any, ...]:
    """Returns the key that takes `item` of one axis and all of the others."""
    return tuple(item if dim == axis else slice(0, length, 1) for dim, length in enumerate(shape))


@composition
def stack_(F: Any, arrays: Sequence[Any], axis: int) -> Any:
    """Returns arrays of one shape joined along a new axis."""
    shape = tuple(arrays[0].shape)
    longer = (*shape[:axis], 1, *shape[axis:])
    return F.concat([F.reshape(x, longer) for x in arrays], axis)


def _stack_rule(F: Any, g: Any, arrays_shape: Sequence[Shape], axis: int) -> list[Any]:
    shape = tuple(g.shape)
    return [F.slice(g, _at(shape, axis, place)) for place in range(len(arrays_shape))]


STACK = Op("stack", ("arrays", "axis"), tensors=("arrays",), variadic=True, joint=_stack_rule)


def _block_diag(F: Any, blocks: Sequence[Any]) -> Any:
    """Returns the blocks in a matrix of zeros, each below and right of the one before."""
    width, left, rows = sum(block.shape[1] for block in blocks), 0, []
    for block in blocks:
        height, length = block.shape
        margins = [F.zeros_of(block, (height, left)), block, F.zeros_of(block, (height, width - left - length))]
        rows.append(F.concat(margins, 1))
        left += length
    return F.concat(rows, 0)


def _block_diag_rule(F: Any, g: Any, blocks_shape: Sequence[Shape]) -> list[Any]:
    pieces, top, left = [], 0, 0
    for height, width in blocks_shape:
        pieces.append(F.slice(g, (slice(top, top + height, 1), slice(left, left + width, 1))))
        top, left = top + height, left + width
    return pieces


BLOCK_DIAG = Op(
    "block_diag", ("blocks",), tensors=("blocks",), variadic=True, forward=_block_diag, joint=_block_diag_rule
)


# ---- checks ----------------------------------------------------------------------------------------------------------


def tensor_list(name: str, tensors: Any) -> list[Tensor]:
    """Returns a sequence of tensors as a list; PyTorch's TypeErrors otherwise."""
    if isinstance(tensors, (Tensor, str)) or not isinstance(tensors, Sequence):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}"
        )
    for place, item in enumerate(tensors):
        if not isinstance(item, Tensor):
            raise TypeError(f"expected Tensor as element {place} in argument 0, but got {type(item).__name__}")
    return list(tensors)


def _promoted(tensors: list[Tensor]) -> list[Tensor]:
    kind = tensors[0]._kind
    if all(x._kind is kind for x in tensors):
        return tensors
    dtype = kind.dtype
    for x in tensors[1:]:
        dtype = promote_types(dtype, x._kind.dtype)
    return [convert(x, dtype) for x in tensors]


def _alike(tensors: Any, dim: int) -> bool:
    """Says whether tensors need no check and no promotion to be joined: one kind, sizes that differ along `dim` alone."""
    if type(tensors) not in (list, tuple) or not tensors or type(dim) is not int or not isinstance(tensors[0], Tensor):
        return False
    kind, model = tensors[0]._kind, shape_of(tensors[0])
    ndim = len(model)
    if not -ndim <= dim < ndim or model == (0,):
        return False
    before = dim + ndim if dim < 0 else dim
    for x in tensors:
        if not isinstance(x, Tensor) or x._kind is not kind:
            return False
        shape = shape_of(x)
        if shape != model and (
            len(shape) != ndim
            or shape[:before] != model[:before]
            or shape[before + 1 :] != model[before + 1 :]
            or shape == (0,)
        ):
            return False
    return True


def _check_joinable(tensors: list[Tensor], kept: list[Tensor], axis: int) -> None:
    """Raises PyTorch's error unless the tensors kept agree in all dimensions but one."""
    model = shape_of(kept[0])
    for x in kept:
        shape = shape_of(x)
        if len(shape) != len(model):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(model)} and {len(shape)}")
        for dim, (have, wanted) in enumerate(zip(shape, model, strict=True)):
            if have != wanted and dim != axis:
                place = next(number for number, each in enumerate(tensors) if each is x)
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {axis}. Expected size {wanted} but got size {have} for "
                    f"tensor number {place} in the list."
                )


# ---- cat and stack ---------------------------------------------------------------------------------------------------


def _cat_samples(make: Any) -> Iterable[Sample]:
    yield Sample((make(2, 3), make(4, 3)))
    yield Sample([make(2, 3), make(2, 1), make(2, 2)], 1)
    yield Sample([make(2, 3, 2), make(2, 3, 1)], dim=-1)
    yield Sample([make(3)])
    yield Sample([make(0), make(3, 2)], 1)
    yield Sample([make(2, 0), make(2, 3)], 1)
    yield Sample([make(3), (make(3) > 0)])
    yield Sample([make(2), np.arange(3)])


def _cat_errors() -> Iterable[Sample]:
    x = np.ones((2, 3), np.float32)
    yield Sample([], error=(ValueError, "torch.cat(): expected a non-empty list of Tensors"))
    yield Sample(x, error=(TypeError, "must be tuple of Tensors, not Tensor"))
    yield Sample([x, 1], error=(TypeError, "expected Tensor as element 1 in argument 0, but got int"))
    yield Sample([x, x[0]], error=(RuntimeError, "Tensors must have same number of dimensions: got 2 and 1"))
    yield Sample(
        [x, x[:, :2]],
        error=(RuntimeError, "Sizes of tensors must match except in dimension 0. Expected size 3 but got"),
    )
    yield Sample([x, x], 2, error=(IndexError, "Dimension out of range"))
    yield Sample(
        [np.ones((), np.float32), x],
        error=(RuntimeError, "zero-dimensional tensor (at position 0) cannot be concatenated"),
    )


@declare(
    op=CONCAT,
    samples=_cat_samples,
    errors=_cat_errors,
    dtypes=("float", "complex", "int", "bool"),
    method=False,
    aliases=("concat", "concatenate"),
)
def cat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None, axis: int | None = None) -> Tensor:
    """Returns tensors joined along `dim`, in the promoted dtype; one-dimensional empty tensors are skipped."""
    if CASTING and (cast := casting("cat")) is not None:
        return cast(cat, tensors, dim, out=out, axis=axis)
    if _alike(tensors, dim if axis is None else axis) and out is None:
        return CONCAT(tensors, wrap_dim(dim if axis is None else axis, len(shape_of(tensors[0]))))
    tensors = tensor_list("cat", tensors)
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for place, x in enumerate(tensors):
        if not shape_of(x):
            raise RuntimeError(f"zero-dimensional tensor (at position {place}) cannot be concatenated")
    kept = [x for x in tensors if shape_of(x) != (0,)] or tensors[:1]
    axis = wrap_dim(dim if axis is None else axis, len(shape_of(kept[0])))
    _check_joinable(tensors, kept, axis)
    if len(kept) != len(tensors):
        nothing = tuple(0 if place == axis else length for place, length in enumerate(shape_of(kept[0])))
        tensors = [TENSOR_SPACE.reshape(x, nothing) if shape_of(x) == (0,) else x for x in tensors]
    result = CONCAT(_promoted(tensors), axis)
    return result if out is None else write_out(out, result, "cat")


def _stack_samples(make: Any) -> Iterable[Sample]:
    yield Sample((make(2, 3), make(2, 3)))
    yield Sample([make(2, 3), make(2, 3), make(2, 3)], 1)
    yield Sample([make(2), make(2)], dim=-1)
    yield Sample([make(), make()])


def _stack_errors() -> Iterable[Sample]:
    x = np.ones((2, 3), np.float32)
    yield Sample([], error=(RuntimeError, "stack expects a non-empty TensorList"))
    yield Sample(
        [x, x[0]],
        error=(RuntimeError, "stack expects each tensor to be equal size, but got [2, 3] at entry 0 and [3] at"),
    )
    yield Sample(
        [x, x], 3, error=(IndexError, "Dimension out of range (expected to be in range of [-3, 2], but got 3)")
    )


@declare(
    op=STACK, samples=_stack_samples, errors=_stack_errors, dtypes=("float", "complex", "int", "bool"), method=False
)
def stack(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None, axis: int | None = None) -> Tensor:
    """Returns tensors of one size joined along a new dimension."""
    if CASTING and (cast := casting("stack")) is not None:
        return cast(stack, tensors, dim, out=out, axis=axis)
    tensors = tensor_list("stack", tensors)
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    size = shape_of(tensors[0])
    place = wrap_dim(dim if axis is None else axis, len(size) + 1)
    for number, x in enumerate(tensors):
        if shape_of(x) != size:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(size)} at entry 0 and {list(shape_of(x))} at entry "
                f"{number}"
            )
    result = STACK(_promoted(tensors), place)
    return result if out is None else write_out(out, result, "stack")


# ---- stacks by name --------------------------------------------------------------------------------------------------


def _each(tensors: tuple[Any, ...], function: Any) -> Any:
    """Returns `function` of one tensor, or of each of several as a tuple."""
    if len(tensors) == 1 and not isinstance(tensors[0], Tensor):
        return tuple(function(x) for x in tensor_list("atleast_nd", tensors[0]))
    tensor_list("atleast_nd", tensors)
    return function(tensors[0]) if len(tensors) == 1 else tuple(function(x) for x in tensors)


def _atleast_samples(make: Any) -> Iterable[Sample]:
    for shape in ((), (3,), (2, 3), (2, 1, 3)):
        yield Sample(make(*shape))
    yield Sample(make(), make(2))
    yield Sample((make(), make(2)))


@declare(samples=_atleast_samples, method=False, differentiable=True)
def atleast_1d(*tensors: Any) -> Any:
    """Returns tensors with at least one dimension, as views."""
    return _each(tensors, lambda x: x if shape_of(x) else x.reshape(1))


def _as_2d(x: Tensor) -> Tensor:
    ndim = len(shape_of(x))
    return x.reshape(1, 1) if ndim == 0 else x.unsqueeze(0) if ndim == 1 else x


def _as_3d(x: Tensor) -> Tensor:
    ndim = len(shape_of(x))
    if ndim == 0:
        return x.reshape(1, 1, 1)
    return x.unsqueeze(0).unsqueeze(-1) if ndim == 1 else x.unsqueeze(-1) if ndim == 2 else x


@declare(samples=_atleast_samples, method=False, differentiable=True)
def atleast_2d(*tensors: Any) -> Any:
    """Returns tensors with at least two dimensions, as views: vectors become rows."""
    return _each(tensors, _as_2d)


@declare(samples=_atleast_samples, method=False, differentiable=True)
def atleast_3d(*tensors: Any) -> Any:
    """Returns tensors with at least three dimensions, as views: (n,) becomes (1, n, 1), (n, m) becomes (n, m, 1)."""
    return _each(tensors, _as_3d)


def _row_samples(make: Any) -> Iterable[Sample]:
    yield Sample((make(3), make(2)))
    yield Sample((make(2, 3), make(2, 2)))
    yield Sample((make(), make()))


def _column_samples(make: Any) -> Iterable[Sample]:
    yield Sample((make(3), make(3)))
    yield Sample((make(2, 3), make(2, 3)))
    yield Sample((make(), make()))


@declare(samples=_row_samples, method=False, differentiable=True)
def hstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Returns tensors joined side by side: along the second dimension, vectors along their only one."""
    parts = [atleast_1d(x) for x in tensor_list("hstack", tensors)]
    return cat(parts, 0 if parts and len(shape_of(parts[0])) == 1 else 1, out=out)


@declare(samples=_column_samples, method=False, differentiable=True, aliases=("row_stack",))
def vstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Returns tensors joined one below the other: along the first dimension, vectors as rows."""
    return cat([_as_2d(x) for x in tensor_list("vstack", tensors)], 0, out=out)


@declare(samples=_column_samples, method=False, differentiable=True)
def dstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Returns tensors joined along the third dimension."""
    return cat([_as_3d(x) for x in tensor_list("dstack", tensors)], 2, out=out)


@declare(samples=_column_samples, method=False, differentiable=True)
def column_stack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Returns tensors joined side by side, vectors as columns."""
    parts = [
        x.reshape(math.prod(shape_of(x)), 1) if len(shape_of(x)) <= 1 else x
        for x in tensor_list("column_stack", tensors)
    ]
    return cat(parts, 1, out=out)


def _block_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3), make(1, 2), make(2, 2))
    yield Sample(make(3), make())
    yield Sample(make(2, 2))


@declare(op=BLOCK_DIAG, samples=_block_samples, dtypes=("float", "complex", "int"), method=False)
def block_diag(*tensors: Tensor) -> Tensor:
    """Returns a matrix with the tensors on its diagonal and zeros elsewhere; vectors count as rows."""
    for place, x in enumerate(tensor_list("block_diag", tensors)):
        if len(shape_of(x)) > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {place} has {len(shape_of(x))} dimensions"
            )
    return BLOCK_DIAG(_promoted([_as_2d(x) for x in tensors]))
