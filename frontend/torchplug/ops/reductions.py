"""Sums, products, means and truths over dimensions."""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterable, Sequence
from typing import Any

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare
from torchplug._core.dims import reduction_axes
from torchplug._core.elementwise import convert, need_tensor
from torchplug._core.inplace import write_out
from torchplug._core.kernels import composition
from torchplug._core.modes import default_dtype
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["all", "any", "count_nonzero", "length_over", "logsumexp", "mean", "nanmean", "nansum", "prod", "sum"]

Axes = tuple[int, ...] | None
Dim = int | Sequence[int] | None
_HALF = (dt.float16, dt.bfloat16)


def length_over(shape: tuple[int, ...], axes: Axes) -> int:
    """Returns how many elements a reduction over `axes` (None: all) joins into one."""
    return math.prod(shape) if axes is None else math.prod(shape[axis] for axis in axes)


def keeps(keepdim: bool, keepdims: bool | None) -> bool:
    """Returns whether reduced dimensions stay, from either spelling of the argument."""
    return builtins.bool(keepdim if keepdims is None else keepdims)


# ---- kernels ---------------------------------------------------------------------------------------------------------


def _sum_rule(F: Any, g: Any, x_shape: tuple[int, ...], axis: Axes, keepdims: bool) -> Any:
    return F.broadcast_like(g, x_shape, axis, keepdims)


SUM_OVER = Op("sum", ("x", "axis", "keepdims"), tensors=("x",), node="SumBackward1", rules={"x": _sum_rule})
SUM = Op("sum", ("x", "axis", "keepdims"), tensors=("x",), kernel="sum", rules={"x": _sum_rule})


def _mean(F: Any, x: Any, axis: Axes, keepdims: bool) -> Any:
    """The sum over the count; 16-bit floats are added in float32."""
    dtype = F.dtype_of(x)
    wide = F.astype(x, dt.float32) if dtype in _HALF else x
    out = F.divide(F.sum(wide, axis, keepdims), length_over(tuple(x.shape), axis))
    return F.astype(out, dtype) if dtype in _HALF else out


def _mean_rule(F: Any, g: Any, x_shape: tuple[int, ...], axis: Axes, keepdims: bool) -> Any:
    return F.broadcast_like(F.divide(g, length_over(x_shape, axis)), x_shape, axis, keepdims)


MEAN_OVER = Op(
    "mean", ("x", "axis", "keepdims"), tensors=("x",), node="MeanBackward1", forward=_mean, rules={"x": _mean_rule}
)
MEAN = Op("mean", ("x", "axis", "keepdims"), tensors=("x",), kernel="mean", rules={"x": _mean_rule})


def _prod_rule(F: Any, g: Any, x: Any, axis: Axes, keepdims: bool) -> Any:
    """g times the product of all other elements, from both sides: right also where elements are 0."""
    shape = tuple(x.shape)
    g = F.broadcast_like(g, shape, axis, keepdims)
    if axis is None:
        return F.reshape(
            _product_of_others(F, F.reshape(g, (math.prod(shape),)), F.reshape(x, (math.prod(shape),)), 0), shape
        )
    return _product_of_others(F, g, x, axis[0])


def _product_of_others(F: Any, g: Any, x: Any, axis: int) -> Any:
    shape = tuple(x.shape)
    if shape[axis] == 1:
        return g
    if math.prod(shape) == 0:
        return F.multiply(g, F.conj_of(x))
    inner = tuple(slice(0, length - 1 if dim == axis else length, 1) for dim, length in enumerate(shape))
    edge = F.full_of(x, tuple(1 if dim == axis else length for dim, length in enumerate(shape)), 1)
    before = F.concat([edge, F.slice(F.cumulative_prod(x, axis), inner)], axis)
    mirrored = F.cumulative_prod(F.flip(x, (axis,)), axis)
    after = F.flip(F.concat([edge, F.slice(mirrored, inner)], axis), (axis,))
    return F.multiply(g, F.conj_of(F.multiply(before, after)))


PROD_OVER = Op("prod", ("x", "axis", "keepdims"), tensors=("x",), node="ProdBackward1", rules={"x": _prod_rule})
PROD = Op("prod", ("x", "axis", "keepdims"), tensors=("x",), kernel="prod", rules={"x": _prod_rule})


@composition
def any_(F: Any, x: Any, axis: Axes, keepdims: bool) -> Any:
    """Returns whether an element is not 0; False over nothing."""
    return F.less(0, F.sum(F.astype(F.astype(x, dt.bool_), dt.int64), axis, keepdims))


@composition
def all_(F: Any, x: Any, axis: Axes, keepdims: bool) -> Any:
    """Returns whether no element is 0; True over nothing."""
    return F.equal(F.sum(F.astype(F.logical_not(x), dt.int64), axis, keepdims), 0)


ANY = Op("any", ("x", "axis", "keepdims"), tensors=("x",), differentiable_outputs=0)
ALL = Op("all", ("x", "axis", "keepdims"), tensors=("x",), differentiable_outputs=0)
COUNT_NONZERO = Op(
    "count_nonzero", ("x", "axis"), tensors=("x",), differentiable_outputs=0,
    forward=lambda F, x, axis: F.sum(F.astype(F.astype(x, dt.bool_), dt.int64), axis, False),
)  # fmt: skip


def _finite_maximum(F: Any, x: Any, axis: Axes) -> Any:
    """The maximum over axes, 0 where it is infinite (inf - inf is NaN)."""
    high = F.max(x, axis, True)
    return F.where(F.equal(F.abs(high), math.inf), F.zeros_of(high, ()), high)


def _logsumexp(F: Any, x: Any, axis: Axes, keepdims: bool) -> Any:
    shape = tuple(x.shape)
    if math.prod(shape) == 0:
        return F.log(F.sum(x, axis, keepdims))
    high = _finite_maximum(F, F.real(x) if F.dtype_of(x).is_complex else x, axis)
    sums = F.sum(F.exp(F.subtract(x, F.astype(high, F.dtype_of(x)))), axis, True)
    out = F.add(F.log(sums), F.astype(high, F.dtype_of(x)))
    return out if keepdims else F.reshape(out, _without(shape, axis))


def _without(shape: tuple[int, ...], axis: Axes) -> tuple[int, ...]:
    return tuple(length for dim, length in enumerate(shape) if axis is not None and dim not in axis)


def _logsumexp_rule(F: Any, g: Any, x: Any, out: Any, axis: Axes, keepdims: bool) -> Any:
    shape = tuple(x.shape)
    share = F.exp(F.subtract(x, F.broadcast_like(out, shape, axis, keepdims)))
    return F.multiply(F.broadcast_like(g, shape, axis, keepdims), F.conj_of(share))


LOGSUMEXP = Op("logsumexp", ("x", "axis", "keepdims"), tensors=("x",), forward=_logsumexp, rules={"x": _logsumexp_rule})


def _nansum(F: Any, x: Any, axis: Axes, keepdims: bool) -> Any:
    return F.sum(F.where(F.isnan(x), F.zeros_of(x, ()), x), axis, keepdims)


def _nansum_rule(F: Any, g: Any, x: Any, axis: Axes, keepdims: bool) -> Any:
    spread = F.broadcast_like(g, tuple(x.shape), axis, keepdims)
    return F.multiply(spread, F.astype(F.logical_not(F.isnan(x)), F.dtype_of(spread)))


NANSUM = Op("nansum", ("x", "axis", "keepdims"), tensors=("x",), forward=_nansum, rules={"x": _nansum_rule})


# ---- samples ---------------------------------------------------------------------------------------------------------


def reduction_samples(make: Any) -> Iterable[Sample]:
    """Samples of reductions over any number of dimensions."""
    yield Sample(make(3, 4))
    yield Sample(make(3, 4), 0)
    yield Sample(make(3, 4), -1, True)
    yield Sample(make(2, 3, 4), (0, 2))
    yield Sample(make(2, 3, 4), dim=(1,), keepdim=True)
    yield Sample(make())
    yield Sample(make(), 0)
    yield Sample(make(2, 0, 3), 1)


def one_dim_samples(make: Any) -> Iterable[Sample]:
    """Samples of reductions over one dimension."""
    yield Sample(make(3, 4), 0)
    yield Sample(make(3, 4), -1, True)
    yield Sample(make(2, 3, 4), dim=1, keepdim=True)
    yield Sample(make(), 0)


def dim_errors() -> Iterable[Sample]:
    """Calls with dimensions that do not exist or come twice."""
    import numpy as np

    x = np.ones((2, 3), np.float32)
    yield Sample(x, 2, error=(IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 2)"))
    yield Sample(x, (0, 0), error=(RuntimeError, "dim 0 appears multiple times in the list of dims"))
    yield Sample("a", 0, error=(TypeError, "must be Tensor, not str"))


# ---- functions -------------------------------------------------------------------------------------------------------


def _sum_samples(make: Any) -> Iterable[Sample]:
    yield from reduction_samples(make)
    yield Sample(make(3, 4), dtype=dt.complex128 if make(1).dtype.kind == "c" else dt.float64)
    yield Sample(make(3, 4), (), True)


@declare(op=SUM_OVER, samples=_sum_samples, errors=dim_errors, dtypes=("float", "complex", "int", "bool"))
def sum(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Returns the sum over `dim` (all dimensions if None); integers and bool add up in int64 unless `dtype` is given."""
    if CASTING and (cast := casting("sum")) is not None:
        return cast(sum, input, dim, keepdim, dtype=dtype, out=out, axis=axis, keepdims=keepdims)
    need_tensor("sum", input)
    if dtype is not None or not input._kind.inexact:
        input = convert(input, dtype or dt.int64)
    dim = dim if axis is None else axis
    keep = keeps(keepdim, keepdims)
    if dim is None:
        result = SUM.call(input, None, keep)
    else:
        result = SUM_OVER.call(input, reduction_axes(dim, len(shape_of(input))), keep)
    return result if out is None else write_out(out, result, "sum")


def _mean_errors() -> Iterable[Sample]:
    import numpy as np

    n = np.ones(2, np.int64)
    yield Sample(
        n, error=(RuntimeError, "mean(): could not infer output dtype. Input dtype must be either a floating point")
    )
    yield Sample(np.ones((2, 3), np.float32), 2, error=(IndexError, "Dimension out of range"))


@declare(op=MEAN_OVER, samples=_sum_samples, errors=_mean_errors, dtypes=("float", "complex"))
def mean(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Returns the mean over `dim` (all dimensions if None); integers need a floating `dtype`."""
    need_tensor("mean", input)
    if dtype is not None:
        input = convert(input, dtype)
    if not input._kind.inexact:
        what = "Input" if dtype is None else "Optional"
        raise RuntimeError(
            f"mean(): could not infer output dtype. {what} dtype must be either a floating point or complex dtype. Got: "
            f"{scalar_type_name(input._kind.dtype)}"
        )
    dim = dim if axis is None else axis
    keep = keeps(keepdim, keepdims)
    if dim is None:
        result = MEAN.call(input, None, keep)
    else:
        result = MEAN_OVER.call(input, reduction_axes(dim, len(shape_of(input))), keep)
    return result if out is None else write_out(out, result, "mean")


def _prod_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))
    yield from one_dim_samples(make)
    yield Sample(make(2, 0, 3), 1)
    x = make(3, 4)
    x[0, 0] = x[1, 2] = x[1, 3] = 0
    yield Sample(x, 1)
    yield Sample(x[0])


@declare(op=PROD_OVER, samples=_prod_samples, dtypes=("float", "complex", "int", "bool"))
def prod(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Returns the product over `dim` (all elements if None); integers and bool multiply in int64 unless `dtype` is given."""
    if CASTING and (cast := casting("prod")) is not None:
        return cast(prod, input, dim, keepdim, dtype=dtype, out=out, axis=axis, keepdims=keepdims)
    need_tensor("prod", input)
    dim = dim if axis is None else axis
    if isinstance(dim, (tuple, list)):
        raise TypeError(f"prod(): argument 'dim' (position 2) must be int, not {type(dim).__name__}")
    if dtype is not None or not input._kind.inexact:
        input = convert(input, dtype or dt.int64)
    axes = reduction_axes(dim, len(shape_of(input)))
    result = (PROD if dim is None else PROD_OVER)(input, axes, keeps(keepdim, keepdims))
    return result if out is None else write_out(out, result, "prod")


def _truth(name: str, op: Op, input: Tensor, dim: Dim, keepdim: bool, out: Tensor | None) -> Tensor:
    need_tensor(name, input)
    result = op(input, reduction_axes(dim, len(shape_of(input))), keepdim)
    if input._kind.dtype is dt.uint8:
        result = convert(result, dt.uint8)
    return result if out is None else write_out(out, result, name)


def _truth_samples(make: Any) -> Iterable[Sample]:
    yield from reduction_samples(make)
    x = make(3, 4)
    yield Sample(x * (x > 0), 1)
    yield Sample(x * 0)


@declare(op=ANY, samples=_truth_samples, errors=dim_errors, dtypes=("float", "complex", "int", "bool"))
def any(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    out: Tensor | None = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Returns whether any element over `dim` is not 0, as bool (uint8 for uint8)."""
    return _truth("any", ANY, input, dim if axis is None else axis, keeps(keepdim, keepdims), out)


@declare(op=ALL, samples=_truth_samples, errors=dim_errors, dtypes=("float", "complex", "int", "bool"))
def all(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    out: Tensor | None = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Returns whether no element over `dim` is 0, as bool (uint8 for uint8)."""
    return _truth("all", ALL, input, dim if axis is None else axis, keeps(keepdim, keepdims), out)


def _count_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    yield Sample(x * (x > 0))
    yield Sample(x * (x > 0), 1)
    yield Sample(make(2, 3, 4), (0, 2))


@declare(op=COUNT_NONZERO, samples=_count_samples, dtypes=("float", "complex", "int", "bool"))
def count_nonzero(input: Tensor, dim: Dim = None) -> Tensor:
    """Returns how many elements over `dim` are not 0, as int64."""
    need_tensor("count_nonzero", input)
    return COUNT_NONZERO(input, reduction_axes(dim, len(shape_of(input))))


def _logsumexp_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), 0)
    yield Sample(make(3, 4) * 100, 1, True)
    yield Sample(make(2, 3, 4), (0, 2))
    yield Sample(make(), 0)
    yield Sample(make(2, 0), 1)
    x = make(2, 3)
    if x.dtype.kind == "f":
        x[0] = -math.inf
        yield Sample(x, 1)
        x[1, 0] = math.inf
        yield Sample(x, 1)


@declare(op=LOGSUMEXP, samples=_logsumexp_samples, errors=dim_errors, dtypes=("float", "int"))
def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Returns log(sum(exp(input))) over `dim`, with the maximum taken out first, so that nothing overflows."""
    need_tensor("logsumexp", input)
    if not input._kind.inexact:
        input = convert(input, default_dtype())
    result = LOGSUMEXP(input, reduction_axes(dim, len(shape_of(input))), keepdim)
    return result if out is None else write_out(out, result, "logsumexp")


def _nan_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    if x.dtype.kind == "f":
        x[0, 0] = x[2, 1] = math.nan
    yield Sample(x)
    yield Sample(x, 1)
    yield Sample(x, 0, True)


@declare(op=NANSUM, samples=_nan_samples, dtypes=("float", "int"))
def nansum(
    input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None, out: Tensor | None = None
) -> Tensor:
    """Returns the sum over `dim`, NaN counting as 0."""
    need_tensor("nansum", input)
    if input._kind.dtype.is_complex:
        raise RuntimeError("nansum on CPU does not support complex inputs")
    if not input._kind.dtype.is_floating_point:
        return sum(input, dim, keepdim, dtype=dtype, out=out)
    if dtype is not None:
        input = convert(input, dtype)
    result = NANSUM(input, reduction_axes(dim, len(shape_of(input))), keepdim)
    return result if out is None else write_out(out, result, "nansum")


@declare(samples=_nan_samples, differentiable=True)
def nanmean(
    input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None, out: Tensor | None = None
) -> Tensor:
    """Returns the mean over `dim` of the elements that are not NaN."""
    need_tensor("nanmean", input)
    if not input._kind.inexact:
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            f"{scalar_type_name(input._kind.dtype)}"
        )
    from torchplug.ops.comparison import isnan, logical_not

    count = sum(logical_not(isnan(input)), dim, keepdim)
    result = nansum(input, dim, keepdim, dtype=dtype) / count
    return result if out is None else write_out(out, result, "nanmean")
