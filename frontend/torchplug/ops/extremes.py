"""The largest and smallest over dimensions, and where they are: max, amax, aminmax, argmax."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.dims import reduction_axes, wrap_dim
from torchplug._core.elementwise import need_tensor
from torchplug._core.inplace import write_out
from torchplug._core.kernels import composition
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.return_types import return_type
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.limits import maximum, minimum
from torchplug.ops.reductions import Axes, Dim, dim_errors, keeps, one_dim_samples
from torchplug_spec import dtypes as dt

__all__ = ["amax", "amin", "aminmax", "argmax", "argmin", "max", "min", "write_outs"]

MAX = return_type("max", "values", "indices")
MIN = return_type("min", "values", "indices")
AMINMAX = return_type("aminmax", "min", "max")


# ---- kernels ---------------------------------------------------------------------------------------------------------


@composition
def reversed_order(F: Any, x: Any) -> Any:
    """Returns numbers in the opposite order: -x, and of integers and bool the complement, which cannot overflow."""
    return F.negative(x) if F.dtype_of(x).is_floating_point else F.bitwise_invert(x)


@composition
def min_(F: Any, x: Any, axis: Axes, keepdims: bool) -> Any:
    return F.reversed_order(F.max(F.reversed_order(x), axis, keepdims))


@composition
def argmin_(F: Any, x: Any, axis: int, keepdims: bool) -> Any:
    return F.argmax(F.reversed_order(x), axis, keepdims)


def _shared_rule(F: Any, g: Any, x: Any, out: Any, axis: Axes, keepdims: bool) -> Any:
    """The gradient is shared by all elements equal to the result."""
    shape = tuple(x.shape)
    hit = F.equal(x, F.broadcast_like(out, shape, axis, keepdims))
    return _share(F, g, hit, axis, keepdims)


def _share(F: Any, g: Any, hit: Any, axis: Axes, keepdims: bool) -> Any:
    shape = tuple(hit.shape)
    count = F.sum(F.astype(hit, F.dtype_of(g)), axis, True)
    spread = F.divide(F.broadcast_like(g, shape, axis, keepdims), count)
    return F.where(hit, spread, F.zeros_of(spread, ()))


def shared_or_nan_rule(F: Any, g: Any, x: Any, out: Any, axis: Axes, keepdims: bool) -> Any:
    """The gradient is shared by all elements equal to the result; NaN counts as equal to NaN."""
    whole = F.broadcast_like(out, tuple(x.shape), axis, keepdims)
    hit = F.bitwise_or(F.equal(x, whole), F.bitwise_and(F.isnan(x), F.isnan(whole)))
    return _share(F, g, hit, axis, keepdims)


AMAX = Op("amax", ("x", "axis", "keepdims"), tensors=("x",), kernel="max", rules={"x": _shared_rule})
AMIN = Op("amin", ("x", "axis", "keepdims"), tensors=("x",), kernel="min", rules={"x": _shared_rule})
MAX_ALL = Op(
    "max", ("x", "axis", "keepdims"), tensors=("x",), kernel="max", node="MaxBackward1", rules={"x": shared_or_nan_rule}
)
MIN_ALL = Op(
    "min", ("x", "axis", "keepdims"), tensors=("x",), kernel="min", node="MinBackward1", rules={"x": shared_or_nan_rule}
)
ARGMAX = Op("argmax", ("x", "axis", "keepdims"), tensors=("x",), differentiable_outputs=0)
ARGMIN = Op("argmin", ("x", "axis", "keepdims"), tensors=("x",), differentiable_outputs=0)


def _place_along(F: Any, g: Any, places: Any, shape: tuple[int, ...], axis: int) -> Any:
    """Returns zeros of `shape` with g at one place of each line along `axis`; g and places have length 1 there."""
    line = np.arange(shape[axis]).reshape([-1 if dim == axis else 1 for dim in range(len(shape))])
    return F.where(F.equal(F.host(line, g), places), g, F.zeros_of(g, ()))


Op("place_along", ("g", "places", "shape", "axis"), tensors=("g",), forward=_place_along, rules={
    "g": lambda F, g, places, axis: F.take_along(g, places, axis),
})  # fmt: skip


def place_rule(F: Any, g: Any, x_shape: tuple[int, ...], places: Any, axis: int, keepdims: bool) -> Any:
    """The rule of functions that pick one element of each line along `axis`: the gradient goes to the element picked."""
    return F.place_along(F.reshape(g, tuple(places.shape)), places, x_shape, axis)


def without_axis(F: Any, x: Any, axis: int) -> Any:
    """Returns `x` without its `axis`, which has length 1."""
    shape = tuple(x.shape)
    return F.reshape(x, shape[:axis] + shape[axis + 1 :])


def picked(F: Any, values: Any, places: Any, axis: int, keepdims: bool) -> tuple[Any, Any, Any]:
    """Returns values, places as an output of its own, and the places that the rule keeps."""
    if keepdims:
        return values, F.copy(places), places
    return without_axis(F, values, axis), without_axis(F, F.copy(places), axis), places


def _max_dim(F: Any, x: Any, axis: int, keepdims: bool) -> tuple[Any, Any, Any]:
    return picked(F, F.max(x, (axis,), True), F.argmax(x, axis, True), axis, keepdims)


def _min_dim(F: Any, x: Any, axis: int, keepdims: bool) -> tuple[Any, Any, Any]:
    return picked(F, F.min(x, (axis,), True), F.argmin(x, axis, True), axis, keepdims)


def picking_op(name: str, forward: Any, node: str | None = None) -> Op:
    """Returns the op of a function that picks one element of each line: values, indices."""
    return Op(
        name,
        ("x", "axis", "keepdims"),
        tensors=("x",),
        kernel=f"{name}_dim",
        forward=forward,
        outputs=2,
        differentiable_outputs=1,
        residuals=("places",),
        rules={"x": place_rule},
        node=node,
    )


MAX_DIM = picking_op("max", _max_dim)
MIN_DIM = picking_op("min", _min_dim)


def _aminmax_rule(F: Any, g: Any, x: Any, axis: Axes, keepdims: bool) -> tuple[Any]:
    low, high = F.min(x, axis, keepdims), F.max(x, axis, keepdims)
    return (F.add(_shared_rule(F, g[0], x, low, axis, keepdims), _shared_rule(F, g[1], x, high, axis, keepdims)),)


AMINMAX_OP = Op(
    "aminmax", ("x", "axis", "keepdims"), tensors=("x",), outputs=2, joint=_aminmax_rule,
    forward=lambda F, x, axis, keepdims: (F.min(x, axis, keepdims), F.max(x, axis, keepdims)),
)  # fmt: skip


# ---- checks ----------------------------------------------------------------------------------------------------------


def need_length(name: str, shape: tuple[int, ...], axes: Axes) -> None:
    """Raises PyTorch's error for an extreme over nothing."""
    if axes is None and math.prod(shape) == 0:
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' "
            "argument."
        )
    for axis in axes or ():
        if shape[axis] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")


def _refuse_complex(kernel: str, input: Tensor) -> None:
    if input._kind.dtype.is_complex:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_type_name(input._kind.dtype)}'")


def write_outs(outs: Any, results: Any, name: str) -> Any:
    """Writes results into the tensors of a tuple `out=`; returns results of the named type over those tensors."""
    return type(results)([write_out(out, result, name) for out, result in zip(outs, results, strict=True)])


def pick(op: Op, result_class: Any, input: Tensor, dim: int, keepdim: bool, out: Any, name: str) -> Any:
    """Calls a picking op on a checked dimension; 0-d tensors count as having one."""
    axis = wrap_dim(dim, len(shape_of(input)))
    if not shape_of(input):
        values, indices = op(TENSOR_SPACE.reshape(input, (1,)), 0, False)
    else:
        need_length(name, shape_of(input), (axis,))
        values, indices = op(input, axis, keepdim)
    result = result_class((values, indices))
    return result if out is None else write_outs(out, result, name)


# ---- functions -------------------------------------------------------------------------------------------------------


def _extreme_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))
    yield from one_dim_samples(make)
    yield Sample(make(3, 4), make(4))
    yield Sample(make())
    x = make(3, 4)
    if x.dtype.kind == "f":
        yield Sample(x * 0)
        x[1, 2] = math.nan
        yield Sample(x)
        yield Sample(x, 0)


def _extreme_errors(name: str) -> Any:
    def errors() -> Iterable[Sample]:
        empty = np.ones((2, 0), np.float32)
        yield Sample(
            empty, error=(RuntimeError, f"{name}(): Expected reduction dim to be specified for input.numel() == 0")
        )
        yield Sample(empty, 1, error=(IndexError, f"{name}(): Expected reduction dim 1 to have non-zero size."))
        yield Sample(empty, 2, error=(IndexError, "Dimension out of range"))

    return errors


@declare(op=MAX_DIM, samples=_extreme_samples, errors=_extreme_errors("max"), dtypes=("float", "int", "bool"))
def max(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    out: Any = None,
    other: Tensor | None = None,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Any:
    """Returns the largest element; with `dim` (values, indices) over that dimension; with a tensor the elementwise maximum.

    The gradient of the one largest element is shared by all that equal it; over a dimension it goes to the index returned.
    """
    dim = dim if axis is None else axis
    need_tensor("max", input)
    if isinstance(dim, Tensor) or other is not None:
        return maximum(input, dim if other is None else other, out=out)
    if dim is not None:
        _refuse_complex("max", input)
        return pick(MAX_DIM, MAX, input, dim, keeps(keepdim, keepdims), out, "max")
    _refuse_complex("max_all", input)
    need_length("max", shape_of(input), None)
    result = MAX_ALL(input, None, False)
    return result if out is None else write_out(out, result, "max")


@declare(op=MIN_DIM, samples=_extreme_samples, errors=_extreme_errors("min"), dtypes=("float", "int", "bool"))
def min(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    out: Any = None,
    other: Tensor | None = None,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Any:
    """Returns the smallest element; with `dim` (values, indices) over that dimension; with a tensor the elementwise minimum.

    The gradient of the one smallest element is shared by all that equal it; over a dimension it goes to the index returned.
    """
    dim = dim if axis is None else axis
    need_tensor("min", input)
    if isinstance(dim, Tensor) or other is not None:
        return minimum(input, dim if other is None else other, out=out)
    if dim is not None:
        _refuse_complex("min", input)
        return pick(MIN_DIM, MIN, input, dim, keeps(keepdim, keepdims), out, "min")
    _refuse_complex("min_all", input)
    need_length("min", shape_of(input), None)
    result = MIN_ALL(input, None, False)
    return result if out is None else write_out(out, result, "min")


def _over_axes_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))
    yield Sample(make(3, 4), 0)
    yield Sample(make(3, 4), -1, True)
    yield Sample(make(2, 3, 4), (0, 2))
    yield Sample(make(2, 3, 4), dim=(), keepdim=True)
    yield Sample(make(), 0)
    yield Sample(make(3, 4) * 0, 1)


@declare(op=AMAX, samples=_over_axes_samples, errors=dim_errors, dtypes=("float", "int", "bool"))
def amax(input: Tensor, dim: Dim = (), keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Returns the largest element over `dim` (all dimensions if empty); elements that tie share the gradient."""
    return _over_axes("amax", AMAX, input, dim, keepdim, out)


@declare(op=AMIN, samples=_over_axes_samples, errors=dim_errors, dtypes=("float", "int", "bool"))
def amin(input: Tensor, dim: Dim = (), keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Returns the smallest element over `dim` (all dimensions if empty); elements that tie share the gradient."""
    return _over_axes("amin", AMIN, input, dim, keepdim, out)


def _over_axes(name: str, op: Op, input: Tensor, dim: Dim, keepdim: bool, out: Tensor | None) -> Tensor:
    need_tensor(name, input)
    axes = reduction_axes(dim, len(shape_of(input)))
    need_length(name, shape_of(input), axes)
    result = op(input, axes, keepdim)
    return result if out is None else write_out(out, result, name)


def _aminmax_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))
    yield Sample(make(3, 4), dim=1)
    yield Sample(make(3, 4), dim=0, keepdim=True)


@declare(op=AMINMAX_OP, samples=_aminmax_samples, dtypes=("float", "int", "bool"))
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False, out: Any = None) -> Any:
    """Returns the smallest and the largest element, over one dimension or all, as (min, max)."""
    need_tensor("aminmax", input)
    shape = shape_of(input)
    axes = reduction_axes(dim, len(shape))
    if axes is None and math.prod(shape) == 0:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
        )
    need_length("aminmax", shape, axes)
    result = AMINMAX(AMINMAX_OP(input, axes, keepdim))
    return result if out is None else write_outs(out, result, "aminmax")


def _arg_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))
    yield from one_dim_samples(make)
    yield Sample(make(3, 4) * 0, 1)
    yield Sample(make(2, 3, 4), None, True)
    x = make(3, 4)
    if x.dtype.kind == "f":
        x[1, 2] = math.nan
        yield Sample(x, 0)


def _arg_errors(name: str) -> Any:
    def errors() -> Iterable[Sample]:
        empty = np.ones((2, 0), np.float32)
        yield Sample(
            empty, error=(IndexError, f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
        )
        yield Sample(empty, 1, error=(IndexError, f"{name}(): Expected reduction dim 1 to have non-zero size."))
        yield Sample(np.ones(2, np.bool_), error=(RuntimeError, f"{name}(): does not support bool input"))

    return errors


@declare(op=ARGMAX, samples=_arg_samples, errors=_arg_errors("argmax"), dtypes=("float", "int"), differentiable=False)
def argmax(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    out: Tensor | None = None,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Returns the index of the first largest element over `dim`, or in the flattened tensor, as int64; NaN is largest."""
    return _arg("argmax", ARGMAX, input, dim if axis is None else axis, keeps(keepdim, keepdims), out)


@declare(op=ARGMIN, samples=_arg_samples, errors=_arg_errors("argmin"), dtypes=("float", "int"), differentiable=False)
def argmin(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    out: Tensor | None = None,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Returns the index of the first smallest element over `dim`, or in the flattened tensor, as int64; NaN is smallest."""
    return _arg("argmin", ARGMIN, input, dim if axis is None else axis, keeps(keepdim, keepdims), out)


def _arg(name: str, op: Op, input: Tensor, dim: int | None, keepdim: bool, out: Tensor | None) -> Tensor:
    need_tensor(name, input)
    dtype, shape = input._kind.dtype, shape_of(input)
    if dtype is dt.bool_ or dtype.is_complex:
        raise RuntimeError(f"{name}(): does not support {'bool' if dtype is dt.bool_ else 'complex'} input")
    if dim is None:
        if math.prod(shape) == 0:
            raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
        result = op(TENSOR_SPACE.reshape(input, (math.prod(shape),)), 0, False)
        result = TENSOR_SPACE.reshape(result, (1,) * len(shape)) if keepdim else result
    else:
        axis = wrap_dim(dim, len(shape))
        need_length(name, shape, (axis,) if shape else ())
        result = op(input if shape else TENSOR_SPACE.reshape(input, (1,)), axis, keepdim and bool(shape))
    return result if out is None else write_out(out, result, name)
