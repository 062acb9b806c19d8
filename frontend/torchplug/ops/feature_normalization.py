"""Normalization over features (layer_norm, rms_norm), groups of channels, neighbouring channels and along a dimension."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare, declare_functional
from torchplug._core.elementwise import argument_error, convert
from torchplug._core.geometry import dense_strides
from torchplug._core.inplace import write_out
from torchplug._core.kernels import composition
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor, shape_of, strides_of
from torchplug.ops.average_pooling import avg_pool2d, avg_pool3d
from torchplug.ops.normalization import (
    affine,
    batch_axes,
    channel_shape,
    check_float,
    in_common_dtype,
    inverse_root,
    moments,
    normal_backward,
)
from torchplug.ops.padding import constant_pad
from torchplug.ops.views import check_view
from torchplug_spec import dtypes as dt

__all__ = ["group_norm", "layer_norm", "local_response_norm", "normalize", "rms_norm"]

Shape = tuple[int, ...]
Needs = tuple[bool, ...]
_PARAMETERS = ("input", "weight", "bias")


# ---- features --------------------------------------------------------------------------------------------------------


def _layer_axes(x: Any, count: int) -> Shape:
    return tuple(range(len(x.shape) - count, len(x.shape)))


def _layer_norm(F: Any, x: Any, weight: Any, bias: Any, count: int, eps: float) -> tuple[Any, Any, Any]:
    centered, mean, variance = moments(F, x, _layer_axes(x, count))
    scale = inverse_root(F, variance, eps)
    out = F.multiply(centered, scale)
    out = out if weight is None else F.multiply(out, weight)
    return out if bias is None else F.add(out, bias), mean, scale


@composition
def layer_norm_backward(F: Any, g: Any, x: Any, weight: Any, mean: Any, scale: Any, count: int, needs: Needs) -> tuple:
    """Returns the gradients of input, weight and bias (None where not needed)."""
    axes, lead = _layer_axes(x, count), tuple(range(len(x.shape) - count))
    normal = F.multiply(F.subtract(x, mean), scale)
    inner = g if weight is None else F.multiply(g, weight)
    return (
        normal_backward(F, inner, normal, scale, axes) if needs[0] else None,
        F.sum(F.multiply(g, normal), lead, False) if needs[1] else None,
        F.sum(g, lead, False) if needs[2] else None,
    )


LAYER_NORM = Op(
    "layer_norm", (*_PARAMETERS, "count", "eps"), tensors=_PARAMETERS, forward=_layer_norm, residuals=("mean", "scale"),
    fused_rule=True, node="NativeLayerNormBackward0",
    joint=lambda F, g, input, weight, mean, scale, count, needs: F.layer_norm_backward(g, input, weight, mean, scale, count, needs),
)  # fmt: skip


def _rms_norm(F: Any, x: Any, weight: Any, count: int, eps: float) -> tuple[Any, Any]:
    axes = _layer_axes(x, count)
    size = float(math.prod(x.shape[axis] for axis in axes))
    scale = inverse_root(F, F.divide(F.sum(F.multiply(x, x), axes, True), size), eps)
    out = F.multiply(x, scale)
    return out if weight is None else F.multiply(out, weight), scale


@composition
def rms_norm_backward(F: Any, g: Any, x: Any, weight: Any, scale: Any, count: int, needs: Needs) -> tuple:
    """Returns the gradients of input and weight (None where not needed)."""
    axes = _layer_axes(x, count)
    size = float(math.prod(x.shape[axis] for axis in axes))
    normal = F.multiply(x, scale)
    inner = g if weight is None else F.multiply(g, weight)
    share = F.divide(F.sum(F.multiply(inner, normal), axes, True), size)
    lead = tuple(range(len(x.shape) - count))
    return (
        F.multiply(F.subtract(inner, F.multiply(normal, share)), scale) if needs[0] else None,
        F.sum(F.multiply(g, normal), lead, False) if needs[1] else None,
    )


RMS_NORM = Op(
    "rms_norm", ("input", "weight", "count", "eps"), tensors=("input", "weight"), forward=_rms_norm, residuals=("scale",),
    fused_rule=True, node="MulBackward0",
    joint=lambda F, g, input, weight, scale, count, needs: F.rms_norm_backward(g, input, weight, scale, count, needs),
)  # fmt: skip


# ---- groups of channels ----------------------------------------------------------------------------------------------


def _grouped(F: Any, x: Any, groups: int) -> Any:
    return F.reshape(x, (x.shape[0], groups, math.prod(x.shape[1:]) // groups))


def _group_norm(F: Any, x: Any, weight: Any, bias: Any, groups: int, eps: float) -> tuple[Any, Any, Any]:
    centered, mean, variance = moments(F, _grouped(F, x, groups), (2,))
    scale = inverse_root(F, variance, eps)
    normal = F.reshape(F.multiply(centered, scale), tuple(x.shape))
    return affine(F, normal, weight, bias, channel_shape(x)), mean, scale


@composition
def group_norm_backward(F: Any, g: Any, x: Any, weight: Any, mean: Any, scale: Any, groups: int, needs: Needs) -> tuple:
    """Returns the gradients of input, weight and bias (None where not needed)."""
    shape, axes = tuple(x.shape), batch_axes(x)
    normal = F.multiply(F.subtract(_grouped(F, x, groups), mean), scale)
    inner = g if weight is None else F.multiply(g, F.reshape(weight, channel_shape(x)))
    return (
        F.reshape(normal_backward(F, _grouped(F, inner, groups), normal, scale, (2,)), shape) if needs[0] else None,
        F.sum(F.multiply(g, F.reshape(normal, shape)), axes, False) if needs[1] else None,
        F.sum(g, axes, False) if needs[2] else None,
    )


GROUP_NORM = Op(
    "group_norm", (*_PARAMETERS, "groups", "eps"), tensors=_PARAMETERS, forward=_group_norm, residuals=("mean", "scale"),
    fused_rule=True, node="NativeGroupNormBackward0",
    joint=lambda F, g, input, weight, mean, scale, groups, needs: F.group_norm_backward(g, input, weight, mean, scale, groups, needs),
)  # fmt: skip


# ---- public functions ---------------------------------------------------------------------------


def _check_features(
    name: str, input: Tensor, shape: Any, parameters: Sequence[tuple[str, Tensor | None]], star: str
) -> Shape:
    if isinstance(shape, int):
        raise argument_error(name, "normalized_shape", "tuple of ints", shape, 2)
    features = tuple(int(length) for length in shape)
    if not features:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got "
            "normalized_shape = []"
        )
    for argument, x in parameters:
        if x is not None and shape_of(x) != features:
            raise RuntimeError(
                f"Expected {argument} to be of same shape as normalized_shape, but got {argument} of shape {list(shape_of(x))} and "
                f"normalized_shape = {list(features)}"
            )
    if shape_of(input)[-len(features) :] != features:
        raise RuntimeError(
            f"Given normalized_shape={list(features)}, expected input with shape [*{star}{', '.join(map(str, features))}], but got "
            f"input of size{list(shape_of(input))}"
        )
    return features


def _layer_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3, 4), (4,), make(4), make(4))
    yield Sample(make(2, 3, 4), (3, 4), make(3, 4), None, 1e-3)
    yield Sample(make(2, 3, 4), (3, 4))
    yield Sample(make(0, 4), (4,), make(4), make(4))


def _layer_errors() -> Iterable[Sample]:
    x = np.ones((2, 3, 4), np.float32)
    yield Sample(
        x, (5,), error=(RuntimeError, "Given normalized_shape=[5], expected input with shape [*, 5], but got input of")
    )
    yield Sample(
        x, (4,), np.ones(3, np.float32), error=(RuntimeError, "Expected weight to be of same shape as normalized_shape")
    )
    yield Sample(x, (), error=(RuntimeError, "Expected normalized_shape to be at least 1-dimensional"))
    yield Sample(
        x.astype(np.int64), (4,), error=(NotImplementedError, "\"LayerNormKernelImpl\" not implemented for 'Long'")
    )


@declare(op=LAYER_NORM, samples=_layer_samples, errors=_layer_errors, method=False)
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """Returns (x - mean) / sqrt(variance + eps) * weight + bias over the last dimensions, those of `normalized_shape`.

    Source: Ba et al. 2016, equation 4.
    """
    if not isinstance(input, Tensor):
        raise argument_error("layer_norm", "input", "Tensor", input, 1)
    if CASTING and (cast := casting("layer_norm")) is not None:
        return cast(layer_norm, input, normalized_shape, weight, bias, eps)
    features = _check_features("layer_norm", input, normalized_shape, (("weight", weight), ("bias", bias)), ", ")
    check_float("LayerNormKernelImpl", "layer_norm", input)
    x = in_common_dtype(input, weight, bias)
    return convert(LAYER_NORM(x, weight, bias, len(features), eps), input._kind.dtype)


@declare(
    op=RMS_NORM,
    method=False,
    samples=lambda make: [
        Sample(make(2, 3, 4), (4,), make(4)),
        Sample(make(2, 3, 4), (3, 4)),
        Sample(make(2, 4), (4,), None, 1e-3),
    ],
    errors=lambda: [Sample(np.ones((2, 4), np.float32), (5,), error=(RuntimeError, "expected input with shape [*5]"))],
)
def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Returns x / sqrt(mean(x^2) + eps) * weight over the last dimensions; eps defaults to that of the dtype.

    Source: Zhang and Sennrich 2019, equation 4.
    """
    if not isinstance(input, Tensor):
        raise argument_error("rms_norm", "input", "Tensor", input, 1)
    features = _check_features("rms_norm", input, normalized_shape, (("weight", weight),), "")
    check_float("rms_norm", "rms_norm", input)
    if eps is None:
        eps = float(np.finfo(np.float64 if input._kind.dtype is dt.float64 else np.float32).eps)
    return RMS_NORM(input, weight if weight is None else convert(weight, input._kind.dtype), len(features), eps)


def _group_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 6, 4), 3, make(6), make(6))
    yield Sample(make(2, 6, 4, 3), 2)
    yield Sample(make(2, 6), 2, make(6), None, 1e-3)


def _group_errors() -> Iterable[Sample]:
    x = np.ones((2, 6, 4), np.float32)
    yield Sample(
        x, 4, error=(RuntimeError, "Expected number of channels in input to be divisible by num_groups, but got input")
    )
    yield Sample(
        x, 3, np.ones(3, np.float32), error=(RuntimeError, "Expected weight to be a vector of size equal to the number")
    )


@declare(op=GROUP_NORM, samples=_group_samples, errors=_group_errors, method=False)
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:
    """Returns (N, C, ...) normalized over groups of channels and their space, then scaled and shifted per channel.

    Source: Wu and He 2018, equation 7.
    """
    if not isinstance(input, Tensor):
        raise argument_error("group_norm", "input", "Tensor", input, 1)
    size = shape_of(input)
    if len(size) < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {len(size)}")
    if size[1] % num_groups:
        raise RuntimeError(
            f"Expected number of channels in input to be divisible by num_groups, but got input of shape {list(size)} and "
            f"num_groups={num_groups}"
        )
    for name, x in (("weight", weight), ("bias", bias)):
        if x is not None and shape_of(x) != (size[1],):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of shape "
                f"{list(shape_of(x))} and input of shape {list(size)}"
            )
    if math.prod(size[2:]) * size[0] * size[1] == num_groups:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(size)}")
    check_float("GroupNormKernelImpl", "group_norm", input)
    x = in_common_dtype(input, weight, bias)
    return convert(GROUP_NORM(x, weight, bias, num_groups, eps), input._kind.dtype)


def _local_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 5, 4), 3)
    yield Sample(make(2, 5, 4, 3), 2, 0.1, 0.6, 2.0)
    yield Sample(make(2, 5, 2, 3, 2), 4)


def _local_errors() -> Iterable[Sample]:
    yield Sample(np.ones((2, 5), np.float32), 3, error=(ValueError, "Expected 3D or higher dimensionality"))


@declare_functional(samples=_local_samples, errors=_local_errors, differentiable=True)
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Returns x / (k + alpha * mean(x^2 of `size` neighbouring channels))^beta. Source: Krizhevsky et al. 2012, 3.3."""
    shape = shape_of(input)
    if len(shape) < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality                          input (got {len(shape)} dimensions)"
        )
    if 0 in shape:
        return input
    squares = (input * input).unsqueeze(1)
    if len(shape) == 3:
        means = avg_pool2d(constant_pad(squares, (0, 0, size // 2, (size - 1) // 2), 0), (size, 1), stride=1).squeeze(1)
    else:
        merged = (shape[0], 1, shape[1], shape[2], math.prod(shape[3:]))
        # The squares lie in memory as the input does, on engines that keep no strides too.
        check_view(shape, dense_strides(shape, strides_of(input)), merged)
        volume = squares.reshape(merged)
        padded = constant_pad(volume, (0, 0, 0, 0, size // 2, (size - 1) // 2), 0)
        means = avg_pool3d(padded, (size, 1, 1), stride=1).squeeze(1).reshape(shape)
    return input / (means * alpha + k).pow(beta)


@declare_functional(
    differentiable=True,
    samples=lambda make: [
        Sample(make(2, 3)),
        Sample(make(2, 3, 4), 2, 2),
        Sample(make(2, 3), 1.0, 0),
        Sample(make(2, 3), 3.0),
    ],
)
def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """Returns x / max(||x||_p, eps) with norms along `dim`."""
    result = input / input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)
    return result if out is None else write_out(out, result, "normalize")
