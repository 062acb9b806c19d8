"""Gather and scatter along one dimension, and the index_* functions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.dims import wrap_dim
from torchplug._core.elementwise import broadcast_shapes, convert
from torchplug._core.host import host_array
from torchplug._core.inplace import write_out
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, array_of, shape_of, wrap
from torchplug.ops.gathering import PUT
from torchplug.ops.indexing import as_value, gather_by
from torchplug.ops.masking import nonzero
from torchplug_spec import dtypes as dt

__all__ = [
    "gather",
    "index_add",
    "index_copy",
    "index_fill",
    "index_select",
    "scatter",
    "scatter_add",
    "scatter_reduce",
    "take",
    "take_along_dim",
]

Shape = tuple[int, ...]


def _given(made: Tensor, out: Tensor | None, name: str) -> Tensor:
    """Returns a result, written into `out` where that is given."""
    return made if out is None else write_out(out, made, name)


def _places(F: Any, index: Any, shape: Shape, dim: int) -> Any:
    """Returns the flat places in a tensor of `shape` that a gather along `dim` reads, of the shape of `index`."""
    count = tuple(index.shape)
    steps = [math.prod(shape[place + 1 :]) for place in range(len(shape))]
    fixed = np.zeros(count, np.int64)
    for place, step in enumerate(steps):
        if place != dim:
            line = np.arange(count[place], dtype=np.int64) * step
            fixed += line.reshape((-1,) + (1,) * (len(count) - place - 1))
    return F.reshape(F.add(F.multiply(index, steps[dim]), F.host(fixed, index)), (math.prod(count),))


def _gather(F: Any, x: Any, index: Any, dim: int) -> Any:
    shape = tuple(x.shape)
    flat = F.reshape(x, (math.prod(shape),))
    return F.reshape(F.take(flat, _places(F, index, shape, dim), 0), tuple(index.shape))


def _gather_back(F: Any, g: Any, x_shape: Shape, index: Any, dim: int) -> Any:
    return F.scatter_along(F.zeros_of(g, x_shape), g, index, dim, True)


def _scatter_along(F: Any, x: Any, src: Any, index: Any, dim: int, add: bool) -> Any:
    shape = tuple(x.shape)
    flat = F.reshape(x, (math.prod(shape),))
    places = _places(F, index, shape, dim)
    key = tuple(slice(0, length, 1) for length in index.shape)
    values = F.reshape(src if tuple(src.shape) == tuple(index.shape) else F.slice(src, key), (math.prod(index.shape),))
    flat = F.scatter_add(flat, places, values) if add else F.scatter(flat, places, values)
    return F.reshape(flat, shape)


def _scatter_src_rule(F: Any, g: Any, src_shape: Shape, index: Any, dim: int) -> Any:
    picked = F.take_along(g, index, dim)
    if tuple(picked.shape) == src_shape:
        return picked
    return F.slice_embed(picked, src_shape, tuple(slice(0, length, 1) for length in picked.shape))


def _scatter_x_rule(F: Any, g: Any, index: Any, dim: int, add: bool) -> Any:
    return g if add else F.scatter_along(g, F.zeros_of(g, tuple(index.shape)), index, dim, False)


GATHER = Op(
    "gather", ("x", "index", "dim"), tensors=("x",), kernel="take_along", forward=_gather, rules={"x": _gather_back}
)
SCATTER = Op(
    "scatter",
    ("x", "src", "index", "dim", "add"),
    tensors=("x", "src"),
    kernel="scatter_along",
    forward=_scatter_along,
    rules={"x": _scatter_x_rule, "src": _scatter_src_rule},
)
SCATTER_ADD = Op(
    "scatter_add",
    ("x", "src", "index", "dim", "add"),
    tensors=("x", "src"),
    kernel="scatter_along",
    rules={"x": _scatter_x_rule, "src": _scatter_src_rule},
)


def _checked_index(name: str, input: Tensor, dim: int, index: Tensor) -> tuple[Any, int]:
    if index._kind.dtype is dt.int32:
        index = convert(index, dt.int64)
    elif index._kind.dtype is not dt.int64:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    size, shape = shape_of(input), shape_of(index)
    dim = wrap_dim(dim, len(size))
    if len(size or (1,)) != len(shape or (1,)):
        what = (
            "Index tensor must have the same number of dimensions as "
            + ("input" if name == "gather" else "self")
            + " tensor"
        )
        raise RuntimeError(what)
    F = input._kind.F
    raw = array_of(index)
    if size and not F.backend.is_tracer(raw):
        values = host_array(index)
        if values.size and (int(values.min()) < 0 or int(values.max()) >= size[dim]):
            wrong = values[(values < 0) | (values >= size[dim])].flat[0]
            raise RuntimeError(f"index {wrong} is out of bounds for dimension {dim} with size {size[dim]}")
    return raw, dim


def _gather_samples(make: Any) -> Iterable[Sample]:
    index = np.array([[0, 2, 1], [1, 1, 0]])
    yield Sample(make(3, 4), 1, index)
    yield Sample(make(3, 4), 0, index)
    yield Sample(make(5), 0, np.array([4, 0, 0]))


@declare(op=GATHER, samples=_gather_samples)
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Tensor | None = None) -> Tensor:
    """Returns out[i][j] = input[index[i][j]][j] (for dim 0): one element per index, of the shape of `index`."""
    raw, dim = _checked_index("gather", input, dim, index)
    size, shape = shape_of(input), shape_of(index)
    for place, (have, want) in enumerate(zip(size, shape, strict=False)):
        if place != dim and want > have:
            raise RuntimeError(
                f"Size does not match at dimension {place} expected index {list(shape)} to be no larger than self {list(size)} apart "
                f"from dimension {dim}"
            )
    if not size:
        made = input.reshape(1).gather(0, index.reshape(-1)).reshape(shape)
    else:
        made = GATHER(input, raw, dim) if shape else GATHER(input, input._kind.F.reshape(raw, (1,)), dim).reshape(())
    return _given(made, out, "gather")


def _scatter_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), 1, np.array([[0, 2], [1, 3], [3, 0]]), make(3, 2))
    yield Sample(make(3, 4), 0, np.array([[0, 2, 1, 0]]), make(1, 4))


def _scatter_checks(name: str, input: Tensor, dim: int, index: Tensor, src: Any) -> tuple[Any, int, Tensor]:
    raw, dim = _checked_index("scatter", input, dim, index)
    size, shape = shape_of(input), shape_of(index)
    if isinstance(src, Tensor):
        if src._kind.dtype is not input._kind.dtype:
            raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
        bad = any(want > have for place, (have, want) in enumerate(zip(size, shape, strict=True)) if place != dim)
        if bad or any(want > have for have, want in zip(shape_of(src), shape, strict=True)):
            raise RuntimeError(
                f"Expected index {list(shape)} to be no larger than self {list(size)} apart from dimension {dim} and to be no larger "
                f"size than src {list(shape_of(src))}"
            )
    else:
        src = TENSOR_SPACE.broadcast_to(as_value(src, input), shape)
    return raw, dim, src


@declare(op=SCATTER, samples=_scatter_samples, inplace=True)
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Returns `input` with out[index[i][j]][j] = src[i][j] (for dim 0); `src` may be a number; reduce "add" or "multiply"."""
    source = src if src is not None else value
    raw, dim, source = _scatter_checks("scatter", input, dim, index, source)
    if reduce not in (None, "add"):
        made = scatter_reduce(input, dim, index, source, {"multiply": "prod"}.get(reduce, reduce))
    elif reduce == "add":
        made = SCATTER_ADD(input, source, raw, dim, True)
    else:
        made = SCATTER(input, source, raw, dim, False)
    return _given(made, out, "scatter")


@declare(op=SCATTER_ADD, samples=_scatter_samples, inplace=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns `input` with src[i][j] added at out[index[i][j]][j] (for dim 0)."""
    raw, dim, src = _scatter_checks("scatter_add", input, dim, index, src)
    return _given(SCATTER_ADD(input, src, raw, dim, True), out, "scatter_add")


@declare(inplace=True, samples=lambda make: [Sample(make(3, 4), 0, np.array([[0, 2, 1, 0]]), make(1, 4), "sum")])
def scatter_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
    out: Tensor | None = None,
) -> Tensor:
    """Returns `input` with src reduced ("sum", "prod", "mean", "amax", "amin") into the places the index names."""
    return _given(_reduced(input, dim, index, src, reduce, include_self), out, "scatter_reduce")


def _reduced(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool) -> Tensor:
    raw, dim, src = _scatter_checks("scatter_reduce", input, dim, index, src)
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    base = input
    if not include_self:
        start = {"sum": 0, "mean": 0, "prod": 1, "amax": -math.inf, "amin": math.inf}[reduce]
        base = scatter(input, dim, index, start)
    if reduce in ("sum", "mean"):
        total = SCATTER_ADD(base, src, raw, dim, True)
        if reduce == "sum":
            return total
        ones = src.new_ones(shape_of(src))
        count = SCATTER_ADD(
            input.new_ones(shape_of(input))
            if include_self
            else scatter(input.new_ones(shape_of(input)), dim, index, 0),
            ones,
            raw,
            dim,
            True,
        )
        return total / count
    return _reduce_by_rank(base, dim, index, src, reduce)


def _reduce_by_rank(base: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str) -> Tensor:
    """Reduces one entry of `index` along `dim` after the other: entries of one rank never collide."""
    combine = {"prod": "mul", "amax": "maximum", "amin": "minimum"}[reduce]
    for place in range(shape_of(index)[dim]):
        here = index.narrow(dim, place, 1)
        new = getattr(gather(base, dim, here), combine)(src.narrow(dim, place, 1))
        base = scatter(base, dim, here, new)
    return base


def _line(name: str, index: Tensor, input: Tensor, dim: int) -> Any:
    if index._kind.dtype not in (dt.int64, dt.int32):
        raise RuntimeError(f"{name}(): Expected dtype int32 or int64 for index but got: {index._kind.dtype}")
    if len(shape_of(index)) > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector, but got dim: {len(shape_of(index))}")
    size = shape_of(input)
    length = size[dim] if size else 1
    raw = array_of(index)
    if not input._kind.F.backend.is_tracer(raw):
        values = host_array(index)
        if values.size and (int(values.min()) < 0 or int(values.max()) >= length):
            raise IndexError("index out of range in self")
    return input._kind.F.reshape(input._kind.F.astype(raw, dt.int64), (index.numel(),))


SELECT_ROWS = Op(
    "index_select",
    ("x", "indices", "axis"),
    tensors=("x",),
    kernel="take",
    rules={"x": lambda F, g, x_shape, indices, axis: F.take_backward(g, indices, x_shape, axis)},
)


@declare(
    op=SELECT_ROWS,
    samples=lambda make: [Sample(make(3, 4), 1, np.array([0, 2, 2])), Sample(make(5), 0, np.array([4]))],
    dtypes=("float", "complex", "int"),
)
def index_select(input: Tensor, dim: int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the entries of one dimension named by an index vector."""
    size = shape_of(input)
    dim = wrap_dim(dim, len(size))
    rows = _line("index_select", index, input, dim)
    if not size:
        return input.reshape(1).index_select(0, index).reshape(())
    made = SELECT_ROWS(input, rows, dim)
    return _given(made, out, "index_select")


def _along(input: Tensor, dim: int, index: Tensor, source: Tensor, accumulate: bool, name: str) -> Tensor:
    dim = wrap_dim(dim, len(shape_of(input)))
    rows = wrap(_line(name, index, input, dim), input._kind.to(dt.int64))
    if source._kind.dtype is not input._kind.dtype:
        raise RuntimeError(
            f"{name}(): self ({scalar_type_name(input._kind.dtype)}) and source ({scalar_type_name(source._kind.dtype)}) must have the same scalar type"
        )
    return PUT(input, source, array_of(rows), (dim,), accumulate)


_index_rows = np.array([0, 2])


@declare(
    inplace=True,
    samples=lambda make: [
        Sample(make(3, 4), 0, _index_rows, make(2, 4)),
        Sample(make(3, 4), 1, _index_rows, make(3, 2)),
    ],
)
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """Returns `input` with `alpha * source` added at the entries of one dimension that the index vector names."""
    made = _along(input, dim, index, source if alpha == 1 else source * alpha, True, "index_add")
    return _given(made, out, "index_add")


@declare(inplace=True, samples=lambda make: [Sample(make(3, 4), 0, _index_rows, make(2, 4))])
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns `input` with the entries of one dimension that the index vector names taken from `source`."""
    return _given(_along(input, dim, index, source, False, "index_copy"), out, "index_copy")


@declare(inplace=True, samples=lambda make: [Sample(make(3, 4), 1, _index_rows, 2.5)])
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """Returns `input` with the entries of one dimension that the index vector names set to a number."""
    size = shape_of(input)
    dim = wrap_dim(dim, len(size))
    shape = (*size[:dim], index.numel(), *size[dim + 1 :])
    if isinstance(value, complex) and not input._kind.dtype.is_complex:
        raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not supported")
    return _along(input, dim, index, TENSOR_SPACE.broadcast_to(as_value(value, input), shape), False, "index_fill")


@declare(samples=lambda make: [Sample(make(3, 4), np.array([[0, 11], [5, 5]]))])
def take(input: Tensor, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the elements at flat places, of the shape of `index`."""
    if index._kind.dtype is not dt.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {scalar_type_name(index._kind.dtype)}")
    flat = index if shape_of(index) else index.reshape(1)
    try:
        taken = gather_by(input.reshape(-1), [(0, flat)])
    except IndexError:
        count, places = math.prod(shape_of(input)), host_array(flat)
        wrong = places[(places < -count) | (places >= count)][0]
        raise IndexError(f"out of range: tried to access index {wrong} on a tensor of {count} elements.") from None
    return _given(taken.reshape(shape_of(index)), out, "take")


@declare(samples=lambda make: [Sample(make(3, 4), np.array([[0, 2, 1, 1]]), 0)])
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None, *, out: Tensor | None = None) -> Tensor:
    """Returns elements along one dimension at indices broadcast against `input` (all of it flattened for dim None)."""
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1), out=out)
    dim = wrap_dim(dim, len(shape_of(input)))
    size, shape = list(shape_of(input)), list(shape_of(indices))
    width, length = size[dim], shape[dim]
    size[dim] = shape[dim] = 1
    common = list(broadcast_shapes(tuple(size), tuple(shape)))
    return gather(
        input.expand(*common[:dim], width, *common[dim + 1 :]),
        dim,
        indices.expand(*common[:dim], length, *common[dim + 1 :]),
        out=out,
    )


@declare(
    differentiable=False,
    dtypes=("float", "int", "bool"),
    samples=lambda make: [Sample(make.mask(3, 4)), Sample(make(3, 4)), Sample(make(0, 2)), Sample(make())],
)
def argwhere(input: Tensor) -> Tensor:
    """Returns the indices of non-zero elements, int64 of shape (n, ndim)."""
    return nonzero(input)
