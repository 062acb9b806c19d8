"""Scaled dot product attention."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare_functional
from torchplug._core.elementwise import argument_error, convert
from torchplug._core.kernels import composition
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.dropout import dropout
from torchplug.ops.products import CPP_NAMES
from torchplug_spec import dtypes as dt

__all__ = ["scaled_dot_product_attention"]

Needs = tuple[bool, ...]


def _scores(F: Any, query: Any, key: Any, bias: Any, causal: bool, scale: float) -> Any:
    """Returns softmax(query key^T scale + bias) over keys; a row with no key to look at is 0."""
    scores = F.matmul(F.multiply(query, scale), F.adjoint(key))
    if bias is not None:
        scores = F.add(scores, bias)
    if causal:
        scores = F.where(
            F.host(_later(scores.shape[-2], scores.shape[-1]), scores), F.full_of(scores, (), -math.inf), scores
        )
    dim = len(scores.shape) - 1
    if bias is None:
        return F.softmax(scores, dim)
    blind = F.equal(F.max(scores, dim, True), -math.inf)
    seen = F.where(blind, F.zeros_of(scores, ()), scores)
    return F.where(blind, F.zeros_of(scores, ()), F.softmax(seen, dim))


def _later(rows: int, columns: int) -> np.ndarray:
    """Returns True where a key comes after its query."""
    return ~np.tri(rows, columns, dtype=bool)


def _attention(F: Any, query: Any, key: Any, value: Any, bias: Any, causal: bool, scale: float) -> tuple[Any, Any]:
    weights = _scores(F, query, key, bias, causal, scale)
    return F.matmul(weights, value), weights


@composition
def attention_backward(
    F: Any, g: Any, query: Any, key: Any, value: Any, weights: Any, scale: float, bias_shape: tuple, needs: Needs
) -> tuple:
    """Returns the gradients of query, key, value and bias (None where not needed)."""
    slope = None
    if needs[0] or needs[1] or needs[3]:
        slope = F.softmax_backward(F.matmul(g, F.adjoint(value)), weights, len(weights.shape) - 1)
    return (
        F.unbroadcast(F.multiply(F.matmul(slope, key), scale), tuple(query.shape)) if needs[0] else None,
        F.unbroadcast(F.multiply(F.matmul(F.adjoint(slope), query), scale), tuple(key.shape)) if needs[1] else None,
        F.unbroadcast(F.matmul(F.adjoint(weights), g), tuple(value.shape)) if needs[2] else None,
        F.unbroadcast(slope, bias_shape) if needs[3] else None,
    )


def _rule(
    F: Any, g: Any, query: Any, key: Any, value: Any, bias_shape: tuple, weights: Any, scale: float, needs: Needs
) -> tuple:
    return F.attention_backward(g, query, key, value, weights, scale, bias_shape, needs)


_TENSORS = ("query", "key", "value", "bias")
ATTENTION = Op(
    "attention", (*_TENSORS, "causal", "scale"), tensors=_TENSORS, forward=_attention, residuals=("weights",), fused_rule=True,
    joint=_rule, node="ScaledDotProductFlashAttentionForCpuBackward0",
)  # fmt: skip


def _samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3, 4, 5), make(2, 3, 6, 5), make(2, 3, 6, 7))
    yield Sample(make(2, 3, 4, 5), make(2, 3, 4, 5), make(2, 3, 4, 5), is_causal=True)
    yield Sample(make(2, 4, 5), make(2, 6, 5), make(2, 6, 7), np.tri(4, 6, 1, dtype=bool))
    yield Sample(make(2, 4, 5), make(2, 6, 5), make(2, 6, 7), make(4, 6), scale=0.3)
    yield Sample(make(4, 5), make(6, 5), make(6, 7))
    yield Sample(make(2, 4, 4, 5), make(2, 2, 4, 5), make(2, 2, 4, 5), enable_gqa=True)
    yield Sample(make(2, 4, 5), make(2, 6, 5), make(2, 6, 7), np.arange(4)[:, None] > np.arange(6)[None, :])


def _errors() -> Iterable[Sample]:
    x = np.ones((2, 4, 5), np.float32)
    yield Sample(
        x[0, 0],
        x[0, 0],
        x[0, 0],
        error=(RuntimeError, "Expected query, key, and value to all be  at least 2 dimensional"),
    )
    yield Sample(
        x,
        x.astype(np.float64),
        x,
        error=(RuntimeError, "Expected query, key, and value to have the same dtype, but got"),
    )
    yield Sample(
        x,
        x,
        x,
        np.ones((4, 4), bool),
        0.0,
        True,
        error=(RuntimeError, "Explicit attn_mask should not be set when is_causal"),
    )


@declare_functional(op=ATTENTION, samples=_samples, errors=_errors)
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Returns softmax(query key^T * scale + mask) value. Source: Vaswani et al. 2017, equation 1.

    Shape: query (..., L, E), key (..., S, E), value (..., S, V) give (..., L, V). `attn_mask` broadcasts to (..., L, S): bool,
    True where a query looks at a key, or added. `is_causal` lets query i look at keys 0 to i. `scale` defaults to
    1 / sqrt(E). With `enable_gqa` groups of query heads (dimension -3) share heads of key and value.
    """
    _check(query, key, value)
    if attn_mask is not None and is_causal:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if enable_gqa:
        heads = shape_of(query)[-3]
        key, value = (x.repeat_interleave(heads // shape_of(x)[-3], -3) for x in (key, value))
    if scale is None:
        scale = 1 / math.sqrt(shape_of(query)[-1]) if shape_of(query)[-1] else 1.0
    bias = None if attn_mask is None else _as_bias(attn_mask, query)
    if dropout_p > 0.0:
        return dropout(_weights(query, key, bias, is_causal, scale), dropout_p) @ value
    return ATTENTION(query, key, value, bias, is_causal, scale)


def _check(query: Any, key: Any, value: Any) -> None:
    for name, x in (("query", query), ("key", key), ("value", value)):
        if not isinstance(x, Tensor):
            raise argument_error("scaled_dot_product_attention", name, "Tensor", x)
    kinds = [x._kind.dtype for x in (query, key, value)]
    if kinds[0] is not kinds[1] or kinds[0] is not kinds[2]:
        names = [CPP_NAMES[dtype.name] for dtype in kinds]
        raise RuntimeError(
            f"Expected query, key, and value to have the same dtype, but got query.dtype: {names[0]} key.dtype: {names[1]} and "
            f"value.dtype: {names[2]} instead."
        )
    dims = [len(shape_of(x)) for x in (query, key, value)]
    if min(dims) < 2:
        raise RuntimeError(
            f"Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: {dims[0]} key.dim: {dims[1]} and "
            f"value.dim: {dims[2]} instead."
        )


def _as_bias(mask: Tensor, query: Tensor) -> Tensor:
    """Returns a mask as numbers to add: minus infinity where a bool mask is False."""
    kind = query._kind
    if mask._kind.dtype is not dt.bool_:
        return convert(mask, kind.dtype)
    F = TENSOR_SPACE
    like = query.detach()
    return F.where(mask, F.zeros_of(like, ()), F.full_of(like, (), -math.inf))


def _weights(query: Tensor, key: Tensor, bias: Tensor | None, causal: bool, scale: float) -> Tensor:
    return _scores(TENSOR_SPACE, query, key, bias, causal, scale)
