"""Calls of the required reductions, products, reshapes and selections with what NumPy says they give."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from torchplug_conformance.parts.elementwise_probes import Probe, in_wide
from torchplug_conformance.sampling import Maker
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["DEVICE", "arranging_probes"]

DEVICE = "the default device"
"""Stands for the backend's own spelling of its first device."""

AXES: tuple[int | tuple[int, ...] | None, ...] = (None, 0, 2, -1, (0, 2), (0, 1, 2), ())

PRODUCTS = (((3, 4), (4, 2)), ((5, 3, 4), (4, 2)), ((2, 1, 3, 4), (5, 4, 2)), ((2, 0), (0, 3)), ((1, 1), (1, 1)))
"""Pairs of shapes of matrices, and of stacks of matrices that broadcast."""


def arranging_probes(dtype: DType) -> Iterator[Probe]:
    """Yields the probes of one element type."""
    make = Maker("contract-arranging", dtype)
    yield from _reductions(make, dtype)
    yield from _positions(make, dtype)
    if dtype.kind != "bool":
        yield from _products(make, dtype)
        yield from _scatters(make, dtype)
    yield from _shapes(make, dtype)
    yield from _creation(dtype)


def _reductions(make: Maker, dtype: DType) -> Iterator[Probe]:
    x = make(2, 3, 4, low=0, high=3) if dtype.kind == "uint" else make(2, 3, 4)
    for axis in AXES:
        for keepdims in (False, True):
            if dtype.kind != "bool":
                total = in_wide(lambda a, n, k: a.sum(n, keepdims=k), x, axis, keepdims)
                yield Probe("sum", (x, axis, keepdims), total, dtype)
            if not dtype.is_complex:
                yield Probe("max", (x, axis, keepdims), x.max(axis, keepdims=keepdims), dtype)
    if dtype.kind == "bool":
        return
    small = make(2, 3, low=1, high=3)
    for axis in (None, 0, (0, 1)):
        yield Probe("prod", (small, axis, True), in_wide(lambda a, n: a.prod(n, keepdims=True), small, axis), dtype)
    empty = make(0, 3)
    yield Probe("sum", (empty, 0, False), np.zeros(3), dtype)
    yield Probe("prod", (empty, 0, False), np.ones(3), dtype)


def _positions(make: Maker, dtype: DType) -> Iterator[Probe]:
    if dtype.is_complex:
        return
    tied = np.array([[2, 0, 2, 1, 0], [0, 0, 1, 1, 1]]).astype(dtype.numpy)
    for axis in (0, 1, -1):
        yield Probe("argmax", (tied, axis, False), tied.argmax(axis), dt.int64)
        yield Probe("argmax", (tied, axis, True), tied.argmax(axis, keepdims=True), dt.int64)
        for descending in (False, True):
            yield Probe("argsort", (tied, axis, descending), _stable_order(tied, axis, descending), dt.int64)
    if dtype.is_floating_point:
        holed = np.array([1.0, np.nan, np.inf, -np.inf, np.nan, 0.0]).astype(dtype.numpy)
        yield Probe("argmax", (holed, 0, False), np.asarray(1), dt.int64)
        yield Probe("max", (holed, 0, False), np.asarray(np.nan), dtype)
        yield Probe("argsort", (holed, 0, False), np.array([3, 5, 0, 2, 1, 4]), dt.int64)
        yield Probe("argsort", (holed, 0, True), np.array([1, 4, 2, 0, 5, 3]), dt.int64)


def _stable_order(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    keys = -x.astype(np.float64) if descending else x
    return np.argsort(keys, axis=axis, kind="stable")


def _products(make: Maker, dtype: DType) -> Iterator[Probe]:
    for left, right in PRODUCTS:
        x, y = (make(shape, low=0, high=3) if dtype.kind == "uint" else make(shape) for shape in (left, right))
        yield Probe("matmul", (x, y), in_wide(np.matmul, x, y), dtype)


def _scatters(make: Maker, dtype: DType) -> Iterator[Probe]:
    for length, indices in ((5, [0, 3, 3, 3, 1]), (1, [0, 0]), (4, [])):
        x, places = make(length, low=0, high=9), np.array(indices, np.int64)
        values = make(len(indices), low=0, high=9)
        yield Probe("scatter_add", (x, places, values), in_wide(_scatter_add, x, places, values), dtype)


def _scatter_add(x: np.ndarray, places: np.ndarray, values: np.ndarray) -> np.ndarray:
    out = x.copy()
    np.add.at(out, places, values)
    return out


def _shapes(make: Maker, dtype: DType) -> Iterator[Probe]:
    x = make(2, 3, 4)
    for shape in ((6, 4), (24,), (2, 3, 4, 1), (1, 24)):
        yield Probe("reshape", (x, shape), x.reshape(shape), dtype)
    yield Probe("reshape", (x[:1, :1, :1].copy(), ()), x[0, 0, 0].reshape(()), dtype)
    for axes in ((2, 0, 1), (0, 1, 2), (1, 0, 2)):
        yield Probe("permute_dims", (x, axes), x.transpose(axes), dtype)
    row = make(1, 3)
    for wide in ((4, 3), (2, 1, 3), (0, 3), (1, 3)):
        yield Probe("broadcast_to", (row, wide), np.broadcast_to(row, wide), dtype)
    scalar = make()
    yield Probe("broadcast_to", (scalar, (2, 2)), np.broadcast_to(scalar, (2, 2)), dtype)
    for axis in (0, 1, 2):
        pieces = [make([size if place == axis else 2 for place in range(3)]) for size in (1, 0, 3)]
        yield Probe("concat", (pieces, axis), np.concatenate(pieces, axis), dtype)
    for axis, indices in ((0, [1, 1, 0]), (1, [2]), (2, []), (2, [3, 0, 3, 2])):
        places = np.array(indices, np.int64)
        yield Probe("take", (x, places, axis), x.take(places, axis), dtype)


def _creation(dtype: DType) -> Iterator[Probe]:
    if dtype.kind == "bool" or dtype.is_complex:
        return
    ranges: list[tuple[float, float, float]] = [(0, 5, 1), (2, 9, 3), (3, 3, 1)]
    ranges += [(5, 0, -2), (-3, 3, 2)] if dtype.is_signed else []
    ranges += [(0.0, 1.0, 0.25), (1.5, -1.0, -0.5)] if dtype.is_floating_point else []
    for start, stop, step in ranges:
        count = max(0, math.ceil((stop - start) / step))
        expected = np.array([start + place * step for place in range(count)]).astype(dtype.numpy)
        yield Probe("arange", (start, stop, step, dtype, DEVICE), expected, dtype)
