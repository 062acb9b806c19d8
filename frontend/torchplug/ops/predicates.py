"""Questions about tensors, answered with a Python bool or number: is_tensor, is_nonzero, numel."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import need_tensor
from torchplug._core.tensor import Tensor, shape_of

__all__ = [
    "is_complex",
    "is_conj",
    "is_floating_point",
    "is_neg",
    "is_nonzero",
    "is_same_size",
    "is_signed",
    "is_tensor",
    "numel",
]

_ALL = ("float", "complex", "int", "bool")


def _one(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3))


def _tensor_errors() -> Iterable[Sample]:
    yield Sample(1, error=(TypeError, "argument 'input' (position 1) must be Tensor, not int"))


@declare(samples=lambda make: [Sample(make(2)), Sample(1.0)], method=False, differentiable=False)
def is_tensor(obj: Any) -> bool:
    """Returns whether an object is a Tensor."""
    return isinstance(obj, Tensor)


@declare(samples=_one, errors=_tensor_errors, dtypes=_ALL, method=False, differentiable=False)
def is_floating_point(input: Tensor) -> bool:
    """Returns whether the element type is one of the float types."""
    need_tensor("is_floating_point", input)
    return input._kind.dtype.is_floating_point


@declare(samples=_one, errors=_tensor_errors, dtypes=_ALL, method=False, differentiable=False)
def is_complex(input: Tensor) -> bool:
    """Returns whether the element type is one of the complex types."""
    need_tensor("is_complex", input)
    return input._kind.dtype.is_complex


@declare(samples=_one, dtypes=_ALL, method=False, differentiable=False)
def is_signed(input: Tensor) -> bool:
    """Returns whether the element type holds negative numbers."""
    need_tensor("is_signed", input)
    return input._kind.dtype.is_signed


@declare(samples=_one, dtypes=("complex",), method=False, differentiable=False)
def is_conj(input: Tensor) -> bool:
    """Returns False: conjugates are computed, never pending."""
    need_tensor("is_conj", input)
    return False


@declare(samples=_one, dtypes=("complex",), method=False, differentiable=False)
def is_neg(input: Tensor) -> bool:
    """Returns False: negatives are computed, never pending."""
    need_tensor("is_neg", input)
    return False


def _nonzero_errors() -> Iterable[Sample]:
    import numpy as np

    words = "Boolean value of Tensor with {} ambiguous"
    yield Sample(np.ones(2, np.float32), error=(RuntimeError, words.format("more than one value is")))
    yield Sample(np.ones(0, np.float32), error=(RuntimeError, words.format("no values is")))


@declare(
    samples=lambda make: [Sample(make(1)), Sample(make(1, 1)), Sample(make(1) * 0)],
    errors=_nonzero_errors,
    dtypes=_ALL,
    differentiable=False,
)
def is_nonzero(input: Tensor) -> bool:
    """Returns whether the only element is not 0."""
    need_tensor("is_nonzero", input)
    count = math.prod(shape_of(input))
    if count != 1:
        raise RuntimeError(
            f"Boolean value of Tensor with {'more than one value' if count else 'no values'} is ambiguous"
        )
    return bool(input.item())


@declare(samples=lambda make: [Sample(make(2, 3), make(2, 3)), Sample(make(2), make(3))], differentiable=False)
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Returns whether two tensors have the same size."""
    need_tensor("is_same_size", input)
    need_tensor("is_same_size", other, "other", 2)
    return shape_of(input) == shape_of(other)


@declare(samples=_one, errors=_tensor_errors, dtypes=_ALL, method=False, differentiable=False)
def numel(input: Tensor) -> int:
    """Returns the number of elements."""
    need_tensor("numel", input)
    return math.prod(shape_of(input))
