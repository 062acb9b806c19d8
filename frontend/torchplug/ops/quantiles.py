"""Quantiles of the elements along a dimension, in order: quantile, nanquantile."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.dims import wrap_dim
from torchplug._core.elementwise import need_tensor
from torchplug._core.inplace import write_out
from torchplug._core.op import TENSOR_SPACE
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.ordering import sort
from torchplug_spec import dtypes as dt

__all__ = ["nanquantile", "quantile"]

Shape = tuple[int, ...]


def _quantile_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 5)
    for interpolation in ("linear", "lower", "higher", "midpoint", "nearest"):
        yield Sample(x, 0.4, interpolation=interpolation)
    yield Sample(x, 0.25, 1)
    yield Sample(x, 0.5, dim=0, keepdim=True)
    yield Sample(x, np.array([0.0, 0.3, 1.0], x.dtype), 1)
    x[1, 2] = math.nan
    yield Sample(x, 0.3, 1)


def _quantile_errors() -> Iterable[Sample]:
    x = np.ones(3, np.float32)
    yield Sample(x, 2.0, error=(RuntimeError, "quantile() q must be in the range [0, 1] but got 2"))
    yield Sample(
        np.ones(3, np.int64), 0.5, error=(RuntimeError, "quantile() input tensor must be either float or double dtype")
    )
    yield Sample(x, 0.5, interpolation="best", error=(RuntimeError, "interpolation must be one of"))


def _quantile(
    name: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip_nan: bool
) -> Tensor:
    """Sorts the lines, turns q into ranks, and mixes the two elements between which a rank lies."""
    from torchplug.ops.from_data import tensor

    _check_quantile(name, input, q, interpolation)
    shape = shape_of(input)
    axis = 0 if dim is None else wrap_dim(dim, len(shape))
    x = TENSOR_SPACE.reshape(input, (math.prod(shape),)) if dim is None or not shape else input.movedim(axis, -1)
    ordered = sort(x, -1)[0]
    points = q if isinstance(q, Tensor) else tensor(q, dtype=input._kind.dtype, device=input.device)
    ranks = _ranks(ordered, points, skip_nan)
    low = ranks.floor()
    lower = ordered.gather(-1, low.long())
    result = _between(ordered, ranks, low, lower, interpolation)
    return _arranged(result, shape_of(points), shape, axis, dim, keepdim)


def _check_quantile(name: str, input: Tensor, q: Any, interpolation: str) -> None:
    need_tensor(name, input)
    if input._kind.dtype not in (dt.float32, dt.float64):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if math.prod(shape_of(input)) == 0:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    if isinstance(q, Tensor):
        if len(shape_of(q)) > 1:
            raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
        if q._kind.dtype is not input._kind.dtype:
            raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
    elif not 0 <= q <= 1:
        raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q:g}")


def _ranks(ordered: Tensor, points: Tensor, skip_nan: bool) -> Tensor:
    """Returns q * (n - 1) per line: with skip_nan n counts numbers only, else a line with NaN gets its last rank, a NaN."""
    nan = ordered.isnan()
    last = shape_of(ordered)[-1] - 1
    steps = points.reshape(-1)
    if skip_nan:
        numbers = (nan.logical_not().sum(-1, True) - 1).clamp(min=0)
        return numbers.to(points._kind.dtype) * steps
    plain = (steps * last).expand((*shape_of(ordered)[:-1], shape_of(steps)[0]))
    return plain.masked_fill(nan.any(-1, True).expand(shape_of(plain)), last)


def _between(ordered: Tensor, ranks: Tensor, low: Tensor, lower: Tensor, interpolation: str) -> Tensor:
    if interpolation == "lower":
        return lower
    if interpolation == "nearest":
        return ordered.gather(-1, ranks.round().long())
    upper = ordered.gather(-1, ranks.ceil().long())
    if interpolation == "higher":
        return upper
    weight = ranks - low if interpolation == "linear" else (ranks - low) * 0 + 0.5
    return lower.lerp(upper, weight)


def _arranged(result: Tensor, points: Shape, shape: Shape, axis: int, dim: int | None, keepdim: bool) -> Tensor:
    """Puts the dimension of q first, or takes it away for a number, and gives back the reduced one for keepdim."""
    result = result.movedim(-1, 0)
    if dim is None:
        result = result.reshape((-1, *(1,) * len(shape))) if keepdim else result
    elif keepdim and shape:
        result = result.unsqueeze(axis + 1)
    elif not shape:
        result = result.reshape(-1)
    return result if points else result.squeeze(0)


@declare(samples=_quantile_samples, errors=_quantile_errors, dtypes=("float",), differentiable=True)
def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """Returns the q-quantiles along `dim` (of all elements if None); a tensor `q` adds a first dimension."""
    result = _quantile("quantile", input, q, dim, keepdim, interpolation, False)
    return result if out is None else write_out(out, result, "quantile")


@declare(samples=_quantile_samples, dtypes=("float",), differentiable=True)
def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """Returns the q-quantiles along `dim` of the elements that are not NaN."""
    result = _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)
    return result if out is None else write_out(out, result, "nanquantile")
