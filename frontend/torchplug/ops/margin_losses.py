"""Losses with margins: ranking, hinge, cosine, triplets, one class or several labels against the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare_functional
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, array_of, shape_of
from torchplug.ops.activations import logsigmoid
from torchplug.ops.losses import check_reduction, legacy_reduction, reduce_loss
from torchplug.ops.norms import pairwise_distance
from torchplug_spec import dtypes as dt

__all__ = [
    "cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss", "multi_margin_loss", "multilabel_margin_loss",
    "multilabel_soft_margin_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss",
]  # fmt: skip

Shape = tuple[int, ...]


def _signs(make: Any, *shape: int) -> Any:
    return np.where(make(*shape) > 0, 1, -1).astype(np.int64)


# ---- pairs and triplets ----------------------------------------------------------------------------------------------


def _hinge_samples(make: Any) -> Iterable[Sample]:
    for reduction in ("mean", "sum", "none"):
        yield Sample(make(3, 4), _signs(make, 3, 4), reduction=reduction)
    yield Sample(make(3, 4), _signs(make, 3, 4), 0.3)


def _hinge_errors() -> Iterable[Sample]:
    yield Sample(np.ones(3), np.ones(3), reduction="all", error=(ValueError, "all is not a valid value for reduction"))


@declare_functional(samples=_hinge_samples, errors=_hinge_errors, differentiable=True)
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns x where the label is 1, max(0, margin - x) where it is -1, reduced."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    check_reduction(reduction)
    zero = input.new_zeros(())
    apart = (margin - input).clamp_min(0).where(target != 1, zero)
    return reduce_loss(apart + input.where(target != -1, zero), reduction)


def _ranking_samples(make: Any) -> Iterable[Sample]:
    for reduction in ("mean", "sum", "none"):
        yield Sample(make(3, 4), make(3, 4), _signs(make, 3, 4), 0.2, reduction=reduction)


def _ranking_errors() -> Iterable[Sample]:
    x = np.ones((4, 6))
    yield Sample(
        x, x, np.ones(4), error=(RuntimeError, "margin_ranking_loss : All input tensors should have same dimension")
    )


@declare_functional(samples=_ranking_samples, errors=_ranking_errors, differentiable=True)
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns max(0, -y (x1 - x2) + margin) for labels y of 1 (x1 ranks higher) and -1, reduced."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    check_reduction(reduction)
    sizes = [shape_of(x) for x in (input1, input2, target)]
    if len({len(size) for size in sizes}) > 1:
        said = ", ".join(
            f"{name}: torch.Size({list(size)})"
            for name, size in zip(("input1", "input2", "target"), sizes, strict=True)
        )
        raise RuntimeError(f"margin_ranking_loss : All input tensors should have same dimension but got sizes: {said} ")
    return reduce_loss((-target * (input1 - input2) + margin).clamp_min(0), reduction)


_EPSILON = 1e-12
"""Keeps the cosine of cosine_embedding_loss finite; the value is PyTorch's."""


def _cosine_samples(make: Any) -> Iterable[Sample]:
    for reduction in ("mean", "sum", "none"):
        yield Sample(make(3, 4), make(3, 4), _signs(make, 3), 0.1, reduction=reduction)
    yield Sample(make(4), make(4), np.array(-1))


def _cosine_errors() -> Iterable[Sample]:
    x = np.ones((3, 4), np.float32)
    yield Sample(
        x, x, np.ones((3, 4)), error=(RuntimeError, "0D or 1D target tensor expected, multi-target not supported")
    )
    yield Sample(
        x,
        x,
        np.ones(()),
        error=(RuntimeError, "0D target tensor expects 1D input tensors, but found inputs with sizes"),
    )


@declare_functional(samples=_cosine_samples, errors=_cosine_errors, differentiable=True)
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns 1 - cos(x1, x2) where the label is 1, max(0, cos(x1, x2) - margin) where it is -1, reduced."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    check_reduction(reduction)
    ndim, sizes = len(shape_of(target)), [list(shape_of(x)) for x in (input1, input2)]
    if ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if any(len(size) != ndim + 1 for size in sizes):
        raise RuntimeError(
            f"{ndim}D target tensor expects {ndim + 1}D input tensors, but found inputs with sizes {sizes[0]} and {sizes[1]}."
        )
    products = (input1 * input2).sum(ndim)
    squares = (input1 * input1).sum(ndim) + _EPSILON, (input2 * input2).sum(ndim) + _EPSILON
    cosine = products / (squares[0] * squares[1]).sqrt()
    zero = cosine.new_zeros(())
    losses = (1 - cosine).where(target == 1, zero) + (cosine - margin).clamp_min(0).where(target == -1, zero)
    return reduce_loss(losses, reduction)


def _triplet_samples(make: Any) -> Iterable[Sample]:
    for reduction in ("mean", "sum", "none"):
        yield Sample(make(3, 4), make(3, 4), make(3, 4), reduction=reduction)
    yield Sample(make(3, 4), make(3, 4), make(3, 4), 0.5, 1.0, swap=True)


def _triplet_errors() -> Iterable[Sample]:
    x = np.ones((3, 4))
    yield Sample(
        x,
        x,
        x[0],
        error=(RuntimeError, "The anchor, positive, and negative tensors are expected to have the same number"),
    )
    yield Sample(x, x, x, -1.0, error=(ValueError, "margin must be greater than 0, got -1.0"))


def _check_triplet(anchor: Tensor, positive: Tensor, negative: Tensor) -> None:
    dims = [len(shape_of(x)) for x in (anchor, positive, negative)]
    if len(set(dims)) > 1:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: anchor "
            f"{dims[0]}D, positive {dims[1]}D, and negative {dims[2]}D inputs"
        )


@declare_functional(samples=_triplet_samples, errors=_triplet_errors, differentiable=True)
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns max(0, d(anchor, positive) - d(anchor, negative) + margin) with p-norm distances d, reduced.

    `swap` takes the distance of positive and negative where that is smaller. Source: Balntas et al. 2016, section 3.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    check_reduction(reduction)
    _check_triplet(anchor, positive, negative)
    return _triplet(anchor, positive, negative, lambda x, y: pairwise_distance(x, y, p, eps), margin, swap, reduction)


def _triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return reduce_loss((margin + near - far).clamp_min(0), reduction)


@declare_functional(
    samples=lambda make: [Sample(make(3, 4), make(3, 4), make(3, 4), margin=0.5, swap=True)], differentiable=True
)
def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Returns the triplet loss with any distance; `pairwise_distance` if none is given."""
    check_reduction(reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    _check_triplet(anchor, positive, negative)
    return _triplet(anchor, positive, negative, distance_function or pairwise_distance, margin, swap, reduction)


# ---- one class against the others ------------------------------------------------------------------------------------


def _beyond(F: Any, x: Any, target: Any, p: int, margin: float, weight: Any, reduction: str) -> Any:
    count, classes = x.shape
    flat = F.reshape(x, (count * classes,))
    places = F.add(target, F.host(np.arange(count, dtype=np.int64) * classes, target))
    own = F.reshape(F.take(flat, places, 0), (count, 1))
    gaps = F.maximum(F.add(F.subtract(x, own), margin), 0)
    gaps = gaps if p == 1 else F.multiply(gaps, gaps)
    if weight is not None:
        gaps = F.multiply(gaps, F.reshape(F.take(weight, target, 0), (count, 1)))
    others = F.equal(F.host(np.arange(classes, dtype=np.int64)[None, :], target), F.reshape(target, (count, 1)))
    losses = F.divide(F.sum(F.where(others, F.zeros_of(x, ()), gaps), (1,), False), float(classes))
    return _reduced(F, losses, reduction)


def _reduced(F: Any, losses: Any, reduction: str) -> Any:
    if reduction == "none":
        return losses
    total = F.sum(losses, None, False)
    return total if reduction == "sum" else F.divide(total, float(math.prod(losses.shape)))


MULTI_MARGIN = Op(
    "multi_margin_loss",
    ("input", "target", "p", "margin", "weight", "reduction"),
    tensors=("input", "target", "weight"),
    forward=_beyond,
)


def _multi_samples(make: Any) -> Iterable[Sample]:
    for reduction in ("mean", "sum", "none"):
        yield Sample(make(3, 4), np.array([0, 3, 1]), reduction=reduction)
    yield Sample(make(3, 4), np.array([0, 3, 1]), 2, 0.5)
    yield Sample(make(4), np.array(1))


def _multi_errors() -> Iterable[Sample]:
    x, y = np.ones((3, 4)), np.array([0, 1, 2])
    yield Sample(x, np.array([0, 1, 5]), error=(RuntimeError, "target out of range"))
    yield Sample(x, y, 3, error=(ValueError, "only p == 1 and p == 2 supported"))
    yield Sample(x, y, weight=np.ones(2), error=(RuntimeError, "inconsistent weight size, expected 4 but got [2]"))


@declare_functional(op=MULTI_MARGIN, samples=_multi_samples, errors=_multi_errors)
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns sum over other classes j of max(0, margin - x_y + x_j)^p / classes for target classes y, reduced."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    size, shape = shape_of(input), shape_of(target)
    classes = size[-1]
    if weight is not None and shape_of(weight) != (classes,):
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got {list(shape_of(weight))}")
    count = size[0] if len(size) > 1 else 1
    if math.prod(shape) != count or len(shape) > 1:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch size). Expected "
            f"target size [{count}], but got {list(shape)}. Input has shape {list(size)}."
        )
    check_reduction(reduction)
    _check_range(target, classes, 0)
    F = TENSOR_SPACE
    out = MULTI_MARGIN(
        F.reshape(input, (count, classes)), F.reshape(target, (count,)), p, float(margin), weight, reduction
    )
    return F.reshape(out, shape) if reduction == "none" else out


def _check_range(target: Tensor, classes: int, low: int) -> None:
    array = array_of(target)
    if target._kind.engine.is_tracing(array):
        return
    host = target._kind.F.to_numpy(array)
    if host.size and (host.min() < low or host.max() >= classes):
        raise RuntimeError("target out of range")


# ---- several labels --------------------------------------------------------------------------------------------------


def _labels(F: Any, target: Any) -> tuple[Any, Any]:
    """Returns the listed classes up to the first -1 (0 after it), and where they are listed."""
    count, classes = target.shape
    ended = F.astype(F.less(target, 0), dt.int64)
    upto = F.host(np.triu(np.ones((classes, classes), np.int64)), target)
    listed = F.equal(F.matmul(ended, upto), 0)
    return F.where(listed, target, F.zeros_of(target, ())), listed


def _label_margins(F: Any, x: Any, target: Any, reduction: str) -> Any:
    count, classes = x.shape
    labels, listed = _labels(F, target)
    places = F.reshape(
        F.add(labels, F.host((np.arange(count) * classes).reshape(-1, 1).astype(np.int64), labels)), (count * classes,)
    )
    hits = F.reshape(F.astype(listed, dt.int64), (count * classes,))
    is_label = F.reshape(F.scatter_add(F.full_of(hits, (count * classes,), 0), places, hits), (count, classes))
    own = F.reshape(F.take(F.reshape(x, (count * classes,)), places, 0), (count, classes, 1))
    gaps = F.maximum(F.add(F.subtract(F.reshape(x, (count, 1, classes)), own), 1.0), 0)
    counted = F.bitwise_and(
        F.reshape(listed, (count, classes, 1)), F.reshape(F.equal(is_label, 0), (count, 1, classes))
    )
    kept = F.where(counted, gaps, F.zeros_of(gaps, ()))
    return _reduced(F, F.divide(F.sum(kept, (1, 2), False), float(classes)), reduction)


MULTILABEL_MARGIN = Op(
    "multilabel_margin_loss", ("input", "target", "reduction"), tensors=("input", "target"), forward=_label_margins
)


def _label_samples(make: Any) -> Iterable[Sample]:
    target = np.array([[0, 1, -1, 2], [3, -1, 0, 1], [-1, 0, 0, 0]])
    for reduction in ("mean", "sum", "none"):
        yield Sample(make(3, 4), target, reduction=reduction)
    yield Sample(make(4), np.array([0, 3, -1, 1]))


def _label_errors() -> Iterable[Sample]:
    x = np.ones((3, 4))
    yield Sample(
        x,
        np.zeros((2, 4), np.int64),
        error=(RuntimeError, "inconsistent target size: [2, 4] for input of size: [3, 4]"),
    )


@declare_functional(op=MULTILABEL_MARGIN, samples=_label_samples, errors=_label_errors)
def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """Returns sum over labels y and other classes j of max(0, 1 - x_y + x_j) / classes; target rows list labels up to -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    check_reduction(reduction)
    size = shape_of(input)
    if shape_of(target) != size:
        raise RuntimeError(f"inconsistent target size: {list(shape_of(target))} for input of size: {list(size)}")
    _check_range(target, size[-1] if size else 1, -1)
    F = TENSOR_SPACE
    rows = (1, math.prod(size)) if len(size) < 2 else size
    out = MULTILABEL_MARGIN(F.reshape(input, rows), F.reshape(target, rows), reduction)
    return F.reshape(out, size[:-1]) if reduction == "none" else out


def _soft_samples(make: Any) -> Iterable[Sample]:
    for reduction in ("mean", "sum", "none"):
        yield Sample(make(3, 4), (make(3, 4) > 0).astype(np.int64), reduction=reduction)


def _soft_errors() -> Iterable[Sample]:
    yield Sample(np.ones(3), np.ones(3), reduction="all", error=(ValueError, "all is not valid"))


@declare_functional(samples=_soft_samples, errors=_soft_errors, differentiable=True)
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the mean over classes of -(y log sigmoid(x) + (1 - y) log sigmoid(-x)), weighted and reduced."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        losses = losses * weight
    dim = len(shape_of(input)) - 1
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    return reduce_loss(losses.sum(dim) / shape_of(input)[dim], reduction)
