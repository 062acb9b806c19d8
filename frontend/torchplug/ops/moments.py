"""Variances, standard deviations and covariances."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.dims import reduction_axes
from torchplug._core.elementwise import need_tensor
from torchplug._core.inplace import write_out
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.extremes import write_outs
from torchplug.ops.reductions import Axes, Dim, keeps, length_over
from torchplug_spec import dtypes as dt

__all__ = ["corrcoef", "cov", "std", "std_mean", "var", "var_mean"]


# ---- kernels ---------------------------------------------------------------------------------------------------------


def _centred(F: Any, x: Any, axis: Axes) -> Any:
    """Returns x less its mean. The first element is taken off before, so that equal elements leave exactly 0."""
    shape = tuple(x.shape)
    if 0 not in shape:
        key = tuple(slice(0, 1 if axis is None or dim in axis else length, 1) for dim, length in enumerate(shape))
        x = F.subtract(x, F.slice(x, key))
    return F.subtract(x, F.mean(x, axis, True))


def _variance(F: Any, x: Any, axis: Axes, correction: float, keepdims: bool) -> Any:
    """Returns the variance, real: the mean square of what the mean leaves."""
    dtype = F.dtype_of(x)
    if dtype.itemsize == 2:
        return F.astype(_variance(F, F.astype(x, dt.float32), axis, correction, keepdims), dtype)
    rest = F.abs(_centred(F, x, axis))
    freedom = max(length_over(tuple(x.shape), axis) - correction, 0)
    return F.divide(F.sum(F.multiply(rest, rest), axis, keepdims), freedom)


def _var_rule(F: Any, g: Any, x: Any, axis: Axes, correction: float, keepdims: bool) -> Any:
    shape = tuple(x.shape)
    rest = _centred(F, x, axis)
    spread = F.broadcast_like(F.astype(g, F.dtype_of(x)), shape, axis, keepdims)
    freedom = max(length_over(shape, axis) - correction, 0)
    return F.divide(F.multiply(F.multiply(spread, rest), 2), freedom)


def _std_slope(F: Any, g: Any, out: Any) -> Any:
    """The gradient of the variance behind a standard deviation, 0 where that is 0."""
    flat = F.equal(out, 0)
    slope = F.divide(g, F.multiply(F.where(flat, F.full_of(out, (), 1), out), 2))
    return F.where(flat, F.zeros_of(slope, ()), slope)


def _std_rule(F: Any, g: Any, x: Any, out: Any, axis: Axes, correction: float, keepdims: bool) -> Any:
    return _var_rule(F, _std_slope(F, g, out), x, axis, correction, keepdims)


def _deviation(F: Any, x: Any, axis: Axes, correction: float, keepdims: bool) -> Any:
    return F.sqrt(_variance(F, x, axis, correction, keepdims))


def _with_mean(function: Any) -> Any:
    """Returns a kernel that gives the mean beside a variance or deviation."""

    def both(F: Any, x: Any, axis: Axes, correction: float, keepdims: bool) -> tuple[Any, Any]:
        return function(F, x, axis, correction, keepdims), F.mean(x, axis, keepdims)

    return both


def _mean_part(F: Any, g: Any, x: Any, axis: Axes, keepdims: bool) -> Any:
    shape = tuple(x.shape)
    return F.divide(F.broadcast_like(g, shape, axis, keepdims), length_over(shape, axis))


def _var_mean_rule(F: Any, g: Any, x: Any, axis: Axes, correction: float, keepdims: bool) -> tuple[Any]:
    return (F.add(_var_rule(F, g[0], x, axis, correction, keepdims), _mean_part(F, g[1], x, axis, keepdims)),)


def _std_mean_rule(F: Any, g: Any, x: Any, out: Any, axis: Axes, correction: float, keepdims: bool) -> tuple[Any]:
    return (F.add(_std_rule(F, g[0], x, out, axis, correction, keepdims), _mean_part(F, g[1], x, axis, keepdims)),)


_PARAMETERS = ("x", "axis", "correction", "keepdims")
VAR = Op("var", _PARAMETERS, tensors=("x",), forward=_variance, rules={"x": _var_rule})
STD = Op("std", _PARAMETERS, tensors=("x",), forward=_deviation, rules={"x": _std_rule})
VAR_MEAN = Op("var_mean", _PARAMETERS, tensors=("x",), forward=_with_mean(_variance), outputs=2, joint=_var_mean_rule)
STD_MEAN = Op("std_mean", _PARAMETERS, tensors=("x",), forward=_with_mean(_deviation), outputs=2, joint=_std_mean_rule)


# ---- functions -------------------------------------------------------------------------------------------------------


def _samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    yield Sample(x)
    yield Sample(x, 1)
    yield Sample(x, 1, False, True)
    yield Sample(x, dim=(0, 1), unbiased=False)
    yield Sample(make(2, 3, 4), dim=(0, 2), keepdim=True, correction=0)
    yield Sample(x, dim=1, correction=2)
    yield Sample(x, False)
    yield Sample(x * 0 + 2, 1, stated_gradient=True)
    if x.dtype == np.float32:
        yield Sample(make(1))


def _errors() -> Iterable[Sample]:
    yield Sample(np.ones(2, np.int64), error=(RuntimeError, "only support floating point and complex dtypes"))
    yield Sample(np.ones(2, np.float32), 1, error=(IndexError, "Dimension out of range"))


def _moments(name: str, op: Op, input: Tensor, dim: Any, unbiased: Any, keepdim: bool, correction: Any) -> Any:
    """Reads the two spellings, `unbiased` and `correction`, and calls the op."""
    need_tensor(name, input)
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    elif unbiased is not None:
        raise TypeError(
            f"{name}() received an invalid combination of arguments: unbiased and correction exclude each other"
        )
    if not input._kind.inexact:
        raise RuntimeError(f"{name if '_' in name else 'std and var'} only support floating point and complex dtypes")
    shape = shape_of(input)
    axes = reduction_axes(dim, len(shape))
    if length_over(shape, axes) - correction <= 0:
        warnings.warn(
            f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor (input numel "
            "divided by output numel).",
            stacklevel=3,
        )
    return op(input, axes, correction, keepdim)


@declare(op=VAR, samples=_samples, errors=_errors, dtypes=("float", "complex"))
def var(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    out: Tensor | None = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Returns the variance over `dim`: the sum of squares divided by the count minus `correction` (1; 0 if not `unbiased`)."""
    result = _moments("var", VAR, input, dim if axis is None else axis, unbiased, keeps(keepdim, keepdims), correction)
    return result if out is None else write_out(out, result, "var")


@declare(op=STD, samples=_samples, errors=_errors, dtypes=("float", "complex"))
def std(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    out: Tensor | None = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Returns the standard deviation over `dim`, see `var`; its gradient at 0 is 0."""
    result = _moments("std", STD, input, dim if axis is None else axis, unbiased, keeps(keepdim, keepdims), correction)
    return result if out is None else write_out(out, result, "std")


@declare(op=VAR_MEAN, samples=_samples, dtypes=("float", "complex"), method=False)
def var_mean(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    out: Any = None,
) -> tuple[Tensor, Tensor]:
    """Returns the variance and the mean over `dim`, see `var`."""
    result = _moments("var_mean", VAR_MEAN, input, dim, unbiased, keepdim, correction)
    return result if out is None else write_outs(out, result, "var_mean")


@declare(op=STD_MEAN, samples=_samples, dtypes=("float", "complex"), method=False)
def std_mean(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    out: Any = None,
) -> tuple[Tensor, Tensor]:
    """Returns the standard deviation and the mean over `dim`, see `var`."""
    result = _moments("std_mean", STD_MEAN, input, dim, unbiased, keepdim, correction)
    return result if out is None else write_outs(out, result, "std_mean")


def _cov_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 5))
    yield Sample(make(5))
    yield Sample(make(3, 5), correction=0)
    yield Sample(make(2, 4), fweights=np.array([1, 2, 1, 3]))
    if make(1).dtype == np.float64:
        yield Sample(make(2, 4), aweights=np.array([0.5, 1.0, 2.0, 0.1]))
        yield Sample(make(2, 4), fweights=np.array([1, 2, 1, 3]), aweights=np.array([0.5, 1.0, 2.0, 0.1]))


@declare(samples=_cov_samples, dtypes=("float",), differentiable=True)
def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """Returns the covariance matrix of the rows: one row per variable, one column per observation, perhaps weighted."""
    need_tensor("cov", input)
    if len(shape_of(input)) > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {len(shape_of(input))} dimensions"
        )
    x = input.reshape(1, -1) if len(shape_of(input)) < 2 else input
    if fweights is not None and aweights is not None:
        weights: Any = fweights.to(x._kind.dtype) * aweights
    else:
        weights = fweights if fweights is not None else aweights
    if weights is None:
        rest = x - x.mean(1, True)
        total = norm = float(shape_of(x)[1])
        weighted = rest
        norm = total - correction
    else:
        weights = weights.to(x._kind.dtype)
        total = weights.sum()
        rest = x - ((x * weights).sum(1) / total).unsqueeze(1)
        weighted = rest * weights
        extra = total if aweights is None or correction == 0 else (weights * aweights).sum()
        norm = total - correction * (extra / total if aweights is not None else 1)
    return _scaled_product(weighted, rest, norm).squeeze()


def _scaled_product(weighted: Tensor, rest: Tensor, norm: Any) -> Tensor:
    norm = norm.clamp(min=0) if isinstance(norm, Tensor) else max(norm, 0.0)
    return weighted.matmul(rest.transpose(0, 1).conj() if rest._kind.dtype.is_complex else rest.transpose(0, 1)) / norm


def _correlation_samples(make: Any) -> Iterable[Sample]:
    if make(1).dtype == np.float64:  # of equal rows, float32 leaves rounding noise alone
        yield Sample(make(3, 5))
        yield Sample(make(5))


@declare(samples=_correlation_samples, dtypes=("float",), differentiable=True)
def corrcoef(input: Tensor) -> Tensor:
    """Returns the correlation matrix of the rows: covariances divided by the standard deviations."""
    covariances = cov(input)
    if not shape_of(covariances):
        return covariances / covariances
    deviations = covariances.diagonal().sqrt()
    return (covariances / deviations.unsqueeze(1) / deviations.unsqueeze(0)).clamp(-1, 1)
