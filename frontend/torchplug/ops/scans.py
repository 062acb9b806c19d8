"""Running sums, products and extremes along a dimension, and differences and integrals of neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare
from torchplug._core.dims import wrap_dim
from torchplug._core.elementwise import convert, need_tensor
from torchplug._core.inplace import write_out
from torchplug._core.kernels import composition
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.return_types import return_type
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.extremes import write_outs
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["cummax", "cummin", "cumprod", "cumsum", "cumulative_trapezoid", "diff", "logcumsumexp", "trapezoid"]

CUMMAX = return_type("cummax", "values", "indices")
CUMMIN = return_type("cummin", "values", "indices")


# ---- kernels ---------------------------------------------------------------------------------------------------------


def _shifted(F: Any, x: Any, axis: int, stride: int, fill: float) -> Any:
    """Returns x moved `stride` places along an axis, with `fill` where nothing comes from."""
    shape = tuple(x.shape)
    key = tuple(slice(0, length - stride if dim == axis else length, 1) for dim, length in enumerate(shape))
    block = F.full_of(x, tuple(stride if dim == axis else length for dim, length in enumerate(shape)), fill)
    return F.concat([block, F.slice(x, key)], axis)


def _scan(F: Any, x: Any, axis: int, join: Callable[[Any, Any], Any], identity: float) -> Any:
    """Returns the running `join` of x, in log2(n) steps of doubling distance (Hillis and Steele 1986)."""
    if x.shape[axis] <= 1:
        return F.copy(x)
    stride = 1
    while stride < x.shape[axis]:
        x = join(_shifted(F, x, axis, stride, identity), x)
        stride *= 2
    return x


@composition
def cumulative_sum(F: Any, x: Any, axis: int) -> Any:
    """Returns the running sum along an axis."""
    return _scan(F, x, axis, F.add, 0)


def _cumulative_prod(F: Any, x: Any, axis: int) -> Any:
    return _scan(F, x, axis, F.multiply, 1)


def _logcumsumexp(F: Any, x: Any, axis: int) -> Any:
    return _scan(F, x, axis, F.logaddexp, -math.inf)


def _cumsum_rule(F: Any, g: Any, axis: int) -> Any:
    return F.flip(F.cumulative_sum(F.flip(g, (axis,)), axis), (axis,))


CUMSUM = Op("cumsum", ("x", "axis"), tensors=("x",), kernel="cumulative_sum", rules={"x": _cumsum_rule})
CUMPROD = Op("cumprod", ("x", "axis"), tensors=("x",), kernel="cumulative_prod", forward=_cumulative_prod)
"""Its gradient is that of the composition: right also where elements are 0."""
LOGCUMSUMEXP = Op("logcumsumexp", ("x", "axis"), tensors=("x",), forward=_logcumsumexp)


def _running_extreme(F: Any, x: Any, axis: int, wins: Callable[[Any, Any], Any]) -> tuple[Any, Any, Any]:
    """Returns the running extreme, where it is (of equal ones the last), and the places that the rule keeps."""
    shape = tuple(x.shape)
    line = np.arange(shape[axis]).reshape([-1 if dim == axis else 1 for dim in range(len(shape))])
    places = F.broadcast_to(F.host(line, x), shape)
    stride = 1
    while stride < shape[axis]:
        earlier, earlier_places = _shifted(F, x, axis, stride, 0), _shifted(F, places, axis, stride, -1)
        here = F.bitwise_or(
            F.isnan(x), F.bitwise_and(F.equal(earlier, earlier), F.bitwise_or(wins(x, earlier), F.equal(x, earlier)))
        )
        here = F.bitwise_or(here, F.less(earlier_places, 0))
        x, places = F.where(here, x, earlier), F.where(here, places, earlier_places)
        stride *= 2
    return F.copy(x) if shape[axis] <= 1 else x, F.copy(places), places


def _cummax(F: Any, x: Any, axis: int) -> tuple[Any, Any, Any]:
    return _running_extreme(F, x, axis, lambda a, b: F.less(b, a))


def _cummin(F: Any, x: Any, axis: int) -> tuple[Any, Any, Any]:
    return _running_extreme(F, x, axis, F.less)


def _running_rule(F: Any, g: Any, x_shape: tuple[int, ...], places: Any, axis: int) -> Any:
    return F.scatter_along(F.zeros_of(g, x_shape), g, places, axis, True)


def _running_op(name: str, forward: Any) -> Op:
    return Op(
        name,
        ("x", "axis"),
        tensors=("x",),
        forward=forward,
        outputs=2,
        differentiable_outputs=1,
        residuals=("places",),
        rules={"x": _running_rule},
    )


CUMMAX_OP = _running_op("cummax", _cummax)
CUMMIN_OP = _running_op("cummin", _cummin)


# ---- running functions -----------------------------------------------------------------------------------------------


def _scan_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), 0)
    yield Sample(make(2, 3, 5), -1)
    yield Sample(make(), 0)
    yield Sample(make(2, 0), 1)
    yield Sample(make(7), dim=0)
    yield Sample(make(1, 3), 0)


def _cumulated(name: str, op: Op, input: Tensor, dim: int, dtype: DType | None, out: Tensor | None) -> Tensor:
    """Runs a scan that integers make in int64; a 0-d tensor is its own scan."""
    need_tensor(name, input)
    axis = wrap_dim(dim, len(shape_of(input)))
    if dtype is not None or not input._kind.inexact:
        input = convert(input, dtype or dt.int64)
    result = _along(op, input, axis)
    return result if out is None else write_out(out, result, name)


def _along(op: Op, input: Tensor, axis: int) -> Tensor:
    if shape_of(input):
        return op(input, axis)
    return TENSOR_SPACE.reshape(op(TENSOR_SPACE.reshape(input, (1,)), 0), ())


def _scan_errors() -> Iterable[Sample]:
    yield Sample(
        np.ones(2, np.float32),
        1,
        error=(IndexError, "Dimension out of range (expected to be in range of [-1, 0], but got 1)"),
    )


@declare(op=CUMSUM, samples=_scan_samples, errors=_scan_errors, dtypes=("float", "complex", "int"), inplace=True)
def cumsum(
    input: Tensor,
    dim: int | None = None,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
    axis: int | None = None,
) -> Tensor:
    """Returns the running sum along `dim`; integers and bool add up in int64 unless `dtype` is given."""
    if CASTING and (cast := casting("cumsum")) is not None:
        return cast(cumsum, input, dim, dtype=dtype, out=out, axis=axis)
    return _cumulated("cumsum", CUMSUM, input, _needed("cumsum", dim, axis), dtype, out)


def _needed(name: str, dim: int | None, axis: int | None) -> int:
    dim = dim if axis is None else axis
    if dim is None:
        raise TypeError(f'{name}() missing 1 required positional arguments: "dim"')
    return dim


def _cumprod_samples(make: Any) -> Iterable[Sample]:
    yield from _scan_samples(make)
    x = make(2, 5)
    x[0, 1] = x[1, 3] = x[1, 4] = 0
    yield Sample(x, 1)


@declare(op=CUMPROD, samples=_cumprod_samples, errors=_scan_errors, dtypes=("float", "complex", "int"), inplace=True)
def cumprod(
    input: Tensor,
    dim: int | None = None,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
    axis: int | None = None,
) -> Tensor:
    """Returns the running product along `dim`; integers and bool multiply in int64 unless `dtype` is given."""
    if CASTING and (cast := casting("cumprod")) is not None:
        return cast(cumprod, input, dim, dtype=dtype, out=out, axis=axis)
    return _cumulated("cumprod", CUMPROD, input, _needed("cumprod", dim, axis), dtype, out)


def _log_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), 0)
    yield Sample(make(2, 3, 5), -1)
    yield Sample(make(2, 0), 1)


@declare(op=LOGCUMSUMEXP, samples=_log_samples, errors=_scan_errors)
def logcumsumexp(input: Tensor, dim: int, *, out: Tensor | None = None) -> Tensor:
    """Returns log of the running sum of exponentials along `dim`, without overflow."""
    need_tensor("logcumsumexp", input)
    axis = wrap_dim(dim, len(shape_of(input)))
    if not input._kind.dtype.is_floating_point:
        raise NotImplementedError(
            f"\"logcumsumexp_out_cpu\" not implemented for '{scalar_type_name(input._kind.dtype)}'"
        )
    result = _along(LOGCUMSUMEXP, input, axis)
    return result if out is None else write_out(out, result, "logcumsumexp")


def _extreme_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), 0)
    yield Sample(make(2, 3, 5), -1)
    yield Sample(make(), 0)
    x = make(2, 5)
    if x.dtype.kind == "f":
        x[0, 2] = x[1, 1] = x[1, 3] = math.nan
        yield Sample(x, 1)
    yield Sample(x * 0, 1)


def _extreme(name: str, op: Op, result_class: Any, input: Tensor, dim: int, out: Any) -> Any:
    need_tensor(name, input)
    axis = wrap_dim(dim, len(shape_of(input)))
    if shape_of(input):
        result = result_class(op(input, axis))
    else:
        result = result_class(TENSOR_SPACE.reshape(x, ()) for x in op(TENSOR_SPACE.reshape(input, (1,)), 0))
    return result if out is None else write_outs(out, result, name)


@declare(op=CUMMAX_OP, samples=_extreme_samples, errors=_scan_errors, dtypes=("float", "int", "bool"))
def cummax(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """Returns (values, indices) of the running maximum along `dim`; of equal elements the last counts, NaN is largest."""
    return _extreme("cummax", CUMMAX_OP, CUMMAX, input, dim, out)


@declare(op=CUMMIN_OP, samples=_extreme_samples, errors=_scan_errors, dtypes=("float", "int", "bool"))
def cummin(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """Returns (values, indices) of the running minimum along `dim`; of equal elements the last counts, NaN is smallest."""
    return _extreme("cummin", CUMMIN_OP, CUMMIN, input, dim, out)


# ---- neighbours ------------------------------------------------------------------------------------------------------


def _piece(input: Tensor, dim: int, start: int, stop: int) -> Tensor:
    return input.narrow(dim, start, max(0, stop - start))


def _diff_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(5))
    yield Sample(make(3, 4), dim=0)
    yield Sample(make(3, 5), n=2)
    yield Sample(make(3), n=5)
    yield Sample(make(3, 4), n=0)
    yield Sample(make(3, 4), 1, 1, make(3, 2), make(3, 1))


def _diff_errors() -> Iterable[Sample]:
    x = np.ones(3, np.float32)
    yield Sample(np.ones((), np.float32), error=(RuntimeError, "diff expects input to be at least one-dimensional"))
    yield Sample(x, n=-1, error=(RuntimeError, "order must be non-negative but got -1"))


@declare(samples=_diff_samples, errors=_diff_errors, dtypes=("float", "complex", "int", "bool"), differentiable=True)
def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Returns the n-th difference of neighbours along `dim`; of bool the exclusive or."""
    need_tensor("diff", input)
    from torchplug.ops.joining import cat

    if not shape_of(input):
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    axis = wrap_dim(dim, len(shape_of(input)))
    parts = [part for part in (prepend, input, append) if part is not None]
    result = cat(parts, axis) if len(parts) > 1 else input
    for _ in range(min(n, shape_of(result)[axis])):
        length = shape_of(result)[axis]
        later, earlier = _piece(result, axis, 1, length), _piece(result, axis, 0, length - 1)
        result = later.bitwise_xor(earlier) if input._kind.dtype is dt.bool_ else later - earlier
    if result is input:
        result = input.clone()
    return result if out is None else write_out(out, result, "diff")


def _trapezoid_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 5))
    yield Sample(make(3, 5), dx=0.5)
    yield Sample(make(3, 5), dim=0)
    yield Sample(make(3, 5), make(3, 5), dim=0)
    if make(1).dtype == np.float64:
        yield Sample(make(3, 5), make(5))


def _steps(y: Tensor, x: Tensor | None, dim: int, name: str) -> Tensor | None:
    """Returns the distances of neighbouring abscissae, shaped to multiply the means of neighbouring ordinates."""
    if x is None:
        return None
    steps = diff(x, dim=-1 if len(shape_of(x)) == 1 else dim)
    if len(shape_of(x)) == 1:
        if shape_of(x)[0] != shape_of(y)[dim]:
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
        shape = [1] * len(shape_of(y))
        shape[dim] = shape_of(steps)[0]
        steps = steps.reshape(shape)
    return steps


def _areas(name: str, y: Tensor, x: Tensor | None, dx: Any, dim: int) -> Tensor:
    """Returns the area between each two neighbours, times 1/2 left out."""
    axis = wrap_dim(dim, len(shape_of(y)))
    length = shape_of(y)[axis]
    pairs = _piece(y, axis, 1, length) + _piece(y, axis, 0, length - 1)
    steps = _steps(y, x, axis, name)
    return pairs * (dx if steps is None else steps)


@declare(samples=_trapezoid_samples, aliases=("trapz",), method=False, differentiable=True)
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """Returns the integral of `y` along `dim` by the trapezoidal rule, at places `x` or at distance `dx` (1)."""
    need_tensor("trapezoid", y, "y")
    _one_spacing("trapezoid", x, dx)
    return _areas("trapezoid", y, x, 1 if dx is None else dx, dim).sum(dim) / 2.0


@declare(samples=_trapezoid_samples, method=False, differentiable=True)
def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """Returns the running integral of `y` along `dim` by the trapezoidal rule; one element shorter than `y`."""
    need_tensor("cumulative_trapezoid", y, "y")
    _one_spacing("cumulative_trapezoid", x, dx)
    return cumsum(_areas("cumulative_trapezoid", y, x, 1 if dx is None else dx, dim), dim) / 2.0


def _one_spacing(name: str, x: Any, dx: Any) -> None:
    if x is not None and dx is not None:
        raise TypeError(
            f"{name}() received an invalid combination of arguments - got (Tensor, Tensor, dx={type(dx).__name__})"
        )
