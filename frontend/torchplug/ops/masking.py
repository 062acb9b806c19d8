"""Functions of masks: nonzero, masked_fill, masked_select, masked_scatter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import broadcast_shapes
from torchplug._core.inplace import write_out
from torchplug._core.naming import c_name
from torchplug._core.tensor import Tensor, array_of, shape_of
from torchplug.ops.gathering import MASKED_FILL
from torchplug.ops.indexing import as_value, column, gather_by, index_put_, places_of
from torchplug_spec import dtypes as dt

__all__ = ["masked_fill", "masked_scatter", "masked_select", "nonzero"]


@declare(
    dtypes=("float", "int", "bool"),
    samples=lambda make: [Sample(make(3, 4)), Sample(make(5)), Sample(make())],
    differentiable=False,
)
def nonzero(input: Tensor, *, out: Tensor | None = None, as_tuple: bool = False) -> Any:
    """Returns the indices of non-zero elements, int64 of shape (n, ndim), or a tuple of ndim vectors."""
    found = places_of(input)
    if as_tuple:
        return tuple(column(input, places) for places in found)
    if not shape_of(input):
        stacked = np.empty((len(found[0]), 0), np.int64)
    else:
        stacked = np.ascontiguousarray(np.stack(found, axis=1)) if found else np.empty((0, 0), np.int64)
    made = column(input, stacked)
    if out is None:
        return made

    return write_out(out, made, "nonzero")


def _mask_samples(make: Any) -> Iterable[Sample]:
    mask = np.array([[True, False, True], [False, True, False]])
    yield Sample(make(2, 3), mask, 2.0)
    yield Sample(make(4, 2, 3), mask, 0.5)
    yield Sample(make(2, 3), np.array([True, False, True]), 1.0)


def _mask_errors() -> Iterable[Sample]:
    yield Sample(
        np.zeros((2, 3), np.float32),
        np.zeros((2, 3), np.float32),
        1.0,
        error=(RuntimeError, "masked_fill_ only supports boolean masks, but got mask with dtype"),
    )


@declare(op=MASKED_FILL, samples=_mask_samples, errors=_mask_errors, inplace=True, dtypes=("float", "complex"))
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Returns `input` with `value` (a number or 0-d tensor) where `mask` (bool, broadcast) is True."""
    if mask._kind.dtype is not dt.bool_:
        raise RuntimeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {c_name(mask._kind.dtype)}"
        )
    if isinstance(value, Tensor) and shape_of(value):
        raise RuntimeError(
            f"masked_fill only supports a 0-dimensional value tensor, but got tensor with {len(shape_of(value))} dimension(s)."
        )
    broadcast_shapes(shape_of(input), shape_of(mask))
    return MASKED_FILL(input, array_of(mask), as_value(value, input))


@declare(samples=lambda make: [Sample(make(2, 3), np.array([[True, False, True], [False, True, False]]))])
def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the elements where `mask` (bool, broadcast) is True, as a vector."""
    if mask._kind.dtype is not dt.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(shape_of(input), shape_of(mask))
    made = gather_by(input.expand(shape), [(0, mask.expand(shape).contiguous())])
    if out is None:
        return made

    return write_out(out, made, "masked_select")


@declare(
    inplace=True,
    samples=lambda make: [Sample(make(2, 3), np.array([[True, False, True], [False, True, False]]), make(4))],
)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Returns `input` with the elements where `mask` is True taken from `source` in order."""
    if mask._kind.dtype is not dt.bool_:
        raise RuntimeError("masked_scatter_ only supports boolean masks")
    shape = broadcast_shapes(shape_of(input), shape_of(mask))
    places = nonzero(mask.expand(shape).reshape(-1)).reshape(-1)
    if places.numel() > source.numel():
        raise RuntimeError(
            "masked_scatter: expected `source` to have at least as many elements as the mask has True values"
        )
    picked = source.reshape(-1)[: places.numel()]
    return index_put_(input.expand(shape).reshape(-1).clone(), (places,), picked).reshape(shape)
