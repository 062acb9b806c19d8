"""Losses of probabilities of two classes: binary cross entropy of probabilities and of logits, soft margins."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torchplug._core.declare import Sample, declare_functional
from torchplug._core.elementwise import argument_error, broadcast_shapes, convert
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.promotion import promote_types
from torchplug._core.tensor import Tensor, array_of, shape_of
from torchplug.ops.losses import (
    PAIR,
    check_reduction,
    legacy_reduction,
    logit_samples,
    pair_errors,
    reduced_loss,
    spread_gradient,
)

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits", "soft_margin_loss"]


def _log_at_least(F: Any, x: Any) -> Any:
    return F.maximum(F.log(x), -100.0)


def _weighted(F: Any, loss: Any, weight: Any) -> Any:
    return loss if weight is None else F.multiply(loss, weight)


def _bce(F: Any, x: Any, y: Any, weight: Any, reduction: str) -> Any:
    # Logarithms are cut at -100, so that a wrong certainty costs much but not infinitely much.
    hit, miss = F.multiply(y, _log_at_least(F, x)), F.multiply(F.subtract(1, y), _log_at_least(F, F.subtract(1, x)))
    return reduced_loss(F, _weighted(F, F.negative(F.add(hit, miss)), weight), reduction)


def _bce_backward(F: Any, g: Any, x: Any, y: Any, weight: Any, reduction: str) -> Any:
    spread = F.maximum(F.multiply(F.subtract(1, x), x), 1e-12)
    return spread_gradient(F, g, _weighted(F, F.divide(F.subtract(x, y), spread), weight), reduction)


def _bce_target_backward(F: Any, g: Any, x: Any, weight: Any, reduction: str) -> Any:
    slope = F.subtract(_log_at_least(F, F.subtract(1, x)), _log_at_least(F, x))
    return spread_gradient(F, g, _weighted(F, slope, weight), reduction)


def _bce_rule(F: Any, g: Any, input: Any, target: Any, weight: Any, reduction: str, needs: tuple[bool, ...]) -> tuple:
    return (
        F.binary_cross_entropy_backward(g, input, target, weight, reduction) if needs[0] else None,
        _bce_target_backward(F, g, input, weight, reduction) if needs[1] else None,
        None,
    )


def _bce_logits(F: Any, x: Any, y: Any, weight: Any, pos_weight: Any, reduction: str) -> Any:
    rest = F.multiply(F.subtract(1, y), x)
    log_part = F.negative(F.log_sigmoid(x))
    if pos_weight is not None:
        log_part = F.multiply(log_part, F.add(F.multiply(F.subtract(pos_weight, 1), y), 1))
    return reduced_loss(F, _weighted(F, F.add(rest, log_part), weight), reduction)


def _bce_logits_backward(F: Any, g: Any, x: Any, y: Any, weight: Any, pos_weight: Any, reduction: str) -> Any:
    if pos_weight is None:
        slope = F.subtract(F.sigmoid(x), y)
    else:
        hits = F.multiply(pos_weight, y)
        slope = F.subtract(F.multiply(F.subtract(F.add(hits, 1), y), F.sigmoid(x)), hits)
    return spread_gradient(F, g, _weighted(F, slope, weight), reduction)


def _bce_logits_target_backward(F: Any, g: Any, x: Any, weight: Any, pos_weight: Any, reduction: str) -> Any:
    slope = F.negative(x)
    if pos_weight is not None:
        slope = F.subtract(slope, F.multiply(F.subtract(pos_weight, 1), F.log_sigmoid(x)))
    return spread_gradient(F, g, _weighted(F, slope, weight), reduction)


def _bce_logits_rule(
    F: Any, g: Any, input: Any, target: Any, weight: Any, pos_weight: Any, reduction: str, needs: tuple[bool, ...]
) -> tuple:
    return (
        F.binary_cross_entropy_with_logits_backward(g, input, target, weight, pos_weight, reduction)
        if needs[0]
        else None,
        _bce_logits_target_backward(F, g, input, weight, pos_weight, reduction) if needs[1] else None,
        None,
        None,
    )


_WEIGHTED = (*PAIR, "weight")


_LOGITS = (*_WEIGHTED, "pos_weight")


Op("binary_cross_entropy_backward", ("g", *_WEIGHTED, "reduction"), tensors=("g", *_WEIGHTED), forward=_bce_backward)


Op(
    "binary_cross_entropy_with_logits_backward",
    ("g", *_LOGITS, "reduction"),
    tensors=("g", *_LOGITS),
    forward=_bce_logits_backward,
)


BCE = Op("binary_cross_entropy", (*_WEIGHTED, "reduction"), tensors=_WEIGHTED, forward=_bce, joint=_bce_rule)


BCE_LOGITS = Op(
    "binary_cross_entropy_with_logits",
    (*_LOGITS, "reduction"),
    tensors=_LOGITS,
    forward=_bce_logits,
    joint=_bce_logits_rule,
)


def _probability_samples(make: Any) -> Iterable[Sample]:
    def chances(*shape: int) -> Any:
        return 1 / (1 + abs(make(*shape)))

    for reduction in ("mean", "sum", "none"):
        yield Sample(chances(3, 4) * 0.9, chances(3, 4), reduction=reduction)


def _bce_errors() -> Iterable[Sample]:
    import numpy as np

    half = np.full((4, 6), 0.5, np.float32)
    yield Sample(half * 3, half, error=(RuntimeError, "all elements of input should be between 0 and 1"))
    yield Sample(half, half[:, :5], error=(ValueError, "Using a target size (torch.Size([4, 5])) that is different"))
    yield Sample(half, half.astype(np.float64), error=(RuntimeError, "Found dtype Double but expected Float"))


@declare_functional(op=BCE, samples=_probability_samples, errors=_bce_errors)
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns -(y log x + (1 - y) log(1 - x)) for probabilities x, logarithms at least -100, weighted and reduced."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    for argument, x in (("input", input), ("target", target)):
        if not isinstance(x, Tensor):
            raise argument_error("binary_cross_entropy", argument, "Tensor", x)
    check_reduction(reduction)
    if shape_of(input) != shape_of(target):
        raise ValueError(
            f"Using a target size (torch.Size({list(shape_of(target))})) that is different to the input size "
            f"(torch.Size({list(shape_of(input))})) is deprecated. Please ensure they have the same size."
        )
    expected = input._kind.dtype
    if target._kind.dtype is not expected:
        raise RuntimeError(
            f"Found dtype {scalar_type_name(target._kind.dtype)} but expected {scalar_type_name(expected)}"
        )
    _check_probabilities(input)
    if weight is not None:
        weight = TENSOR_SPACE.broadcast_to(weight, broadcast_shapes(shape_of(weight), shape_of(target)))
    return BCE(input, target, weight, reduction)


def _check_probabilities(input: Tensor) -> None:
    F, array = input._kind.F, array_of(input)
    if input._kind.engine.is_tracing(array) or not math.prod(shape_of(input)):
        return
    outside = F.bitwise_or(F.less(array, 0), F.less(1, array))
    if bool(F.to_numpy(F.max(outside, None, False))):
        raise RuntimeError("all elements of input should be between 0 and 1")


def _logit_errors() -> Iterable[Sample]:
    import numpy as np

    words = "Target size (torch.Size([4, 5])) must be the same as input size (torch.Size([4, 6]))"
    yield Sample(np.ones((4, 6)), np.ones((4, 5)), error=(ValueError, words))


@declare_functional(op=BCE_LOGITS, samples=logit_samples, errors=_logit_errors)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Returns the binary cross entropy of sigmoid(input), stable for large inputs; `pos_weight` weighs the positives."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    for argument, x in (("input", input), ("target", target)):
        if not isinstance(x, Tensor):
            raise argument_error("binary_cross_entropy_with_logits", argument, "Tensor", x)
    check_reduction(reduction)
    size = shape_of(input)
    if size != shape_of(target):
        raise ValueError(
            f"Target size (torch.Size({list(shape_of(target))})) must be the same as input size (torch.Size({list(size)}))"
        )
    if not target._kind.dtype.is_floating_point:
        names = scalar_type_name(input._kind.dtype), scalar_type_name(target._kind.dtype)
        raise RuntimeError(f"result type {names[0]} can't be cast to the desired output type {names[1]}")
    common = promote_types(input._kind.dtype, target._kind.dtype)
    for extra in (weight, pos_weight):
        if extra is not None:
            broadcast_shapes(size, shape_of(extra))
            common = promote_types(common, extra._kind.dtype)
    spread = [None if x is None else convert(x, common) for x in (input, target, weight, pos_weight)]
    return BCE_LOGITS(*spread, reduction)


def _sign_samples(make: Any) -> Iterable[Sample]:
    import numpy as np

    for reduction in ("mean", "sum", "none"):
        yield Sample(make(3, 4), np.sign(make(3, 4)), reduction=reduction)


def _soft_margin(F: Any, x: Any, y: Any, reduction: str) -> Any:
    return reduced_loss(F, F.negative(F.log_sigmoid(F.multiply(x, y))), reduction)


def _soft_margin_back(F: Any, g: Any, input: Any, target: Any, reduction: str) -> Any:
    slope = F.negative(F.multiply(target, F.sigmoid(F.negative(F.multiply(input, target)))))
    return spread_gradient(F, g, slope, reduction)


SOFT_MARGIN = Op(
    "soft_margin_loss", (*PAIR, "reduction"), tensors=PAIR, forward=_soft_margin, rules={"input": _soft_margin_back}
)


@declare_functional(op=SOFT_MARGIN, samples=_sign_samples, errors=pair_errors)
def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """Returns log(1 + exp(-y x)) for labels y of 1 and -1, reduced."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    check_reduction(reduction)
    if target._node is not None:
        raise RuntimeError(
            "The function 'soft_margin_loss' is not differentiable with respect to argument 'target'. This input cannot have "
            "requires_grad True."
        )
    shape = broadcast_shapes(shape_of(input), shape_of(target))
    common = promote_types(input._kind.dtype, target._kind.dtype)
    input, target = (convert(TENSOR_SPACE.broadcast_to(x, shape), common) for x in (input, target))
    return SOFT_MARGIN(input, target, reduction)
