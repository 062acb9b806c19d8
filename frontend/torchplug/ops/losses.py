"""Losses that compare two tensors elementwise: squares, absolute differences, divergences and likelihoods."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare_functional
from torchplug._core.elementwise import argument_error, broadcast_shapes, convert
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.promotion import promote_types
from torchplug._core.tensor import Tensor, shape_of

__all__ = ["gaussian_nll_loss", "huber_loss", "kl_div", "l1_loss", "mse_loss", "poisson_nll_loss", "smooth_l1_loss"]


# ---- reductions ------------------------------------------------------------------------------------------------------


def check_reduction(reduction: str) -> None:
    """Raises PyTorch's error for an unknown reduction."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """Returns the reduction two old arguments stand for, with PyTorch's warning; `reduction` where both are None."""
    if size_average is None and reduce is None:
        return reduction
    size_average = True if size_average is None else size_average
    reduce = True if reduce is None else reduce
    meant = "none" if not reduce else "mean" if size_average else "sum"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{meant}' instead.", stacklevel=3
    )
    return meant


def reduce_loss(loss: Tensor, reduction: str) -> Tensor:
    """Returns a tensor of losses as it is, its mean or its sum."""
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def reduced_loss(F: Any, loss: Any, reduction: str) -> Any:
    if reduction == "none":
        return loss
    total = F.sum(loss, None, False)
    return total if reduction == "sum" else F.divide(total, float(math.prod(loss.shape)))


def spread_gradient(F: Any, g: Any, slope: Any, reduction: str) -> Any:
    """Returns the gradient of a reduced loss times its elementwise slope."""
    if reduction == "mean":
        g = F.divide(g, float(math.prod(slope.shape)))
    return F.multiply(slope, g)


# ---- losses of a difference ------------------------------------------------------------------------------------------


def _both(F: Any, grad: Any, needs: tuple[bool, ...]) -> tuple[Any, Any]:
    """Returns the gradients of input and target of a loss of their difference."""
    return grad if needs[0] else None, F.negative(grad) if needs[1] else None


def _mse_loss(F: Any, x: Any, y: Any, reduction: str) -> Any:
    gap = F.subtract(x, y)
    return reduced_loss(F, F.multiply(gap, gap), reduction)


def _mse_loss_backward(F: Any, g: Any, x: Any, y: Any, reduction: str) -> Any:
    return spread_gradient(F, g, F.multiply(F.subtract(x, y), 2.0), reduction)


def _smooth_l1_loss(F: Any, x: Any, y: Any, beta: float, reduction: str) -> Any:
    size = F.abs(F.subtract(x, y))
    curved = F.divide(F.multiply(F.multiply(size, size), 0.5), beta)
    return reduced_loss(F, F.where(F.less(size, beta), curved, F.subtract(size, 0.5 * beta)), reduction)


def _smooth_l1_loss_backward(F: Any, g: Any, x: Any, y: Any, beta: float, reduction: str) -> Any:
    return spread_gradient(F, g, _limited(F, F.divide(F.subtract(x, y), beta), 1.0), reduction)


def _limited(F: Any, x: Any, bound: float) -> Any:
    return F.minimum(F.maximum(x, -bound), bound)


def _huber_loss(F: Any, x: Any, y: Any, delta: float, reduction: str) -> Any:
    size = F.abs(F.subtract(x, y))
    linear = F.multiply(F.subtract(size, 0.5 * delta), delta)
    return reduced_loss(
        F, F.where(F.less_equal(size, delta), F.multiply(F.multiply(size, size), 0.5), linear), reduction
    )


def _huber_loss_backward(F: Any, g: Any, x: Any, y: Any, delta: float, reduction: str) -> Any:
    return spread_gradient(F, g, _limited(F, F.subtract(x, y), delta), reduction)


PAIR = ("input", "target")
_BACK = ("g", "input", "target")
Op("mse_loss_backward", (*_BACK, "reduction"), tensors=_BACK, forward=_mse_loss_backward)
Op("smooth_l1_loss_backward", (*_BACK, "beta", "reduction"), tensors=_BACK, forward=_smooth_l1_loss_backward)
Op("huber_loss_backward", (*_BACK, "delta", "reduction"), tensors=_BACK, forward=_huber_loss_backward)
MSE = Op(
    "mse_loss", (*PAIR, "reduction"), tensors=PAIR, forward=_mse_loss,
    joint=lambda F, g, input, target, reduction, needs: _both(F, F.mse_loss_backward(g, input, target, reduction), needs),
)  # fmt: skip
SMOOTH_L1 = Op(
    "smooth_l1_loss", (*PAIR, "beta", "reduction"), tensors=PAIR, forward=_smooth_l1_loss,
    joint=lambda F, g, input, target, beta, reduction, needs: _both(
        F, F.smooth_l1_loss_backward(g, input, target, beta, reduction), needs),
)  # fmt: skip
HUBER = Op(
    "huber_loss", (*PAIR, "delta", "reduction"), tensors=PAIR, forward=_huber_loss,
    joint=lambda F, g, input, target, delta, reduction, needs: _both(
        F, F.huber_loss_backward(g, input, target, delta, reduction), needs),
)  # fmt: skip


# ---- public functions ------------------------------------------------------------------------------------------------


def _pair_samples(make: Any) -> Iterable[Sample]:
    for reduction in ("mean", "sum", "none"):
        yield Sample(make(3, 4), make(3, 4), reduction=reduction)
    yield Sample(make(), make())


def pair_errors() -> Iterable[Sample]:
    import numpy as np

    yield Sample(
        np.ones((4, 6)), np.ones((4, 6)), reduction="all", error=(ValueError, "all is not a valid value for reduction")
    )
    yield Sample(np.ones((4, 6)), np.ones((4, 5)), error=(RuntimeError, "must match the size of tensor b (5)"))


def matched(name: str, input: Any, target: Any, promote: bool = True) -> tuple[Tensor, Tensor]:
    """Returns two tensors broadcast to one shape and dtype; PyTorch's warning where their sizes differ."""
    for argument, x in (("input", input), ("target", target)):
        if not isinstance(x, Tensor):
            raise argument_error(name, argument, "Tensor", x)
    size, other = shape_of(input), shape_of(target)
    if size != other:
        warnings.warn(
            f"Using a target size (torch.Size({list(other)})) that is different to the input size (torch.Size({list(size)})). This "
            "will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=4,
        )
        shape = broadcast_shapes(size, other)
        input, target = TENSOR_SPACE.broadcast_to(input, shape), TENSOR_SPACE.broadcast_to(target, shape)
    if promote and input._kind is not target._kind:
        common = promote_types(input._kind.dtype, target._kind.dtype)
        input, target = convert(input, common), convert(target, common)
    return input, target


def _compared(
    op: Op,
    kernel: str,
    input: Any,
    target: Any,
    legacy: tuple[bool | None, bool | None],
    reduction: str,
    *attributes: Any,
) -> Tensor:
    reduction = legacy_reduction(*legacy, reduction)
    input, target = matched(op.name, input, target)
    check_reduction(reduction)
    if not input._kind.dtype.is_floating_point:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_type_name(input._kind.dtype)}'")
    return op(input, target, *attributes, reduction)


@declare_functional(op=MSE, samples=_pair_samples, errors=pair_errors)
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Returns the squares of input - target, reduced ("mean", "sum" or "none"); weighted squares if `weight` is given."""
    if CASTING and (cast := casting("nn.functional.mse_loss")) is not None:
        return cast(mse_loss, input, target, size_average, reduce, reduction, weight)
    if weight is None:
        return _compared(MSE, "mse_cpu", input, target, (size_average, reduce), reduction)
    reduction = legacy_reduction(size_average, reduce, reduction)
    input, target = matched("mse_loss", input, target)
    if shape_of(weight) != shape_of(input):
        raise ValueError("Weights and input must have the same size.")
    weighted = MSE(input, target, "none") * weight
    return weighted.sum() / weight.sum() if reduction == "mean" else reduce_loss(weighted, reduction)


@declare_functional(op=SMOOTH_L1, samples=_pair_samples, errors=pair_errors)
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Returns d^2 / (2 beta) where d = |input - target| < beta, else d - beta / 2, reduced. Source: Girshick 2015, eq. 3."""
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return l1_loss(input, target, size_average, reduce, reduction)
    return _compared(SMOOTH_L1, "smooth_l1_cpu", input, target, (size_average, reduce), reduction, float(beta))


@declare_functional(op=HUBER, samples=_pair_samples, errors=pair_errors)
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Returns d^2 / 2 where d = |input - target| <= delta, else delta (d - delta / 2), reduced. Source: Huber 1964."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    if weight is None:
        return _compared(HUBER, "huber_cpu", input, target, (None, None), reduction, float(delta))
    losses = _compared(HUBER, "huber_cpu", input, target, (None, None), "none", float(delta)) * weight
    return losses.sum() / weight.sum() if reduction == "mean" else reduce_loss(losses, reduction)


@declare_functional(samples=_pair_samples, errors=pair_errors, differentiable=True)
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Returns |input - target|, reduced; weighted if `weight` is given."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    input, target = matched("l1_loss", input, target, promote=False)
    check_reduction(reduction)
    losses = (input - target).abs()
    if weight is None:
        return reduce_loss(losses, reduction)
    losses = losses * weight
    return losses.sum() / weight.sum() if reduction == "mean" else reduce_loss(losses, reduction)


def logit_samples(make: Any) -> Iterable[Sample]:
    for reduction in ("mean", "sum", "none"):
        yield Sample(make(3, 4), abs(make(3, 4)), reduction=reduction)


@declare_functional(samples=logit_samples, differentiable=True)
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Returns y (log y - x) for log-probabilities x, reduced; "batchmean" divides the sum by the batch size."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    losses = target.exp() * (target - input) if log_target else target.xlogy(target) - target * input
    if reduction == "batchmean":
        return losses.sum() / (shape_of(input)[0] if shape_of(input) else 1)
    check_reduction(reduction)
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size.'batchmean' divides only by the "
            "batch size, and aligns with the KL div math definition.'mean' will be changed to behave the same as 'batchmean' in "
            "the next major release.",
            stacklevel=2,
        )
    return reduce_loss(losses, reduction)


@declare_functional(samples=logit_samples, differentiable=True)
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns exp(x) - y x (or x - y log(x + eps)), with Stirling's term for y > 1 if `full`, reduced."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    check_reduction(reduction)
    losses = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        losses = losses + stirling.masked_fill(target <= 1, 0)
    return reduce_loss(losses, reduction)


def _variance_samples(make: Any) -> Iterable[Sample]:
    for reduction in ("mean", "none"):
        yield Sample(make(3, 4), make(3, 4), abs(make(3, 4)) + 0.1, reduction=reduction)
    yield Sample(make(3, 4), make(3, 4), abs(make(3)) + 0.1, full=True)
    yield Sample(make(3, 4), make(3, 4), abs(make(3, 1)) + 0.1)


def _variance_errors() -> Iterable[Sample]:
    import numpy as np

    x = np.ones((4, 6), np.float32)
    yield Sample(x, x, np.ones(5, np.float32), error=(ValueError, "var is of incorrect size"))
    yield Sample(x, x, -x, error=(ValueError, "var has negative entry/entries"))


@declare_functional(samples=_variance_samples, errors=_variance_errors, differentiable=True)
def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """Returns (log v + (x - y)^2 / v) / 2 with variance v at least eps (whose gradient ignores the bound), reduced."""
    size = shape_of(input)
    if not isinstance(var, Tensor):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = input.new_full(size, var)
    if shape_of(var) != size:
        if size[:-1] == shape_of(var):
            var = var.unsqueeze(-1)
        elif not (size[:-1] == shape_of(var)[:-1] and shape_of(var)[-1] == 1):
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    if bool((var < 0).any()):
        raise ValueError("var has negative entry/entries")
    bounded = var + (var.detach().clamp(min=eps) - var.detach())
    losses = 0.5 * (bounded.log() + (input - target) ** 2 / bounded)
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduce_loss(losses, reduction)
