"""Normalization over the batch and over instances, and what the other normalizations share with it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare_functional
from torchplug._core.elementwise import argument_error, convert
from torchplug._core.kernels import composition
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, array_of, shape_of, write
from torchplug_spec import dtypes as dt

__all__ = ["batch_norm", "instance_norm"]

Shape = tuple[int, ...]
Needs = tuple[bool, ...]


# ---- what all of them do ---------------------------------------------------------------------------------------------


def moments(F: Any, x: Any, axes: Shape) -> tuple[Any, Any, Any]:
    """Returns x minus its mean, the mean and the variance over `axes`, which are kept with length 1."""
    count = float(math.prod(x.shape[axis] for axis in axes))
    mean = F.divide(F.sum(x, axes, True), count)
    centered = F.subtract(x, mean)
    return centered, mean, F.divide(F.sum(F.multiply(centered, centered), axes, True), count)


def inverse_root(F: Any, variance: Any, eps: float) -> Any:
    """Returns 1 / sqrt(variance + eps)."""
    return F.divide(1, F.sqrt(F.add(variance, eps)))


def affine(F: Any, x: Any, weight: Any, bias: Any, shape: Shape) -> Any:
    """Returns x * weight + bias with both laid out as `shape`; either may be absent."""
    if weight is not None:
        x = F.multiply(x, F.reshape(weight, shape))
    return x if bias is None else F.add(x, F.reshape(bias, shape))


def normal_backward(F: Any, g: Any, normal: Any, scale: Any, axes: Shape) -> Any:
    """Returns the gradient through (x - mean) * scale, given the normalized values: g freed of its mean and of its
    share along them."""
    count = float(math.prod(normal.shape[axis] for axis in axes))
    mean = F.divide(F.sum(g, axes, True), count)
    share = F.divide(F.sum(F.multiply(g, normal), axes, True), count)
    return F.multiply(F.subtract(F.subtract(g, mean), F.multiply(normal, share)), scale)


# ---- batch -----------------------------------------------------------------------------------------------------------


def channel_shape(x: Any) -> Shape:
    """Returns the shape that lays one value per channel beside x."""
    return (1, x.shape[1], *(1 for _ in x.shape[2:]))


def batch_axes(x: Any) -> Shape:
    """Returns every dimension but that of the channels."""
    return (0, *range(2, len(x.shape)))


def _batch_norm(F: Any, x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, ...]:
    centered, mean, variance = moments(F, x, batch_axes(x))
    out = affine(F, F.multiply(centered, inverse_root(F, variance, eps)), weight, bias, channel_shape(x))
    channels = (x.shape[1],)
    mean, variance = F.reshape(mean, channels), F.reshape(variance, channels)
    return out, mean, variance, mean, variance


@composition
def batch_norm_backward(
    F: Any, g: Any, x: Any, weight: Any, mean: Any, variance: Any, eps: float, needs: Needs
) -> tuple:
    """Returns the gradients of input, weight and bias (None where not needed)."""
    shape, axes = channel_shape(x), batch_axes(x)
    scale = inverse_root(F, F.reshape(variance, shape), eps)
    normal = F.multiply(F.subtract(x, F.reshape(mean, shape)), scale)
    inner = g if weight is None else F.multiply(g, F.reshape(weight, shape))
    return (
        normal_backward(F, inner, normal, scale, axes) if needs[0] else None,
        F.sum(F.multiply(g, normal), axes, False) if needs[1] else None,
        F.sum(g, axes, False) if needs[2] else None,
    )


_PARAMETERS = ("input", "weight", "bias")
BATCH_NORM = Op(
    "batch_norm", (*_PARAMETERS, "eps"), tensors=_PARAMETERS, forward=_batch_norm, outputs=3, differentiable_outputs=1,
    residuals=("mean", "variance"), fused_rule=True, node="NativeBatchNormBackward0",
    joint=lambda F, g, input, weight, mean, variance, eps, needs: F.batch_norm_backward(g, input, weight, mean, variance, eps, needs),
)  # fmt: skip


def _batch_norm_eval(F: Any, x: Any, mean: Any, variance: Any, weight: Any, bias: Any, eps: float) -> Any:
    shape = channel_shape(x)
    scale = inverse_root(F, variance, eps)
    # One multiplication and one addition per element: the parameters are folded together first.
    scale = scale if weight is None else F.multiply(scale, weight)
    shift = F.negative(F.multiply(mean, scale))
    shift = shift if bias is None else F.add(shift, bias)
    return F.add(F.multiply(x, F.reshape(scale, shape)), F.reshape(shift, shape))


def _eval_back_input(F: Any, g: Any, variance: Any, weight: Any, eps: float) -> Any:
    scale = inverse_root(F, variance, eps)
    scale = scale if weight is None else F.multiply(scale, weight)
    return F.multiply(g, F.reshape(scale, channel_shape(g)))


def _eval_back_weight(F: Any, g: Any, input: Any, mean: Any, variance: Any, eps: float) -> Any:
    shape = channel_shape(g)
    normal = F.multiply(F.subtract(input, F.reshape(mean, shape)), F.reshape(inverse_root(F, variance, eps), shape))
    return F.sum(F.multiply(g, normal), batch_axes(g), False)


_EVALUATED = ("input", "mean", "variance", "weight", "bias")
BATCH_NORM_EVAL = Op(
    "batch_norm_eval", (*_EVALUATED, "eps"), tensors=("input", "weight", "bias"), forward=_batch_norm_eval,
    node="NativeBatchNormBackward0", rules={
        "input": _eval_back_input, "weight": _eval_back_weight, "bias": lambda F, g: F.sum(g, batch_axes(g), False),
    },
)  # fmt: skip


# ---- checks ----------------------------------------------------------------------------------------------------------


def check_float(kernel: str, name: str, input: Any) -> None:
    """Raises PyTorch's errors for an input that is no tensor of floats."""
    if not isinstance(input, Tensor):
        raise argument_error(name, "input", "Tensor", input, 1)
    if not input._kind.dtype.is_floating_point:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_type_name(input._kind.dtype)}'")


def in_common_dtype(input: Tensor, *others: Tensor | None) -> Tensor:
    """Returns the input in the dtype of its parameters: half precision goes with float32 parameters, nothing else does.

    The first parameter says whether types are mixed; the errors for the others are PyTorch's.
    """
    dtype = input._kind.dtype
    found = [other._kind.dtype for other in others if other is not None]
    if not found or found[0] is dtype:
        for other in found:
            if other is not dtype:
                raise RuntimeError(
                    f"expected scalar type {scalar_type_name(dtype)} but found {scalar_type_name(other)}"
                )
        return input
    if any(other is not dt.float32 for other in found):
        raise RuntimeError("mixed dtype (CPU): expect parameter to have scalar type of Float")
    if dtype not in (dt.float16, dt.bfloat16):
        raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype.")
    return convert(input, dt.float32)


# ---- public functions: batch and instances ---------------------------------------------------------------------------


def _running(running: Tensor, batch: Any, momentum: float) -> None:
    """Moves a running statistic towards that of the batch, in place."""
    F = running._kind.F
    batch = F.astype(batch, running._kind.dtype)
    write(running, F.add(F.multiply(array_of(running), 1 - momentum), F.multiply(batch, momentum)))


def normalize_batch(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """Returns the batch norm of checked arguments; while training, moves the running statistics in place."""
    x = in_common_dtype(input, weight, bias, running_mean, running_var)
    if not training:
        out = BATCH_NORM_EVAL(x, running_mean, running_var, weight, bias, eps)
    else:
        out, mean, variance = BATCH_NORM(x, weight, bias, eps)
        if running_mean is not None:
            _running(running_mean, mean._array, momentum)
        if running_var is not None:
            count = math.prod(shape_of(x)) // max(shape_of(x)[1], 1)
            F = x._kind.F
            unbiased = F.multiply(variance._array, count / (count - 1)) if count > 1 else variance._array
            _running(running_var, unbiased, momentum)
    return convert(out, input._kind.dtype)


def _check_batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any, use_batch: bool, eps: float
) -> None:
    if use_batch and eps <= 0:
        raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    size = shape_of(input)
    channels = size[1] if len(size) > 1 else 0
    for name, x in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
        if x is None:
            if not use_batch and name.startswith("running"):
                raise RuntimeError(f"{name} must be defined in evaluation mode")
            continue
        if math.prod(shape_of(x)) != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {math.prod(shape_of(x))}")
        if name.startswith("running") and x._node is not None:
            raise RuntimeError(
                f"The function 'native_batch_norm' is not differentiable with respect to argument '{name}'. This input cannot have "
                "requires_grad True."
            )


def check_batch_size(size: Shape) -> None:
    """Raises PyTorch's error for a batch whose statistics would be those of single values."""
    if math.prod(size) == (size[1] if len(size) > 1 else 0) and math.prod(size[:1] + size[2:]) == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size torch.Size({list(size)})"
        )


def _batch_samples(make: Any) -> Iterable[Sample]:
    def parameters() -> tuple[Any, Any]:
        return make(3), make(3)

    yield Sample(make(4, 3, 2, 2), make(3), abs(make(3)) + 0.5, *parameters(), training=False)
    yield Sample(make(4, 3, 2, 2), None, None, *parameters(), training=True)
    yield Sample(make(5, 3, 1), None, None, training=True)
    yield Sample(make(4, 3, 5), None, None, make(3), None, True, 0.2, 1e-3)


def _batch_errors() -> Iterable[Sample]:
    ones = np.ones(3, np.float32)
    x = np.ones((4, 3), np.float32)
    yield Sample(
        x[:1], ones, ones, training=True, error=(ValueError, "Expected more than 1 value per channel when training")
    )
    yield Sample(x, np.ones(4, np.float32), ones, error=(RuntimeError, "running_mean should contain 3 elements not 4"))
    yield Sample(x, None, None, error=(RuntimeError, "running_mean must be defined in evaluation mode"))
    yield Sample(
        x.astype(np.int64), ones, ones, error=(NotImplementedError, "\"batch_norm\" not implemented for 'Long'")
    )
    yield Sample(x.astype(np.float64), ones, ones, ones, ones, error=(RuntimeError, "mixed dtype (CPU)"))
    half, halves = x.astype(dt.bfloat16.numpy), ones.astype(dt.bfloat16.numpy)
    yield Sample(
        half, halves, ones, halves, halves, error=(RuntimeError, "expected scalar type BFloat16 but found Float")
    )
    yield Sample(half, ones, halves, ones, ones, error=(RuntimeError, "expect parameter to have scalar type of Float"))


@declare_functional(op=BATCH_NORM, samples=_batch_samples, errors=_batch_errors)
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Returns (x - mean) / sqrt(variance + eps) * weight + bias per channel (dimension 1).

    Mean and biased variance are those of the batch while training, which also moves the running statistics in place
    (with the unbiased variance): running = (1 - momentum) running + momentum batch. Else they are the running statistics.
    Source: Ioffe and Szegedy 2015, algorithms 1 and 2.
    """
    if not isinstance(input, Tensor):
        raise argument_error("batch_norm", "input", "Tensor", input, 1)
    if training:
        check_batch_size(shape_of(input))
    _check_batch_norm(input, running_mean, running_var, weight, bias, training, eps)
    check_float("batch_norm", "batch_norm", input)
    return normalize_batch(input, running_mean, running_var, weight, bias, training, momentum, eps)


def _instance_statistics(
    input: Tensor, mean: Tensor | None, variance: Tensor | None, parameter: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Returns the running statistics in the types in which half precision takes them: PyTorch compares the variance's with
    the parameters', and only where it is not the mean's too."""
    if mean is None or variance is None or input._kind.dtype not in (dt.float16, dt.bfloat16):
        return mean, variance
    dtype = variance._kind.dtype
    if mean._kind.dtype is dtype and parameter is not None:
        dtype = parameter._kind.dtype
        variance = convert(variance, dtype)
    return convert(mean, dtype), variance


def _instance_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3, 4))
    yield Sample(make(2, 3, 4, 5), None, None, make(3), make(3))
    yield Sample(make(2, 3, 4), make(3), abs(make(3)) + 0.5, make(3), make(3), False)


def _instance_errors() -> Iterable[Sample]:
    x = np.ones((2, 3), np.float32)
    yield Sample(
        x, error=(ValueError, "Expected more than 1 spatial element when training, got input size torch.Size([2, 3])")
    )
    yield Sample(
        np.ones((2, 3, 4)),
        None,
        None,
        use_input_stats=False,
        error=(RuntimeError, "Expected running_mean and running_var to be defined when use_input_stats is false"),
    )


@declare_functional(op=BATCH_NORM, samples=_instance_samples, errors=_instance_errors)
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Returns batch norm with statistics of each instance's channels alone (of the running ones if not `use_input_stats`).

    Running statistics move towards the means over the batch, in place. Source: Ulyanov et al. 2016, equation 4.
    """
    if not isinstance(input, Tensor):
        raise argument_error("instance_norm", "input", "Tensor", input, 1)
    size = shape_of(input)
    if use_input_stats and math.prod(size[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size torch.Size({list(size)})")
    if not use_input_stats and (running_mean is None or running_var is None):
        raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
    count, channels = size[:2]
    for name, running in (("running_mean", running_mean), ("running_var", running_var)):
        if running is not None and math.prod(shape_of(running)) != channels:
            raise RuntimeError(
                f"{name} should contain {count * channels} elements not {count * math.prod(shape_of(running))}"
            )
    F = TENSOR_SPACE

    def repeated(x: Tensor | None) -> Tensor | None:
        return (
            None
            if x is None
            else F.reshape(F.broadcast_to(F.reshape(x, (1, channels)), (count, channels)), (count * channels,))
        )

    means, variances = _instance_statistics(input, running_mean, running_var, weight if weight is not None else bias)
    means, variances = repeated(means), repeated(variances)
    merged = F.reshape(input, (1, count * channels, *size[2:]))
    out = normalize_batch(merged, means, variances, repeated(weight), repeated(bias), use_input_stats, momentum, eps)
    if use_input_stats:
        for running, moved in ((running_mean, means), (running_var, variances)):
            if running is not None and moved is not None:
                raw = moved._kind.F
                mean = raw.divide(raw.sum(raw.reshape(array_of(moved), (count, channels)), (0,), False), float(count))
                write(running, raw.astype(mean, running._kind.dtype))
    return F.reshape(out, size)
