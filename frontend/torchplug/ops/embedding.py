"""Tables of vectors read by index: embedding, bags of them, one-hot vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare_functional
from torchplug._core.elementwise import argument_error, convert
from torchplug._core.host import host_array
from torchplug._core.kernels import composition
from torchplug._core.naming import tensor_type_name
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, array_of, shape_of, wrap, write
from torchplug_spec import dtypes as dt

__all__ = ["embedding", "embedding_bag", "one_hot"]

Shape = tuple[int, ...]


# ---- kernels ---------------------------------------------------------------------------------------------------------


def _embedding(F: Any, weight: Any, indices: Any, padding_idx: int, scale_by_frequency: bool) -> Any:
    rows = F.take(weight, F.reshape(indices, (math.prod(indices.shape),)), 0)
    return F.reshape(rows, (*indices.shape, weight.shape[1]))


def _embedding_backward(F: Any, g: Any, indices: Any, rows: int, padding_idx: int, scale_by_frequency: bool) -> Any:
    """Adds the gradient of every place to the row it read; nothing to the row of the padding."""
    count, width = math.prod(indices.shape), g.shape[-1]
    flat, places = F.reshape(g, (count, width)), F.reshape(indices, (count,))
    weights = None
    if scale_by_frequency:
        ones = F.full_of(flat, (count,), 1)
        times = F.scatter_add(F.zeros_of(flat, (rows,)), places, ones)
        weights = F.divide(1, F.take(times, places, 0))
    if padding_idx >= 0:
        kept = F.where(F.equal(places, padding_idx), F.zeros_of(flat, ()), F.full_of(flat, (), 1))
        weights = kept if weights is None else F.multiply(weights, kept)
    if weights is not None:
        flat = F.multiply(flat, F.reshape(weights, (count, 1)))
    return F.take_backward(flat, places, (rows, width), 0)


def _embedding_rule(
    F: Any, g: Any, indices: Any, weight_shape: Shape, padding_idx: int, scale_by_frequency: bool
) -> Any:
    return F.embedding_backward(g, indices, weight_shape[0], padding_idx, scale_by_frequency)


_READ = ("padding_idx", "scale_by_frequency")
EMBEDDING = Op(
    "embedding", ("weight", "indices", *_READ), tensors=("weight", "indices"), forward=_embedding,
    rules={"weight": _embedding_rule},
)  # fmt: skip
Op(
    "embedding_backward",
    ("g", "indices", "rows", *_READ),
    tensors=("g", "indices"),
    forward=_embedding_backward,
    node="EmbeddingDenseBackward0",
)


@composition
def check_rows(F: Any, indices: Any, rows: int) -> None:
    """Raises PyTorch's IndexError for an index outside a table."""
    host = F.to_numpy(indices)
    if host.size and (host.min() < 0 or host.max() >= rows):
        raise IndexError("index out of range in self")


# ---- embedding -------------------------------------------------------------------------------------------------------


def _samples(make: Any) -> Iterable[Sample]:
    places = np.array([[0, 1, 4], [4, 4, 2]])
    yield Sample(places, make(5, 3))
    yield Sample(places, make(5, 3), 4, stated_gradient=True)
    yield Sample(places, make(5, 3), -1, stated_gradient=True)
    yield Sample(places[0].astype(np.int32), make(5, 3))
    yield Sample(np.array(2), make(5, 3))
    yield Sample(np.zeros((0, 2), np.int64), make(5, 3))


def _errors() -> Iterable[Sample]:
    weight = np.ones((5, 3), np.float32)
    yield Sample(np.array([5]), weight, error=(IndexError, "index out of range in self"))
    yield Sample(np.array([-1]), weight, error=(IndexError, "index out of range in self"))
    yield Sample(
        np.array([1.0], np.float32),
        weight,
        error=(RuntimeError, "one of the following scalar types: Long, Int; but got"),
    )
    yield Sample(np.array([1]), weight[0], error=(RuntimeError, "'weight' must be 2-D"))
    yield Sample(np.array([1]), weight, 7, error=(AssertionError, "Padding_idx must be within num_embeddings"))


def _padding(padding_idx: int | None, rows: int, within: str) -> int:
    """Returns the index of the padding row counted from the front, -1 for none."""
    if padding_idx is None:
        return -1
    if padding_idx >= rows or padding_idx < -rows:
        raise AssertionError(f"{within} must be within num_embeddings")
    return padding_idx % rows


def _check_indices(input: Tensor, rows: int) -> Tensor:
    dtype = input._kind.dtype
    if dtype is not dt.int64 and dtype is not dt.int32:
        name = (
            f"torch.{tensor_type_name(dtype)}" if dtype.is_floating_point else f"CPU{tensor_type_name(dtype)[:-6]}Type"
        )
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"{name} instead (while checking arguments for embedding)"
        )
    array = array_of(input)
    if not input._kind.engine.is_tracing(array):
        input._kind.F.check_rows(array, rows)
    return input if dtype is dt.int64 else convert(input, dt.int64)


@declare_functional(op=EMBEDDING, samples=_samples, errors=_errors)
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Returns the rows of `weight` (rows, width) at integer indices: input (*) gives (*, width).

    The row `padding_idx` gets no gradient. With `max_norm` rows that are read and longer are first shortened, in place.
    """
    for name, x in (("input", input), ("weight", weight)):
        if not isinstance(x, Tensor):
            raise argument_error("embedding", name, "Tensor", x)
    size = shape_of(weight)
    padding = _padding(padding_idx, size[0] if size else 0, "Padding_idx")
    if len(size) != 2:
        raise RuntimeError("'weight' must be 2-D")
    places = _check_indices(input, size[0])
    if max_norm is not None:
        _shorten_rows(weight, places, max_norm, norm_type)
    return EMBEDDING(weight, places, padding, scale_grad_by_freq)


def _shorten_rows(weight: Tensor, places: Tensor, max_norm: float, norm_type: float) -> None:
    """Scales the rows that are read to a norm of at most `max_norm`, in place, as PyTorch's embedding_renorm_ does."""
    kind = weight._kind
    F, table = kind.F, array_of(weight)
    rows = shape_of(weight)[0]
    flat = F.reshape(array_of(places), (math.prod(shape_of(places)),))
    counted = F.scatter_add(
        F.full((rows,), 0, dt.int64, kind.native_device), flat, F.full_of(flat, (flat.shape[0],), 1)
    )
    sizes = F.abs(table)
    if norm_type == math.inf:
        norms = F.max(sizes, 1, True)
    else:
        norms = F.pow(F.sum(F.pow(sizes, float(norm_type)), 1, True), 1.0 / norm_type)
    scaled = F.multiply(table, F.divide(F.full_of(norms, (), max_norm), F.add(norms, 1e-7)))
    shorten = F.bitwise_and(F.less(max_norm, norms), F.reshape(F.less(0, counted), (rows, 1)))
    write(weight, F.where(shorten, scaled, table))


# ---- bags ------------------------------------------------------------------------------------------------------------


def _bag_samples(make: Any) -> Iterable[Sample]:
    places = np.array([[0, 1, 4], [4, 4, 2]])
    for mode in ("mean", "sum", "max"):
        yield Sample(places, make(5, 3), mode=mode)
        yield Sample(np.array([1, 2, 4, 4, 0]), make(5, 3), np.array([0, 2, 2]), mode=mode)
        yield Sample(places, make(5, 3), mode=mode, padding_idx=4)
    yield Sample(places, make(5, 3), mode="sum", per_sample_weights=make(2, 3))


def _bag_errors() -> Iterable[Sample]:
    weight = np.ones((5, 3), np.float32)
    yield Sample(np.array([1]), weight, error=(ValueError, "offsets has to be a 1D Tensor but got None"))
    yield Sample(
        np.array([1]), weight, np.array([0]), mode="min", error=(ValueError, "mode has to be one of sum, mean or max")
    )


@declare_functional(samples=_bag_samples, errors=_bag_errors, differentiable=True)
def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Returns the sum, mean or maximum of the rows of each bag: input (B, n), or (N,) cut into bags at `offsets`, (B, width).

    Rows of `padding_idx` count nothing. `per_sample_weights`, of the input's shape, weigh the rows of a sum.
    """
    starts = _bag_starts(input, offsets, per_sample_weights, mode, include_last_offset)
    size = shape_of(weight)
    padding = _padding(padding_idx, size[0], "padding_idx")
    places = _check_indices(input, size[0]).reshape(-1)
    if max_norm is not None:
        _shorten_rows(weight, places, max_norm, norm_type)
    rows = EMBEDDING(weight, places, padding, scale_grad_by_freq)
    total = shape_of(places)[0]
    bag_of_place = np.searchsorted(starts[:-1], np.arange(total), side="right") - 1
    bags = len(starts) - 1
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    kept = np.arange(total) < starts[-1]
    if padding >= 0:
        kept &= places.numpy(force=True) != padding
    if mode == "max":
        return _greatest_of_bags(rows, bag_of_place, kept, bags)
    member = np.zeros((bags, total))
    member[bag_of_place[kept], np.arange(total)[kept]] = 1
    if mode == "mean":
        member /= np.maximum(member.sum(1, keepdims=True), 1)
    return TENSOR_SPACE.mm(_constant(member, rows), rows)


def _constant(values: np.ndarray, like: Tensor) -> Tensor:
    kind = like._kind
    return wrap(kind.F.from_numpy(np.ascontiguousarray(values.astype(kind.dtype.numpy)), kind.native_device), kind)


def _greatest_of_bags(rows: Tensor, bag_of_place: np.ndarray, kept: np.ndarray, bags: int) -> Tensor:
    made = []
    for bag in range(bags):
        members = np.flatnonzero((bag_of_place == bag) & kept)
        if len(members):
            chosen = TENSOR_SPACE.take(rows, TENSOR_SPACE.host(members, rows), 0)
            made.append(chosen.max(0)[0])
        else:
            made.append(_constant(np.zeros(shape_of(rows)[1]), rows))
    from torchplug.ops.joining import stack

    return stack(made)


def _bag_starts(
    input: Tensor, offsets: Tensor | None, weights: Tensor | None, mode: str, include_last_offset: bool
) -> np.ndarray:
    """Returns where each bag begins in the flat input, and where the last ends, after PyTorch's checks."""
    size = shape_of(input)
    if weights is not None and shape_of(weights) != size:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({list(shape_of(weights))}) is not None, then it must have the same shape as the "
            f"input ({list(size)})"
        )
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' (got mode="
            f"'{mode}'). Please open a feature request on GitHub."
        )
    if len(size) == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length sequences. However, "
                f"found offsets of type {type(offsets)}"
            )
        return np.arange(size[0] + 1) * size[1]
    if len(size) != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {len(size)}")
    if not isinstance(offsets, Tensor):
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if len(shape_of(offsets)) != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    starts = offsets.numpy(force=True)
    return starts if include_last_offset else np.append(starts, size[0])


# ---- one-hot ---------------------------------------------------------------------------------------------------------


def _one_hot_samples(make: Any) -> Iterable[Sample]:
    yield Sample(np.array([0, 2, 1]))
    yield Sample(np.array([[0, 2], [1, 1]]), 4)
    yield Sample(np.array(1), 3)
    yield Sample(np.zeros((0,), np.int64), 3)


def _one_hot_errors() -> Iterable[Sample]:
    yield Sample(np.array([0, 2]), 2, error=(RuntimeError, "Class values must be smaller than num_classes."))
    yield Sample(np.array([0, -2]), error=(RuntimeError, "Class values must be non-negative."))
    yield Sample(
        np.array([0.0]), error=(RuntimeError, "one_hot is only applicable to index tensor of type LongTensor.")
    )
    yield Sample(
        np.zeros(0, np.int64), error=(RuntimeError, "Can not infer total number of classes from empty tensor.")
    )


@declare_functional(samples=_one_hot_samples, errors=_one_hot_errors, differentiable=False)
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Returns int64 (*, num_classes), 1 at the class and 0 elsewhere; -1 takes the greatest class plus one."""
    if not isinstance(tensor, Tensor):
        raise argument_error("one_hot", "tensor", "Tensor", tensor, 1)
    if tensor._kind.dtype is not dt.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    kind, size = tensor._kind, shape_of(tensor)
    F, array = kind.F, array_of(tensor)
    if 0 in size and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    if num_classes == -1 or not kind.engine.is_tracing(array):
        num_classes = _class_count(host_array(tensor), num_classes)
    classes = F.host(np.arange(num_classes, dtype=np.int64), array)
    return wrap(F.astype(F.equal(F.reshape(array, (*size, 1)), classes), dt.int64), kind)


def _class_count(host: np.ndarray, num_classes: int) -> int:
    if host.size:
        if host.min() < 0:
            raise RuntimeError("Class values must be non-negative.")
        if num_classes == -1:
            return int(host.max()) + 1
        if host.max() >= num_classes:
            raise RuntimeError("Class values must be smaller than num_classes.")
    return num_classes
