"""Permutations and weighted choices from random numbers already drawn, as PyTorch's CPU kernels make them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchplug._core.scalar_types import SCALARS, FloatType, names

__all__ = [
    "check_multinomial",
    "inside_out_permutation",
    "is_race",
    "permutation",
    "with_replacement",
    "without_replacement",
]

# Below this many swaps a loop over a list is faster than sorting.
_LOOP = 512

_MAX_CATEGORIES = 2**24


def permutation(n: int, words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Returns 0, 1, ..., n - 1 shuffled from the front (Fisher and Yates).

    Shape: words (max(n - 1, 0),) of 32-bit values, result (n,) with n <= 2**31.
    """
    targets = np.arange(n, dtype=np.int64)
    remaining = np.arange(n, 1, -1, dtype=np.uint32)
    targets[:-1] += np.remainder(words.astype(np.uint32), remaining, dtype=np.uint32)
    return apply_swaps(targets)


def inside_out_permutation(numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Returns 0, 1, ..., n - 1 shuffled by inserting each number among those before it (Fisher and Yates, inside out).

    Shape: numbers (n,) of 64-bit values, result (n,) with n <= 2**31.
    """
    n = numbers.size
    places = np.arange(n)
    # Step i swaps i with a place before it. The inverse runs the steps backwards, which seen from the end is the
    # shuffle from the front.
    partners = (numbers % np.arange(1, n + 1, dtype=np.uint64)).astype(np.int64)
    inverse = (n - 1 - apply_swaps(n - 1 - partners[::-1]))[::-1]
    out = np.empty(n, np.int64)
    out[inverse] = places
    return out


def check_multinomial(weights: NDArray[Any], num_samples: int, replacement: bool) -> None:
    """Raises RuntimeError, with PyTorch's sentence, for weights or a number of samples that cannot be drawn."""
    if weights.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    scalar = SCALARS.get(weights.dtype)
    if not isinstance(scalar, FloatType):
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {names(weights.dtype)[0]}")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    categories = weights.shape[-1]
    if not replacement and num_samples > categories:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if categories > _MAX_CATEGORIES:
        raise RuntimeError("number of categories cannot exceed 2^24")
    finite = weights <= scalar.largest
    if is_race(num_samples, replacement):
        if not (finite & (weights >= 0)).all():
            raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    elif not (weights >= 0).all():
        raise RuntimeError("invalid multinomial distribution (encountering probability entry < 0)")
    elif not finite.all():
        raise RuntimeError("invalid multinomial distribution (encountering probability entry = infinity or NaN)")
    if not (weights > 0).any(-1).all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")


def is_race(num_samples: int, replacement: bool) -> bool:
    """Returns whether samples come from `without_replacement`; a single one does, replaced or not."""
    return num_samples == 1 or not replacement


def with_replacement(weights: NDArray[Any], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns the index of the category in which each uniform number falls.

    Shape: weights (..., categories), uniform (..., samples), result int64 (..., samples).
    """
    exact = weights.dtype if weights.dtype.itemsize > 2 else np.dtype(np.float32)
    out = np.empty(uniform.shape, np.int64)
    rows = zip(weights.reshape(-1, weights.shape[-1]), np.atleast_2d(uniform), np.atleast_2d(out), strict=True)
    for row, samples, found in rows:
        # Summed from left to right in the weights' own precision, as PyTorch sums.
        with np.errstate(over="ignore", invalid="ignore"):
            cumulative = np.add.accumulate(row, dtype=exact)
            cumulative /= cumulative[-1]
        found[:] = np.searchsorted(cumulative, samples)
    return out


def without_replacement(weights: NDArray[Any], exponential: NDArray[Any], num_samples: int) -> NDArray[np.int64]:
    """Returns the indices of the largest `weights / exponential`, largest first (an exponential race).

    Shape: weights and exponential (..., categories), result int64 (..., num_samples).
    """
    with np.errstate(all="ignore"):
        priority: NDArray[Any] = weights / exponential
    if num_samples == 1:
        return np.asarray(priority.argmax(-1, keepdims=True), np.int64)
    order = np.argsort(-priority, axis=-1, kind="stable")
    return np.ascontiguousarray(order[..., :num_samples], np.int64)


def apply_swaps(targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns what `for i in range(n): swap(a[i], a[targets[i]])` makes of a = 0, 1, ..., n - 1; a fresh array.

    Shape: targets (n,) with i <= targets[i] < n <= 2**31, result (n,).
    """
    if targets.size < _LOOP:
        return _swap_one_by_one(targets.tolist())
    return _trace_back(targets)


def _swap_one_by_one(targets: list[int]) -> NDArray[np.int64]:
    values = list(range(len(targets)))
    for place, target in enumerate(targets):
        values[place], values[target] = values[target], values[place]
    return np.array(values, np.int64)


def _trace_back(targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Swaps by following each value back to its start: no place is touched again once its own step is over.

    Step i takes for good what stands at targets[i], and leaves there what stood at place i. So what stands at a place
    was left by the last earlier step aiming at it, and that step had found it at its own place, where the same holds;
    with no earlier step it is the starting value. Sorting by target brings the steps that aim at one place together.
    """
    n = targets.size
    bits = (n - 1).bit_length()
    order = targets << bits
    order |= np.arange(n)
    order.sort()
    target = (order >> bits).astype(np.int32)
    step = (order & ((1 << bits) - 1)).astype(np.int32)
    is_last = np.append(target[1:] != target[:-1], True)
    earlier = np.flatnonzero(~is_last)

    # left_by[i]: the last step that aims at place i, i itself when there is none. A step that aims at its own place
    # appears here too, but nobody asks what it leaves.
    left_by = np.arange(n, dtype=np.int32)
    left_by[target[is_last]] = step[is_last]
    found = _roots(left_by)
    out = targets.copy()
    out[step[earlier + 1]] = found[step[earlier]]
    return out


def _roots(parent: NDArray[Any]) -> NDArray[Any]:
    """Returns in place the end of each chain i, parent[i], parent[parent[i]], ... that stops where parent[i] == i."""
    active = np.flatnonzero(parent != np.arange(parent.size))
    reached = parent[active]
    while active.size:
        beyond = parent[reached]
        parent[active] = beyond
        moved = beyond != reached
        active, reached = active[moved], beyond[moved]
    return parent
