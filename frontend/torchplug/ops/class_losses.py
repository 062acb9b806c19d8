"""Losses over classes: negative log likelihood and cross entropy, with class indices or probabilities as targets."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare_functional
from torchplug._core.elementwise import argument_error, convert
from torchplug._core.kernels import composition
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import Op, device_error
from torchplug._core.tensor import Tensor, array_of, shape_of
from torchplug.ops.losses import check_reduction, legacy_reduction
from torchplug.ops.softmax import log_softmax
from torchplug_spec import dtypes as dt

__all__ = ["cross_entropy", "nll_loss"]


# ---- kernels: x is (N, C, *positions) or (C,), target (N, *positions) or () -----------------------------------------


def class_sizes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Returns (samples, classes, positions) of scores of a shape."""
    return (shape[0], shape[1], math.prod(shape[2:])) if len(shape) > 1 else (1, shape[0], 1)


def _places(F: Any, target: Any, sizes: tuple[int, int, int]) -> Any:
    """Returns where x[n, target[n, p], p] lies in the flat x, flat."""
    count, classes, positions = sizes
    rows = (np.arange(count, dtype=np.int64) * (classes * positions))[:, None] + np.arange(positions, dtype=np.int64)
    flat = F.reshape(target, (count * positions,))
    return F.add(F.multiply(flat, positions), F.host(rows.reshape(-1), flat))


def _counted(F: Any, x: Any, target: Any, weight: Any, ignore_index: int) -> tuple[Any, Any]:
    """Returns targets without the ignored ones (0 in their place), and the weight of each place in the dtype of x."""
    ignored = F.equal(target, ignore_index)
    safe = F.where(ignored, F.zeros_of(target, ()), target)
    shape = tuple(target.shape)
    if weight is None:
        weights = F.full_of(x, shape, 1)
    else:
        weights = F.reshape(F.take(weight, F.reshape(safe, (math.prod(shape),)), 0), shape)
    return safe, F.where(ignored, F.zeros_of(x, ()), weights)


def _nll_loss(F: Any, x: Any, target: Any, weight: Any, reduction: str, ignore_index: int) -> Any:
    safe, weights = _counted(F, x, target, weight, ignore_index)
    picked = F.take(F.reshape(x, (math.prod(x.shape),)), _places(F, safe, class_sizes(tuple(x.shape))), 0)
    picked = F.reshape(F.negative(picked), tuple(target.shape))
    # Ignored places count nothing, whatever x holds there.
    losses = F.where(F.equal(target, ignore_index), F.zeros_of(x, ()), F.multiply(picked, weights))
    if reduction == "none":
        return losses
    total = F.sum(losses, None, False)
    return total if reduction == "sum" else F.divide(total, F.sum(weights, None, False))


def _nll_loss_backward(
    F: Any, g: Any, target: Any, weight: Any, reduction: str, ignore_index: int, shape: tuple[int, ...]
) -> Any:
    safe, weights = _counted(F, g, target, weight, ignore_index)
    if reduction == "mean":
        g = F.divide(g, F.sum(weights, None, False))
    # An ignored place gets 0 even where g is NaN, as it is when every place is ignored.
    values = F.where(F.equal(target, ignore_index), F.zeros_of(g, ()), F.negative(F.multiply(weights, g)))
    values = F.reshape(values, (math.prod(target.shape),))
    zeros = F.zeros_of(values, (math.prod(shape),))
    return F.reshape(F.scatter_add(zeros, _places(F, safe, class_sizes(shape)), values), shape)


def _nll_rule(
    F: Any, g: Any, target: Any, weight: Any, reduction: str, ignore_index: int, input_shape: tuple[int, ...]
) -> Any:
    return F.nll_loss_backward(g, target, weight, reduction, ignore_index, input_shape)


_NLL = ("input", "target", "weight", "reduction", "ignore_index")
Op(
    "nll_loss_backward", ("g", "target", "weight", "reduction", "ignore_index", "shape"), tensors=("g", "target", "weight"),
    forward=_nll_loss_backward, rules={
        "g": lambda F, g, target, weight, reduction, ignore_index: F.nll_loss(g, target, weight, reduction, ignore_index),
    },
)  # fmt: skip
NLL = Op("nll_loss", _NLL, tensors=_NLL[:3], forward=_nll_loss, rules={"input": _nll_rule})
NLL_2D = Op(
    "nll_loss", _NLL, tensors=_NLL[:3], forward=_nll_loss, rules={"input": _nll_rule}, node="NllLoss2DBackward0"
)


def _class_dim(x: Any) -> int:
    return 1 if len(x.shape) > 1 else 0


def _cross_entropy(F: Any, x: Any, target: Any, weight: Any, reduction: str, ignore_index: int) -> tuple[Any, Any]:
    """Returns the loss and softmax(x), from which the gradient is made."""
    scores = F.log_softmax(x, _class_dim(x))
    return F.nll_loss(scores, target, weight, reduction, ignore_index), F.exp(scores)


@composition
def cross_entropy_backward(
    F: Any, g: Any, probabilities: Any, target: Any, weight: Any, reduction: str, ignore_index: int
) -> Any:
    """Returns the gradient of the scores: what nll_loss sends back, freed of its sum along the probabilities."""
    back = F.nll_loss_backward(g, target, weight, reduction, ignore_index, tuple(probabilities.shape))
    return F.subtract(back, F.multiply(probabilities, F.sum(back, _class_dim(probabilities), True)))


def _cross_entropy_rule(
    F: Any, g: Any, probabilities: Any, target: Any, weight: Any, reduction: str, ignore_index: int
) -> Any:
    return F.cross_entropy_backward(g, probabilities, target, weight, reduction, ignore_index)


def _cross_entropy_op(node: str) -> Op:
    """The target, of another dtype and without a gradient, is no tensor of the op, so that its call stays short."""
    return Op(
        "cross_entropy", _NLL, tensors=("input", "weight"), forward=_cross_entropy, residuals=("probabilities",),
        fused_rule=True, rules={"input": _cross_entropy_rule}, node=node,
    )  # fmt: skip


CROSS_ENTROPY, CROSS_ENTROPY_2D = _cross_entropy_op("NllLossBackward0"), _cross_entropy_op("NllLoss2DBackward0")


@composition
def check_targets(F: Any, target: Any, classes: int, ignore_index: int) -> None:
    """Raises PyTorch's IndexError for a class that does not exist."""
    host = F.to_numpy(target)
    wrong = ((host < 0) | (host >= classes)) & (host != ignore_index)
    if wrong.any():
        raise IndexError(f"Target {host[wrong].flat[0]} is out of bounds.")


# ---- public functions ------------------------------------------------------------------------------------------------


def _labels(count: int, classes: int, *more: int) -> Any:
    return (np.arange(count * math.prod(more)).reshape(count, *more) * 5 + 1) % classes


def _nll_samples(make: Any) -> Iterable[Sample]:
    for reduction in ("mean", "sum", "none"):
        yield Sample(make(4, 6), _labels(4, 6), reduction=reduction)
        yield Sample(make(2, 3, 4, 2), _labels(2, 3, 4, 2), reduction=reduction)
    yield Sample(make(4, 6), _labels(4, 6), ignore_index=1)
    yield Sample(make(2, 3, 5), _labels(2, 3, 5), ignore_index=2)


def _nll_errors() -> Iterable[Sample]:
    x = np.zeros((4, 6), np.float32)
    yield Sample(
        x, np.array([1, 2, 3]), error=(ValueError, "Expected input batch_size (4) to match target batch_size (3).")
    )
    yield Sample(x, np.array([1, 2, 3, 9]), error=(IndexError, "Target 9 is out of bounds."))
    yield Sample(x, np.array([1, 2, 3, -1]), error=(IndexError, "Target -1 is out of bounds."))
    yield Sample(
        x, np.ones(4, np.float32), error=(RuntimeError, "expected target dtype to be Long or Byte, but got Float")
    )
    yield Sample(
        x, np.ones(4, np.int64), np.ones(5, np.float32), error=(RuntimeError, "either for all 6 classes or no classes")
    )
    yield Sample(x, np.ones(4, np.int64), reduction="all", error=(ValueError, "all is not a valid value for reduction"))
    spatial = np.zeros((2, 3, 4, 4), np.float32)
    yield Sample(spatial, np.zeros((2, 4, 5), np.int64), error=(RuntimeError, "size mismatch (got input: [2, 3, 4, 4]"))
    yield Sample(spatial, np.zeros((2, 4), np.int64), error=(RuntimeError, "only batches of spatial targets supported"))


def _vector_samples(make: Any) -> Iterable[Sample]:
    yield from _nll_samples(make)
    yield Sample(make(6), np.array(2))


@declare_functional(op=NLL, samples=_vector_samples, errors=_nll_errors)
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns minus the log-probability of each target class, weighted by class and reduced.

    Shape: input (N, C, ...) or (C,), target (N, ...) or (), integers; "none" gives the shape of target. "mean" divides by
    the weights of the targets that are not `ignore_index`.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    for argument, x in (("input", input), ("target", target)):
        if not isinstance(x, Tensor):
            raise argument_error("nll_loss_nd", argument, "Tensor", x)
    return _of_classes(NLL, NLL_2D, input, target, weight, reduction, ignore_index)


def _of_classes(
    op: Op, spatial: Op, input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, ignore_index: int
) -> Tensor:
    """Runs an op on scores and class indices that are checked first."""
    size, shape = shape_of(input), shape_of(target)
    _check_nll(size, shape, target, weight)
    check_reduction(reduction)
    if target._kind.dtype is not dt.int64:
        target = convert(target, dt.int64)
    if target._kind.native_device != input._kind.native_device or target._kind.engine is not input._kind.engine:
        raise device_error(op.name, [input, target])
    array = array_of(target)
    if not target._kind.engine.is_tracing(array):
        target._kind.F.check_targets(array, size[1] if len(size) > 1 else size[0], ignore_index)
    return (spatial if len(size) > 2 else op)(input, target, weight, reduction, ignore_index)


def _check_nll(size: tuple[int, ...], shape: tuple[int, ...], target: Tensor, weight: Tensor | None) -> None:
    if not size:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    if len(size) > 1 and shape[:1] != size[:1]:
        raise ValueError(
            f"Expected input batch_size ({size[0]}) to match target batch_size ({shape[0] if shape else 1})."
        )
    if len(size) == 1 and math.prod(shape) != 1:
        raise ValueError(f"Expected input batch_size (1) to match target batch_size ({shape[0]}).")
    if len(size) <= 2 and len(shape) > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if target._kind.dtype not in (dt.int64, dt.uint8):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {scalar_type_name(target._kind.dtype)}")
    if len(size) > 2:
        if len(shape) != len(size) - 1:
            raise RuntimeError(
                f"only batches of spatial targets supported (3D tensors) but got targets of dimension: {len(shape)}"
            )
        if shape[1:] != size[2:]:
            raise RuntimeError(f"size mismatch (got input: {list(size)} , target: {list(shape)}")
    classes = size[1] if len(size) > 1 else size[0]
    if weight is not None and shape_of(weight) != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of shape: "
            f"{list(shape_of(weight))}"
        )


def _cross_entropy_samples(make: Any) -> Iterable[Sample]:
    yield from _nll_samples(make)
    for reduction in ("mean", "sum", "none"):
        yield Sample(make(4, 6), _labels(4, 6), reduction=reduction, label_smoothing=0.1)
        yield Sample(make(2, 3, 4), _labels(2, 3, 4), reduction=reduction, label_smoothing=0.3, ignore_index=1)
        yield Sample(make(4, 6), abs(make(4, 6)), reduction=reduction)
    yield Sample(make(2, 3, 4), abs(make(2, 3, 4)), label_smoothing=0.2)


def _cross_entropy_errors() -> Iterable[Sample]:
    x = np.zeros((4, 6), np.float32)
    yield from _nll_errors()
    yield Sample(
        x, np.ones(4, np.int64), label_smoothing=2.0, error=(RuntimeError, "must be between 0.0 and 1.0. Got: 2")
    )
    yield Sample(
        x, np.ones((4, 6), np.int64), error=(RuntimeError, "Expected floating point type for target with class")
    )
    yield Sample(
        x, np.ones((4, 5), np.float32), error=(RuntimeError, "0D or 1D target tensor expected, multi-target not")
    )


@declare_functional(op=CROSS_ENTROPY, samples=_cross_entropy_samples, errors=_cross_entropy_errors)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Returns the cross entropy of log_softmax(input) with class indices, or with class probabilities, as targets.

    Shape: input (N, C, ...) or (C,); target the same without C (indices) or exactly the same (probabilities).
    """
    if CASTING and (cast := casting("nn.functional.cross_entropy")) is not None:
        how = (weight, size_average, ignore_index, reduce, reduction, label_smoothing)
        return cast(cross_entropy, input, target, *how)
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    if not (isinstance(input, Tensor) and isinstance(target, Tensor)):
        wrong = ("target", target) if isinstance(input, Tensor) else ("input", input)
        raise argument_error("cross_entropy_loss", wrong[0], "Tensor", wrong[1])
    check_reduction(reduction)
    size = shape_of(input)
    dim = 1 if len(size) > 1 else 0
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    if size == shape_of(target) and size:
        return _soft_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing, dim)
    if label_smoothing == 0 and input._kind.dtype.is_floating_point and size and 0 not in size:
        return _of_classes(CROSS_ENTROPY, CROSS_ENTROPY_2D, input, target, weight, reduction, ignore_index)
    scores = log_softmax(input, dim)
    if label_smoothing > 0:
        return _smoothed_cross_entropy(scores, target, weight, ignore_index, reduction, label_smoothing, dim)
    return nll_loss(scores, target, weight, ignore_index=ignore_index, reduction=reduction)


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str, smoothing: float, dim: int
) -> Tensor:
    if not target._kind.dtype.is_floating_point:
        name = scalar_type_name(target._kind.dtype)
        raise RuntimeError(f"Expected floating point type for target with class probabilities, got {name}")
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    size = shape_of(input)
    if smoothing > 0:
        target = target * (1 - smoothing) + smoothing / size[dim]
    scores = log_softmax(input, dim) * target
    if weight is not None:
        scores = scores * _beside_classes(weight, size, dim)
    losses = scores.sum(dim)
    if reduction == "mean":
        return -(losses.sum() / (math.prod(size) // size[dim] if size[dim] else 0))
    return -(losses.sum() if reduction == "sum" else losses)


def _beside_classes(weight: Tensor, size: tuple[int, ...], dim: int) -> Tensor:
    return weight.reshape([length if place == dim else 1 for place, length in enumerate(size)])


def _smoothed_cross_entropy(
    scores: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str, smoothing: float, dim: int
) -> Tensor:
    """Mixes the loss of the target class with the mean loss of all classes. Source: Szegedy et al. 2016, section 7."""
    size = shape_of(scores)
    exact = nll_loss(scores, target, weight, ignore_index=ignore_index, reduction=reduction)
    spread = -(scores if weight is None else scores * _beside_classes(weight, size, dim)).sum(dim)
    kept = target != ignore_index
    spread = spread.masked_fill(~kept, 0)
    if reduction == "mean":
        if weight is None:
            counted: Any = kept.sum()
        else:
            counted = weight.take(target.masked_fill(~kept, 0)).masked_fill(~kept, 0).sum()
        smooth = spread.sum() / counted
    else:
        smooth = spread.sum() if reduction == "sum" else spread
    return (1 - smoothing) * exact + (smoothing / size[dim]) * smooth
