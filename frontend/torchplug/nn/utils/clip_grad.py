"""Limiting gradients: by their total norm, or each value."""

from __future__ import annotations

import math
import types
import warnings
from collections.abc import Iterable
from typing import Any

from torchplug._core.tensor import Tensor
from torchplug.autograd.grad_mode import no_grad
from torchplug.ops.from_data import tensor
from torchplug.ops.joining import stack
from torchplug_spec import dtypes as dt

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]

Tensors = Tensor | Iterable[Tensor]


def _gradients(parameters: Tensors) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    elif isinstance(parameters, types.GeneratorType):
        parameters = list(parameters)
        if not parameters:
            warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=4)
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _power_sum(x: Tensor, p: float) -> Tensor:
    """Returns Σ|x|ᵖ, or what takes its place in norms of order ∞, -∞ and 0.

    Half types are summed in single precision.
    """
    if x.dtype in (dt.float16, dt.bfloat16):
        x = x.float()
    flat = x.flatten()
    if p == 2:
        return flat.dot(flat) if not x.is_complex() else flat.abs().square().sum()
    size = flat.abs()
    if p == math.inf:
        return size.max()
    if p == -math.inf:
        return size.min()
    if p == 0:
        return (flat != 0).sum().to(size.dtype)
    return size.sum() if p == 1 else size.pow(p).sum()


def _combined(parts: Tensor, p: float) -> Tensor:
    """Returns the norm of order p of all the values that `parts` (1-D, from `_power_sum`) were made of."""
    if p == math.inf:
        return parts.max()
    if p == -math.inf:
        return parts.min()
    if p == 0:
        # The norm of norms: how many tensors have a nonzero value.
        return (parts != 0).sum().to(parts.dtype)
    total = parts.sum()
    return total.sqrt() if p == 2 else total if p == 1 else total.pow(1.0 / p)


def _beside(x: Tensor, other: Tensor) -> Tensor:
    """Returns a tensor on the device of another."""
    mine, theirs = x._kind, other._kind
    same = mine.engine is theirs.engine and mine.native_device == theirs.native_device
    return x if same else x.to(other.device)


def get_total_norm(
    tensors: Tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """Returns the norm of all values of the tensors, as if they were one vector; a 0-d tensor.

    Raises RuntimeError if it is not finite and error_if_nonfinite is set. `foreach` changes nothing.
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    p = float(norm_type)
    if not tensors:
        return tensor(0.0)
    first = tensors[0]
    with no_grad():
        parts = [_beside(_power_sum(x, p), first) for x in tensors]
        total = _combined(stack(parts) if len(parts) > 1 else parts[0].reshape(1), p)
        if total.dtype is not first.dtype and not first.is_complex() and all(x.dtype is first.dtype for x in tensors):
            # Half types were summed in single precision.
            total = total.to(first.dtype)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {p} for gradients from `parameters` is non-finite, so it cannot be clipped. To "
            "disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scales the gradients by max_norm / (total_norm + 1e-6), in place, if that is below 1."""
    gradients = _gradients(parameters)
    with no_grad():
        # Multiplied always: reading the norm to decide would wait for the device, and stop a trace.
        scale = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(_beside(scale, gradient))


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales the gradients, in place, so that their total norm is at most max_norm; returns the norm they had."""
    if not isinstance(parameters, Tensor):
        is_generator = isinstance(parameters, types.GeneratorType)
        parameters = list(parameters)
        if is_generator and not parameters:
            warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=2)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_norm(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The former name of clip_grad_norm_; warns."""
    warnings.warn(
        "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of `torch.nn.utils.clip_grad_norm_`.",
        FutureWarning, stacklevel=2,
    )  # fmt: skip
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite)


def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Limits every value of the gradients to [-clip_value, clip_value], in place."""
    bound: Any = float(clip_value)
    with no_grad():
        for gradient in _gradients(parameters):
            gradient.clamp_(min=-bound, max=bound)
