"""Triangles and diagonals of matrices: tril, triu, diag, diag_embed, trace."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.dims import wrap_dim
from torchplug._core.elementwise import convert, need_tensor
from torchplug._core.inplace import write_out
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import dtypes as dt

__all__ = ["diag", "diag_embed", "diagflat", "trace", "tril", "triu"]


# ---- kernels ---------------------------------------------------------------------------------------------------------


def _offsets(F: Any, x: Any) -> Any:
    """Returns column minus row of every place of a matrix."""
    rows, columns = x.shape[-2:]
    return F.subtract(F.host(np.arange(columns).reshape(1, -1), x), F.host(np.arange(rows).reshape(-1, 1), x))


def _tril(F: Any, x: Any, diagonal: int) -> Any:
    return F.where(F.less_equal(_offsets(F, x), diagonal), x, F.zeros_of(x, ()))


def _triu(F: Any, x: Any, diagonal: int) -> Any:
    return F.where(F.less_equal(diagonal, _offsets(F, x)), x, F.zeros_of(x, ()))


TRIL = Op(
    "tril",
    ("x", "diagonal"),
    tensors=("x",),
    kernel="lower_triangle",
    forward=_tril,
    rules={"x": lambda F, g, diagonal: F.lower_triangle(g, diagonal)},
)
TRIU = Op(
    "triu",
    ("x", "diagonal"),
    tensors=("x",),
    kernel="upper_triangle",
    forward=_triu,
    rules={"x": lambda F, g, diagonal: F.upper_triangle(g, diagonal)},
)


def _diag_embed(F: Any, x: Any, offset: int, dim1: int, dim2: int) -> Any:
    """Returns matrices with x on a diagonal: x repeated along columns (below 0: rows), kept where column - row = offset."""
    shape, length = tuple(x.shape), x.shape[-1]
    side, margin = length + abs(offset), abs(offset)
    if margin:
        blank = F.zeros_of(x, (*shape[:-1], margin))
        x = F.concat([x, blank], len(shape) - 1)
    x = F.reshape(x, (*shape[:-1], side, 1) if offset >= 0 else (*shape[:-1], 1, side))
    full = (*shape[:-1], side, side)
    on = F.equal(
        F.subtract(F.host(np.arange(side).reshape(1, -1), x), F.host(np.arange(side).reshape(-1, 1), x)), offset
    )
    out = F.where(on, F.broadcast_to(x, full), F.zeros_of(x, ()))
    order = [dim for dim in range(len(full) - 2)]
    for place, dim in sorted([(dim1, len(full) - 2), (dim2, len(full) - 1)]):
        order.insert(place, dim)
    return F.permute_dims(out, tuple(order)) if order != sorted(order) else out


DIAG_EMBED = Op(
    "diag_embed",
    ("x", "offset", "dim1", "dim2"),
    tensors=("x",),
    forward=lambda F, *args: F.copy(_diag_embed(F, *args)),
    rules={"x": lambda F, g, offset, dim1, dim2: F.view_diagonal(g, offset, dim1, dim2)},
)


def _diagonal_rule(F: Any, g: Any, x_shape: tuple[int, ...], offset: int) -> Any:
    spread = F.diag_embed(g, offset, 0, 1)
    rows, columns = x_shape
    side = spread.shape[0]
    spread = F.slice(spread, (slice(0, min(rows, side), 1), slice(0, min(columns, side), 1)))
    if tuple(spread.shape) == x_shape:
        return spread
    return F.slice_embed(spread, x_shape, tuple(slice(0, length, 1) for length in spread.shape))


DIAGONAL = Op(
    "diagonal",
    ("x", "offset"),
    tensors=("x",),
    kernel="diagonal_copy",
    node="DiagonalBackward0_copy",
    forward=lambda F, x, offset: F.copy(F.view_diagonal(x, offset, 0, 1)),
    rules={"x": _diagonal_rule},
)


def _trace_rule(F: Any, g: Any, x_shape: tuple[int, ...]) -> Any:
    spread = F.broadcast_to(g, x_shape)
    return F.where(F.equal(_offsets(F, spread), 0), spread, F.zeros_of(g, ()))


TRACE = Op(
    "trace",
    ("x",),
    tensors=("x",),
    forward=lambda F, x: F.sum(F.view_diagonal(x, 0, 0, 1), None, False),
    rules={"x": _trace_rule},
)


# ---- functions -------------------------------------------------------------------------------------------------------


def _triangle_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))
    yield Sample(make(3, 4), 1)
    yield Sample(make(4, 3), diagonal=-2)
    yield Sample(make(2, 3, 3), -1)
    yield Sample(make(2, 0, 3))


def _triangle_errors(name: str) -> Any:
    return lambda: [
        Sample(np.ones(2, np.float32), error=(RuntimeError, f"{name}: input tensor must have at least 2 dimensions"))
    ]


def _triangle(name: str, op: Op, input: Tensor, diagonal: int, out: Tensor | None) -> Tensor:
    need_tensor(name, input)
    if len(shape_of(input)) < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    result = op(input, diagonal)
    return result if out is None else write_out(out, result, name)


@declare(
    op=TRIL,
    samples=_triangle_samples,
    errors=_triangle_errors("tril"),
    dtypes=("float", "complex", "int", "bool"),
    inplace=True,
)
def tril(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Returns matrices with zeros above a diagonal (0 the main one, 1 above it, -1 below it)."""
    return _triangle("tril", TRIL, input, diagonal, out)


@declare(
    op=TRIU,
    samples=_triangle_samples,
    errors=_triangle_errors("triu"),
    dtypes=("float", "complex", "int", "bool"),
    inplace=True,
)
def triu(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Returns matrices with zeros below a diagonal (0 the main one, 1 above it, -1 below it)."""
    return _triangle("triu", TRIU, input, diagonal, out)


def _diag_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3))
    yield Sample(make(3), 1)
    yield Sample(make(2), diagonal=-2)
    yield Sample(make(3, 4))
    yield Sample(make(3, 4), 2)
    yield Sample(make(3, 3), -1)


def _diag_errors() -> Iterable[Sample]:
    yield Sample(np.ones((2, 2, 2), np.float32), error=(RuntimeError, "diag(): Supports 1D or 2D tensors. Got 3D"))


@declare(op=DIAG_EMBED, samples=_diag_samples, errors=_diag_errors, dtypes=("float", "complex", "int", "bool"))
def diag(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Returns the matrix with a vector on its diagonal, or a copy of the diagonal of a matrix."""
    need_tensor("diag", input)
    ndim = len(shape_of(input))
    if ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {ndim}D")
    result = DIAG_EMBED(input, diagonal, 0, 1) if ndim == 1 else DIAGONAL(input, diagonal)
    return result if out is None else write_out(out, result, "diag")


def _embed_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3))
    yield Sample(make(2, 3), 1)
    yield Sample(make(2, 3), -1, 0, 2)
    yield Sample(make(2, 3), offset=0, dim1=-1, dim2=-2)
    yield Sample(make(2, 3), 1, 2, 0)


@declare(op=DIAG_EMBED, samples=_embed_samples, dtypes=("float", "complex", "int"))
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Returns matrices in two new dimensions with the last dimension of `input` on their diagonal."""
    need_tensor("diag_embed", input)
    ndim = len(shape_of(input)) + 1
    first, second = wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    if first > second:
        first, second, offset = second, first, -offset
    return DIAG_EMBED(input, offset, first, second)


@declare(samples=lambda make: [Sample(make(3)), Sample(make(2, 2), 1), Sample(make(), -1)], differentiable=True)
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """Returns the matrix with the flattened input on its diagonal."""
    need_tensor("diagflat", input)
    return DIAG_EMBED(input.reshape(-1), offset, 0, 1)


def _trace_errors() -> Iterable[Sample]:
    yield Sample(np.ones(2, np.float32), error=(RuntimeError, "trace: expected a matrix, but got tensor with dim 1"))


@declare(
    op=TRACE,
    samples=lambda make: [Sample(make(3, 3)), Sample(make(2, 4))],
    errors=_trace_errors,
    dtypes=("float", "complex", "int"),
)
def trace(input: Tensor) -> Tensor:
    """Returns the sum of the diagonal of a matrix; integers add up in int64."""
    need_tensor("trace", input)
    if len(shape_of(input)) != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {len(shape_of(input))}")
    return TRACE(input if input._kind.inexact else convert(input, dt.int64))
