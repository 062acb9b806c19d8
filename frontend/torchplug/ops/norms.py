"""Norms of vectors, and distances between them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.dims import reduction_axes, wrap_dim
from torchplug._core.elementwise import argument_error, broadcast_shapes, convert
from torchplug._core.inplace import write_out
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.promotion import promote_types
from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import DType

__all__ = ["cdist", "cosine_similarity", "dist", "norm", "pairwise_distance", "pdist", "renorm", "vector_norm"]

Shape = tuple[int, ...]


# ---- the kernel ------------------------------------------------------------------------------------------------------


def _vector_norm(F: Any, x: Any, ord: float, axes: Shape, keepdims: bool) -> Any:
    size = F.abs(x)
    if ord == math.inf:
        return _greatest(F, size, axes, keepdims)
    if ord == -math.inf:
        return F.negative(_greatest(F, F.negative(size), axes, keepdims))
    if ord == 0:
        return F.sum(F.astype(F.less(0, size), F.dtype_of(size)), axes, keepdims)
    if ord == 1:
        return F.sum(size, axes, keepdims)
    if ord == 2:
        return F.sqrt(F.sum(F.multiply(size, size), axes, keepdims))
    return F.pow(F.sum(F.pow(size, float(ord)), axes, keepdims), 1.0 / ord)


def _greatest(F: Any, x: Any, axes: Shape, keepdims: bool) -> Any:
    if not axes:
        return x
    return F.max(x, axes if len(axes) > 1 else axes[0], keepdims)


def _direction(F: Any, x: Any, size: Any) -> Any:
    """Returns x / |x|, 0 at 0; of a real x the sign, which has no derivative."""
    dtype = F.dtype_of(x)
    if not dtype.is_complex:
        return F.subtract(F.astype(F.less(0, x), dtype), F.astype(F.less(x, 0), dtype))
    zero = F.equal(size, 0)
    return F.where(
        zero, F.zeros_of(x, ()), F.divide(x, F.astype(F.where(zero, F.full_of(size, (), 1), size), F.dtype_of(x)))
    )


def _kept(F: Any, x: Any, shape: Shape, axes: Shape, keepdims: bool) -> Any:
    """Returns a reduced array with its reduced dimensions put back as length 1."""
    if keepdims:
        return x
    return F.reshape(x, tuple(1 if axis in axes else length for axis, length in enumerate(shape)))


def _norm_rule(F: Any, g: Any, x: Any, out: Any, ord: float, axes: Shape, keepdims: bool) -> Any:
    shape = tuple(x.shape)
    g, out = (_kept(F, each, shape, axes, keepdims) for each in (g, out))
    size = F.abs(x)
    if ord == 0:
        return F.zeros_of(x, shape)
    if abs(ord) == math.inf:
        hits = F.astype(F.equal(size, out), F.dtype_of(size))
        slope = F.multiply(F.divide(hits, F.sum(hits, axes, True)), g)
        return F.multiply(_direction(F, x, size), F.astype(slope, F.dtype_of(x)))
    if ord == 1:
        return F.multiply(_direction(F, x, size), F.astype(g, F.dtype_of(x)))
    nothing = F.equal(out, 0)
    whole = F.where(nothing, F.full_of(out, (), 1), out)
    if ord == 2:
        slope = F.where(nothing, F.zeros_of(g, ()), F.divide(g, whole))
        return F.multiply(x, F.astype(slope, F.dtype_of(x)))
    empty = F.equal(size, 0)
    powers = F.pow(F.where(empty, F.full_of(size, (), 1), size), float(ord - 1))
    scale = F.where(nothing, F.zeros_of(g, ()), F.divide(g, F.pow(whole, float(ord - 1))))
    slope = F.multiply(F.where(empty, F.zeros_of(size, ()), powers), scale)
    return F.multiply(_direction(F, x, size), F.astype(slope, F.dtype_of(x)))


def _norm_op(node: str) -> Op:
    return Op("vector_norm", ("x", "ord", "axes", "keepdims"), tensors=("x",), forward=_vector_norm, node=node, rules={
        "x": lambda F, g, x, ord, axes, keepdims: _norm_rule(F, g, x, F.vector_norm(x, ord, axes, keepdims), ord, axes, keepdims),
    })  # fmt: skip


VECTOR_NORM = _norm_op("LinalgVectorNormBackward0")
NORM = _norm_op("NormBackward1")
DIST = _norm_op("DistBackward0")


def vector_norm(
    x: Tensor,
    ord: float = 2,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Returns sum(|x|^ord)^(1 / ord) over `dim` (all dimensions if None); the greatest or least |x| for inf or -inf."""
    if not isinstance(x, Tensor):
        raise argument_error("linalg_vector_norm", "x", "Tensor", x, 1)
    kind = x._kind.dtype
    if not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(
            f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {scalar_type_name(kind)}"
        )
    if dtype is not None:
        x = convert(x, dtype)
    size = shape_of(x)
    axes = reduction_axes(dim, len(size))
    axes = tuple(range(len(size))) if axes is None else axes
    if any(size[axis] == 0 for axis in axes) and (abs(ord) == math.inf or ord < 0):
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord:g} norm on an empty tensor because the operation does not have an identity"
        )
    result = VECTOR_NORM(x, ord, axes, keepdim)
    return result if out is None else write_out(out, result, "linalg_vector_norm")


def _norm_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))
    yield Sample(make(3, 4), 2, 1)
    yield Sample(make(3, 4), 1, 0, True)
    yield Sample(make(3, 4), float("inf"), 1)
    yield Sample(make(3, 4), 3, (0, 1))
    yield Sample(make(3, 4), "fro", (0, 1))
    yield Sample(make(2, 3), 0)


def _norm_errors() -> Iterable[Sample]:
    yield Sample(
        np.ones(3, np.int64), error=(RuntimeError, "Expected a floating point or complex tensor as input. Got Long")
    )
    yield Sample(np.ones((3, 4)), 2, 5, error=(IndexError, "Dimension out of range"))


@declare(op=VECTOR_NORM, samples=_norm_samples, errors=_norm_errors, dtypes=("float", "complex"))
def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: Any = None,
    keepdim: bool = False,
    out: Tensor | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Returns the p-norm of the elements over `dim`, all of them if None; "fro" is the 2-norm."""
    if p == "nuc":
        raise NotImplementedError(
            "norm(p='nuc') needs a singular value decomposition, which torchplug does not have yet"
        )
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"linalg.matrix_norm: Order {p} not supported.")
    result = vector_norm(input, 2 if p is None or isinstance(p, str) else p, dim, keepdim, dtype=dtype)
    return result if out is None else write_out(out, result, "norm")


def _renorm_errors() -> Iterable[Sample]:
    yield Sample(np.ones((3, 4)), -1.0, 0, 1.0, error=(RuntimeError, "renorm: non-positive-norm not supported"))


@declare(
    errors=_renorm_errors,
    inplace=True,
    differentiable=True,
    samples=lambda make: [Sample(make(3, 4), 2, 0, 1.0), Sample(make(3, 4), 1, 1, 0.5)],
)
def renorm(input: Tensor, p: float, dim: int, maxnorm: float, *, out: Tensor | None = None) -> Tensor:
    """Returns the input with every slice along `dim` whose p-norm exceeds `maxnorm` scaled down to it."""
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    size = shape_of(input)
    place = wrap_dim(dim, len(size))
    sizes = vector_norm(input, p, [axis for axis in range(len(size)) if axis != place], True)
    scale = (maxnorm / (sizes + 1e-7)).where(sizes > maxnorm, sizes.new_ones(()))
    result = input * scale
    return result if out is None else write_out(out, result, "renorm")


@declare(op=DIST, samples=lambda make: [Sample(make(3, 4), make(3, 4)), Sample(make(3, 4), make(4), 1)])
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """Returns the p-norm of input - other."""
    gap = input - other
    return DIST(gap, p, tuple(range(len(shape_of(gap)))), False)


# ---- distances -------------------------------------------------------------------------------------------------------


def _cdist(F: Any, x: Any, y: Any, p: float) -> Any:
    rows, others, width = x.shape[-2], y.shape[-2], x.shape[-1]
    lead = tuple(x.shape[:-2])
    gap = F.subtract(F.reshape(x, (*lead, rows, 1, width)), F.reshape(y, (*lead, 1, others, width)))
    return F.vector_norm(gap, p, (len(lead) + 2,), False)


CDIST = Op("cdist", ("x1", "x2", "p"), tensors=("x1", "x2"), forward=_cdist)


def _cdist_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3), make(4, 3))
    yield Sample(make(5, 1, 2, 3), make(6, 4, 3), 1.0)
    yield Sample(make(2, 3), make(4, 3), 3.0)


def _cdist_errors() -> Iterable[Sample]:
    x = np.ones((2, 3))
    yield Sample(
        x, np.ones((4, 4)), error=(RuntimeError, "X1 and X2 must have the same number of columns. X1: 3 X2: 4")
    )
    yield Sample(x[0], x, error=(RuntimeError, "cdist only supports at least 2D tensors, X1 got: 1D"))
    yield Sample(x, x, -1.0, error=(RuntimeError, "cdist only supports non-negative p values"))


@declare(op=CDIST, samples=_cdist_samples, errors=_cdist_errors, method=False)
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """Returns the p-norm distance of every row of x1 (..., P, M) from every row of x2 (..., R, M): (..., P, R).

    Always by differences, which is exact where PyTorch's matrix product for the 2-norm cancels.
    """
    a, b = shape_of(x1), shape_of(x2)
    for name, size in (("X1", a), ("X2", b)):
        if len(size) < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {len(size)}D")
    if a[-1] != b[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {a[-1]} X2: {b[-1]}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    lead = broadcast_shapes(a[:-2], b[:-2])
    F = TENSOR_SPACE
    return CDIST(F.broadcast_to(x1, (*lead, *a[-2:])), F.broadcast_to(x2, (*lead, *b[-2:])), p)


@declare(method=False, differentiable=True, samples=lambda make: [Sample(make(4, 3)), Sample(make(4, 3), 1.0)])
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """Returns the p-norm distances of all pairs of rows (i, j) with i < j, row by row."""
    size = shape_of(input)
    if len(size) != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {len(size)}D")
    first, second = np.triu_indices(size[0], 1)
    F = TENSOR_SPACE
    rows = [F.take(input, F.host(places.astype(np.int64), input), 0) for places in (first, second)]
    return NORM(F.subtract(*rows), p, (1,), False)


@declare(
    op=NORM,
    method=False,
    samples=lambda make: [
        Sample(make(2, 3), make(2, 3)),
        Sample(make(2, 3), make(3), 1.0, keepdim=True),
        Sample(make(3), make(3)),
    ],
)
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """Returns the p-norm of x1 - x2 + eps over the last dimension."""
    gap = x1 - x2 + eps
    return NORM(gap, p, (len(shape_of(gap)) - 1,), keepdim)


def _cosine_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), make(3, 4))
    yield Sample(make(2, 3, 4), make(1, 4), dim=2)
    yield Sample(make(3, 4), make(3, 4), 0, 1e-3)


def _cosine_errors() -> Iterable[Sample]:
    ones = np.ones(3, np.int64)
    yield Sample(
        ones, ones, 0, error=(RuntimeError, "expected common dtype to be floating point, yet common dtype is Long")
    )
    yield Sample(np.ones(3), np.ones(3), error=(IndexError, "Dimension out of range"))


@declare(samples=_cosine_samples, errors=_cosine_errors, method=False, differentiable=True)
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Returns x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`; the two broadcast."""
    for name, x in (("x1", x1), ("x2", x2)):
        if not isinstance(x, Tensor):
            raise argument_error("cosine_similarity", name, "Tensor", x)
    common = promote_types(x1._kind.dtype, x2._kind.dtype)
    if not common.is_floating_point:
        name = scalar_type_name(common)
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {name}")
    shape = broadcast_shapes(shape_of(x1), shape_of(x2))
    place = wrap_dim(dim, len(shape))
    F = TENSOR_SPACE
    x, y = (F.broadcast_to(convert(each, common), shape) for each in (x1, x2))
    return (_unit(x, place, eps) * _unit(y, place, eps)).sum(place)


def _unit(x: Tensor, dim: int, eps: float) -> Tensor:
    """Returns x / max(|x|, eps); the bound itself has no gradient, as in PyTorch."""
    size = VECTOR_NORM(x, 2, (dim,), True)
    plain = size.detach()
    return x / (size + (plain.clamp_min(eps) - plain))
