"""Elements in order: sort, topk, kthvalue, median, mode."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.dims import wrap_dim
from torchplug._core.elementwise import argument_error, need_tensor
from torchplug._core.inplace import write_out
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.return_types import return_type
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.extremes import pick, picked, picking_op, shared_or_nan_rule, write_outs
from torchplug_spec import dtypes as dt

__all__ = ["argsort", "kthvalue", "median", "mode", "msort", "nanmedian", "sort", "topk"]

SORT = return_type("sort", "values", "indices")
TOPK = return_type("topk", "values", "indices")
KTHVALUE = return_type("kthvalue", "values", "indices")
MEDIAN = return_type("median", "values", "indices")
NANMEDIAN = return_type("nanmedian", "values", "indices")
MODE = return_type("mode", "values", "indices")

Shape = tuple[int, ...]


# ---- kernels ---------------------------------------------------------------------------------------------------------


def _span(shape: Shape, axis: int, start: int, stop: int) -> tuple[slice, ...]:
    return tuple(slice(start, stop, 1) if dim == axis else slice(0, length, 1) for dim, length in enumerate(shape))


def _sort(F: Any, x: Any, axis: int, descending: bool) -> tuple[Any, Any, Any]:
    places = F.argsort(x, axis, descending)
    return F.take_along(x, places, axis), F.copy(places), places


def _moved_rule(F: Any, g: Any, x_shape: Shape, places: Any, axis: int) -> Any:
    """The rule of functions that put elements elsewhere along an axis: the gradient goes back to the places they came from."""
    return F.scatter_along(F.zeros_of(g, x_shape), g, places, axis, True)


SORT_OP = Op(
    "sort",
    ("x", "axis", "descending"),
    tensors=("x",),
    kernel="sort_dim",
    forward=_sort,
    outputs=2,
    differentiable_outputs=1,
    residuals=("places",),
    rules={"x": _moved_rule},
)


def _topk(F: Any, x: Any, k: int, axis: int, largest: bool) -> tuple[Any, Any, Any]:
    order = F.argsort(x, axis, largest)
    places = F.copy(F.slice(order, _span(tuple(x.shape), axis, 0, k)))
    return F.take_along(x, places, axis), F.copy(places), places


TOPK_OP = Op(
    "topk",
    ("x", "k", "axis", "largest"),
    tensors=("x",),
    forward=_topk,
    outputs=2,
    differentiable_outputs=1,
    residuals=("places",),
    rules={"x": _moved_rule},
)


def _of_rank(F: Any, x: Any, order: Any, rank: Any, axis: int, keepdims: bool) -> tuple[Any, Any, Any]:
    """Returns the element of a rank in each line, from the order of the lines and one rank per line."""
    places = F.take_along(order, rank, axis)
    return picked(F, F.take_along(x, places, axis), places, axis, keepdims)


def _kthvalue(F: Any, x: Any, axis: int, keepdims: bool, k: int) -> tuple[Any, Any, Any]:
    order = F.argsort(x, axis, False)
    places = F.slice(order, _span(tuple(x.shape), axis, k - 1, k))
    return picked(F, F.take_along(x, places, axis), F.copy(places), axis, keepdims)


KTHVALUE_OP = Op("kthvalue", ("x", "axis", "keepdims", "k"), tensors=("x",), forward=_kthvalue, outputs=2, differentiable_outputs=1,
                 residuals=("places",), rules={
                     "x": lambda F, g, x_shape, places, axis: F.place_along(F.reshape(g, tuple(places.shape)), places, x_shape, axis),
                 })  # fmt: skip


def _nan_count(F: Any, x: Any, axis: int) -> Any:
    return F.sum(F.astype(F.isnan(x), dt.int64), (axis,), True)


def _median_dim(F: Any, x: Any, axis: int, keepdims: bool) -> tuple[Any, Any, Any]:
    """The lower of the two middle elements; the first NaN if there is any (they are last in order)."""
    length, count = x.shape[axis], _nan_count(F, x, axis)
    middle = F.full_of(count, (), (length - 1) // 2)
    rank = F.where(F.less(0, count), F.subtract(length, count), middle)
    return _of_rank(F, x, F.argsort(x, axis, False), rank, axis, keepdims)


def _nanmedian_dim(F: Any, x: Any, axis: int, keepdims: bool) -> tuple[Any, Any, Any]:
    """The lower of the two middle elements of those that are not NaN."""
    numbers = F.subtract(x.shape[axis], _nan_count(F, x, axis))
    rank = F.maximum(F.floor_divide(F.subtract(numbers, 1), 2), 0)
    return _of_rank(F, x, F.argsort(x, axis, False), rank, axis, keepdims)


def _of_all(function: Any) -> Any:
    def middle(F: Any, x: Any, axis: None, keepdims: bool) -> Any:
        return function(F, F.reshape(x, (math.prod(x.shape),)), 0, False)[0]

    return middle


MEDIAN_DIM = picking_op("median", _median_dim, "MedianBackward1")
NANMEDIAN_DIM = picking_op("nanmedian", _nanmedian_dim, "NanmedianBackward1")
MEDIAN_ALL = Op(
    "median",
    ("x", "axis", "keepdims"),
    tensors=("x",),
    kernel="median_all",
    forward=_of_all(_median_dim),
    rules={"x": shared_or_nan_rule},
)
NANMEDIAN_ALL = Op(
    "nanmedian",
    ("x", "axis", "keepdims"),
    tensors=("x",),
    kernel="nanmedian_all",
    forward=_of_all(_nanmedian_dim),
    rules={"x": shared_or_nan_rule},
)


def _mode_dim(F: Any, x: Any, axis: int, keepdims: bool) -> tuple[Any, Any, Any]:
    """The most frequent element, the smallest of equally frequent ones, at its last place: the end of the longest run in order."""
    order = F.argsort(x, axis, False)
    ordered = F.take_along(x, order, axis)
    shape = tuple(x.shape)
    line = np.arange(shape[axis]).reshape([-1 if dim == axis else 1 for dim in range(len(shape))])
    places = F.broadcast_to(F.host(line, x), shape)
    earlier, later = (F.slice(ordered, _span(shape, axis, *span)) for span in ((0, shape[axis] - 1), (1, shape[axis])))
    first = F.astype(F.zeros_of(x, tuple(1 if dim == axis else length for dim, length in enumerate(shape))), dt.bool_)
    same = F.concat([first, F.equal(earlier, later)], axis)
    starts = F.where(same, F.zeros_of(places, ()), places)
    run = F.subtract(places, F.cummax(starts, axis)[0])
    return _of_rank(F, x, order, F.argmax(run, axis, True), axis, keepdims)


MODE_DIM = picking_op("mode", _mode_dim)


# ---- sort ------------------------------------------------------------------------------------------------------------


def _sort_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    yield Sample(x)
    yield Sample(x, 0)
    yield Sample(x, dim=0, descending=True)
    yield Sample(x, stable=True, dim=-1)
    yield Sample(x * 0, stable=True, descending=True)
    yield Sample(make())
    yield Sample(make(2, 0))
    if x.dtype.kind == "f":
        x[0, 1] = x[2, 2] = math.nan
        yield Sample(x)
        yield Sample(x, -1, True)


def _sort_errors() -> Iterable[Sample]:
    yield Sample(
        np.ones(2, np.float32),
        1,
        error=(IndexError, "Dimension out of range (expected to be in range of [-1, 0], but got 1)"),
    )
    yield Sample(np.ones(2, np.complex64), error=(RuntimeError, "Sort does not support complex dtypes on CPU"))


@declare(op=SORT_OP, samples=_sort_samples, errors=_sort_errors, dtypes=("float", "int", "bool"))
def sort(
    input: Tensor,
    dim: Any = -1,
    descending: bool = False,
    stable: bool | None = None,
    *,
    out: Any = None,
    axis: int | None = None,
) -> Any:
    """Returns (values, indices) with the elements along `dim` in order; equal elements keep theirs, NaN is largest."""
    need_tensor("sort", input)
    if input._kind.dtype.is_complex:
        raise RuntimeError(" Sort does not support complex dtypes on CPU")
    place = wrap_dim(dim if axis is None else axis, len(shape_of(input)))
    if shape_of(input):
        result = SORT(SORT_OP(input, place, descending))
    else:
        result = SORT(TENSOR_SPACE.reshape(x, ()) for x in SORT_OP(TENSOR_SPACE.reshape(input, (1,)), 0, descending))
    return result if out is None else write_outs(out, result, "sort")


def _argsort_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), stable=True)
    yield Sample(make(3, 4), dim=0, descending=True, stable=True)
    yield Sample(make(), stable=True)


@declare(samples=_argsort_samples, errors=_sort_errors, dtypes=("float", "int", "bool"), differentiable=False)
def argsort(
    input: Tensor,
    dim: int = -1,
    descending: bool = False,
    stable: bool = False,
    *,
    axis: int | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Returns the indices that put the elements along `dim` in order, as int64."""
    result = sort(input, dim if axis is None else axis, descending, stable)[1]
    return result if out is None else write_out(out, result, "argsort")


@declare(samples=lambda make: [Sample(make(3, 4)), Sample(make(5))], differentiable=True)
def msort(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the elements in order along the first dimension."""
    result = sort(input, 0)[0]
    return result if out is None else write_out(out, result, "msort")


def _topk_samples(make: Any) -> Iterable[Sample]:
    def apart(*shape: int) -> Any:
        """Different numbers in random order: PyTorch breaks ties as it likes."""
        x = make(*shape)
        return (np.argsort(x.reshape(-1)).reshape(shape) * 3 + 1).astype(x.dtype)

    yield Sample(apart(3, 5), 2)
    yield Sample(apart(3, 5), 2, 0)
    yield Sample(apart(3, 5), k=3, dim=1, largest=False)
    yield Sample(apart(1, 5), 5)
    yield Sample(apart(2, 3), 0)
    yield Sample(make(), 1)


def _topk_errors() -> Iterable[Sample]:
    x = np.ones(2, np.float32)
    yield Sample(x, 3, error=(RuntimeError, "selected index k out of range"))
    yield Sample(x, -1, error=(RuntimeError, "selected index k out of range"))
    yield Sample(x, 1, 1, error=(IndexError, "Dimension out of range"))


@declare(op=TOPK_OP, samples=_topk_samples, errors=_topk_errors, dtypes=("float", "int"))
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, out: Any = None) -> Any:
    """Returns (values, indices) of the `k` largest elements along `dim` (or smallest), always in order."""
    need_tensor("topk", input)
    if not hasattr(k, "__index__"):
        raise argument_error("topk", "k", "int", k, 2)
    k = k.__index__()
    axis = wrap_dim(dim, len(shape_of(input)))
    length = shape_of(input)[axis] if shape_of(input) else 1
    if not 0 <= k <= length:
        raise RuntimeError("selected index k out of range")
    if shape_of(input):
        result = TOPK(TOPK_OP(input, k, axis, largest))
    else:
        result = TOPK(TENSOR_SPACE.reshape(x, ()) for x in TOPK_OP(TENSOR_SPACE.reshape(input, (1,)), 1, 0, largest))
    return result if out is None else write_outs(out, result, "topk")


# ---- single ranks ----------------------------------------------------------------------------------------------------


def _kthvalue_errors() -> Iterable[Sample]:
    x = np.ones(2, np.float32)
    yield Sample(x, 3, error=(RuntimeError, "kthvalue(): selected number k out of range for dimension 0"))
    yield Sample(x, 0, error=(RuntimeError, "kthvalue(): selected number k out of range for dimension 0"))


@declare(
    op=KTHVALUE_OP,
    samples=lambda make: [Sample(make(3, 5), 2), Sample(make(2, 3, 5), 1, 1, True), Sample(make(), 1)],
    errors=_kthvalue_errors,
    dtypes=("float",),
)
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """Returns (values, indices) of the k-th smallest element along `dim`, counted from 1."""
    need_tensor("kthvalue", input)
    axis = wrap_dim(dim, len(shape_of(input)))
    if not 1 <= k <= (shape_of(input)[axis] if shape_of(input) else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    if shape_of(input):
        result = KTHVALUE(KTHVALUE_OP(input, axis, keepdim, k))
    else:
        result = KTHVALUE(KTHVALUE_OP(TENSOR_SPACE.reshape(input, (1,)), 0, False, 1))
    return result if out is None else write_outs(out, result, "kthvalue")


def _median_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 5)
    yield Sample(x)
    yield Sample(x, 1)
    yield Sample(make(1, 4, 3), 1, True)
    yield Sample(make(), 0)
    yield Sample(make(6))
    if x.dtype.kind == "f":
        x[0, 1] = x[0, 3] = x[2, 2] = math.nan
        yield Sample(x)
        yield Sample(x, 1)


def _middle(
    name: str, whole: Op, along: Op, result_class: Any, input: Tensor, dim: int | None, keepdim: bool, out: Any
) -> Any:
    need_tensor(name, input)
    dtype = input._kind.dtype
    if dtype is dt.bool_ or dtype.is_complex:
        raise NotImplementedError(f"\"median_cpu\" not implemented for '{scalar_type_name(dtype)}'")
    if dim is not None:
        return pick(along, result_class, input, dim, keepdim, out, name)
    if math.prod(shape_of(input)) == 0:
        if not dtype.is_floating_point:
            raise RuntimeError("median() operation does not have an identity for empty integer input")
        return input.sum() + math.nan
    result = whole(input, None, False)
    return result if out is None else write_out(out, result, name)


@declare(op=MEDIAN_DIM, samples=_median_samples, dtypes=("float",))
def median(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Returns the middle element (the lower of two), or (values, indices) along `dim`; NaN if there is any."""
    return _middle("median", MEDIAN_ALL, MEDIAN_DIM, MEDIAN, input, dim, keepdim, out)


@declare(op=NANMEDIAN_DIM, samples=_median_samples, dtypes=("float",))
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Returns the middle of the elements that are not NaN, or (values, indices) along `dim`."""
    return _middle("nanmedian", NANMEDIAN_ALL, NANMEDIAN_DIM, NANMEDIAN, input, dim, keepdim, out)


def _mode_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 7)
    yield Sample((x > 0) * x.dtype.type(2), 1)
    yield Sample((x > 0) * x.dtype.type(2), 0, True)
    yield Sample(make(4))


@declare(op=MODE_DIM, samples=_mode_samples, dtypes=("float", "int"))
def mode(input: Tensor, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """Returns (values, indices) of the most frequent element along `dim`, the smallest of equally frequent ones."""
    need_tensor("mode", input)
    return pick(MODE_DIM, MODE, input, dim, keepdim, out, "mode")
