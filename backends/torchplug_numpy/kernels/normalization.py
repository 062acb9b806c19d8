"""Normalization: sums as products with ones, sums of squares by einsum, everything else written in place.

Variances are those of the centered values: a difference of a mean square and a squared mean would lose digits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from torchplug_numpy.kernels.fused import fused
from torchplug_numpy.kernels.rows import row_sums
from torchplug_numpy.sums import sum_over
from torchplug_spec.backend import Array

__all__ = ["NormalizationKernels"]

Needs = tuple[bool, ...]


def _inverse_root(variance: Array, eps: float) -> Array:
    out = np.add(variance, variance.dtype.type(eps))
    np.sqrt(out, out)
    return np.reciprocal(out, out)


# ---- batch -----------------------------------------------------------------------------------------------------------


def _planes(x: Array) -> Array:
    """Returns (N, C, space)."""
    return np.ascontiguousarray(x).reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:]))


def _channel_sums(x: Array) -> Array:
    """Returns the sums of (N, C, space) over all but the channels."""
    count, channels, space = x.shape
    if space == 1:
        return sum_over(x.reshape(count, channels), 0, False)
    return sum_over(row_sums(x.reshape(count * channels, space)).reshape(count, channels), 0, False)


def _channel_products(x: Array, y: Array) -> Array:
    """Returns the sums of x * y over all but the channels."""
    if x.shape[2] == 1:
        return sum_over(np.multiply(x[:, :, 0], y[:, :, 0]), 0, False)
    return sum_over(np.einsum("ncp,ncp->nc", x, y), 0, False)


def _batch_norm(x: Array, weight: Array | None, bias: Array | None, eps: float) -> Any:
    if x.dtype.char not in "fd" or not x.size:
        return NotImplemented
    planes = _planes(x)
    number = x.dtype.type(planes.shape[0] * planes.shape[2])
    mean = np.divide(_channel_sums(planes), number)
    out = np.subtract(planes, mean[:, None])
    variance = np.divide(_channel_products(out, out), number)
    scale = _inverse_root(variance, eps)
    np.multiply(out, (scale if weight is None else np.multiply(scale, weight))[:, None], out)
    if bias is not None:
        np.add(out, bias[:, None], out)
    return out.reshape(x.shape), mean, variance, mean, variance


def _batch_norm_backward(
    g: Array, x: Array, weight: Array | None, mean: Array, variance: Array, eps: float, needs: Needs
) -> Any:
    if x.dtype.char not in "fd" or not x.size:
        return NotImplemented
    grads = _planes(g)
    number = x.dtype.type(grads.shape[0] * grads.shape[2])
    scale = _inverse_root(variance, eps)
    total = _channel_sums(grads)
    centered = np.subtract(_planes(x), mean[:, None])
    along = np.multiply(_channel_products(grads, centered), scale)  # the sum of g times the normalized values
    gx = None
    if needs[0]:
        factor = scale if weight is None else np.multiply(scale, weight)
        pull = np.divide(np.multiply(np.multiply(along, scale), factor), number)
        np.multiply(centered, pull[:, None], centered)
        gx = np.multiply(grads, factor[:, None])
        np.subtract(gx, centered, gx)
        np.subtract(gx, np.divide(np.multiply(total, factor), number)[:, None], gx)
        gx = gx.reshape(x.shape)
    return gx, along if needs[1] else None, total if needs[2] else None


def _batch_norm_eval(
    x: Array, mean: Array, variance: Array, weight: Array | None, bias: Array | None, eps: float
) -> Any:
    if x.dtype.char not in "fd" or not x.size:
        return NotImplemented
    scale = _inverse_root(variance, eps)
    if weight is not None:
        np.multiply(scale, weight, scale)
    shift = np.multiply(mean, scale)
    shift = np.negative(shift, shift) if bias is None else np.subtract(bias, shift)
    out = np.multiply(_planes(x), scale[:, None])
    return np.add(out, shift[:, None], out).reshape(x.shape)


# ---- rows ------------------------------------------------------------------------------------------------------------


def _rows(x: Array, count: int) -> Array:
    width = math.prod(x.shape[x.ndim - count :])
    return np.ascontiguousarray(x).reshape(-1, width)


def _standardized(rows: Array, eps: float) -> tuple[Array, Array, Array]:
    """Returns rows of mean 0 and variance 1, the means, and one over the standard deviations, both as columns."""
    width = rows.dtype.type(rows.shape[1])
    mean = np.divide(row_sums(rows), width)
    out = np.subtract(rows, mean)
    scale = _inverse_root(np.divide(np.einsum("rc,rc->r", out, out), width), eps)[:, None]
    return np.multiply(out, scale, out), mean, scale


def _layer_norm(x: Array, weight: Array | None, bias: Array | None, count: int, eps: float) -> Any:
    if x.dtype.char not in "fd" or not x.size:
        return NotImplemented
    out, mean, scale = _standardized(_rows(x, count), eps)
    if weight is not None:
        np.multiply(out, weight.reshape(-1), out)
    if bias is not None:
        np.add(out, bias.reshape(-1), out)
    kept = x.shape[: x.ndim - count] + (1,) * count
    return out.reshape(x.shape), mean.reshape(kept), scale.reshape(kept)


def _through_rows(inner: Array, normal: Array, scale: Array) -> Array:
    """Returns the gradient of the rows: `inner` freed of its mean and of its share along the normalized rows.

    Overwrites `inner`.
    """
    width = inner.dtype.type(inner.shape[1])
    mean = np.divide(row_sums(inner), width)
    share = np.divide(np.einsum("rc,rc->r", inner, normal), width)[:, None]
    np.subtract(inner, np.multiply(normal, share), inner)
    np.subtract(inner, mean, inner)
    return np.multiply(inner, scale, inner)


def _layer_norm_backward(
    g: Array, x: Array, weight: Array | None, mean: Array, scale: Array, count: int, needs: Needs
) -> Any:
    if x.dtype.char not in "fd" or not x.size:
        return NotImplemented
    grads, scales = _rows(g, count), scale.reshape(-1, 1)
    normal = np.subtract(_rows(x, count), mean.reshape(-1, 1))
    np.multiply(normal, scales, normal)
    features = x.shape[x.ndim - count :]
    products = np.multiply(grads, normal)
    gw = sum_over(products, 0, False).reshape(features) if needs[1] else None
    gb = sum_over(grads, 0, False).reshape(features) if needs[2] else None
    if not needs[0]:
        return None, gw, gb
    inner = np.array(grads) if weight is None else np.multiply(grads, weight.reshape(-1), products)
    return _through_rows(inner, normal, scales).reshape(x.shape), gw, gb


# ---- groups of channels ----------------------------------------------------------------------------------------------


def _group_norm(x: Array, weight: Array | None, bias: Array | None, groups: int, eps: float) -> Any:
    if x.dtype.char not in "fd" or not x.size:
        return NotImplemented
    rows = np.ascontiguousarray(x).reshape(x.shape[0] * groups, -1)
    out, mean, scale = _standardized(rows, eps)
    planes = out.reshape(x.shape[0], x.shape[1], -1)
    if weight is not None:
        np.multiply(planes, weight[:, None], planes)
    if bias is not None:
        np.add(planes, bias[:, None], planes)
    kept = (x.shape[0], groups, 1)
    return planes.reshape(x.shape), mean.reshape(kept), scale.reshape(kept)


def _group_norm_backward(
    g: Array, x: Array, weight: Array | None, mean: Array, scale: Array, groups: int, needs: Needs
) -> Any:
    if x.dtype.char not in "fd" or not x.size:
        return NotImplemented
    grads, scales = _planes(g), scale.reshape(-1, 1)
    normal = np.subtract(np.ascontiguousarray(x).reshape(x.shape[0] * groups, -1), mean.reshape(-1, 1))
    np.multiply(normal, scales, normal)
    gw = _channel_products(grads, normal.reshape(grads.shape)) if needs[1] else None
    gb = _channel_sums(grads) if needs[2] else None
    if not needs[0]:
        return None, gw, gb
    inner = np.array(grads) if weight is None else np.multiply(grads, weight[:, None])
    return _through_rows(inner.reshape(normal.shape), normal, scales).reshape(x.shape), gw, gb


class NormalizationKernels:
    """Kernels of float32 and float64; empty inputs are left to the composition."""

    batch_norm = fused("batch_norm", _batch_norm, partial=True)
    batch_norm_backward = fused("batch_norm_backward", _batch_norm_backward, partial=True)
    batch_norm_eval = fused("batch_norm_eval", _batch_norm_eval, partial=True)
    layer_norm = fused("layer_norm", _layer_norm, partial=True)
    layer_norm_backward = fused("layer_norm_backward", _layer_norm_backward, partial=True)
    group_norm = fused("group_norm", _group_norm, partial=True)
    group_norm_backward = fused("group_norm_backward", _group_norm_backward, partial=True)
