"""Random arguments for the declared samples, and the element types that each declared kind is sampled with."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from torchplug._core.declare import Declaration, Sample
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["DTYPES", "Maker", "Sample", "samples_of"]

DTYPES: dict[str, tuple[DType, ...]] = {
    "float": (dt.float32, dt.float64, dt.float16, dt.bfloat16),
    "complex": (dt.complex64, dt.complex128),
    "int": (dt.int64, dt.int32, dt.uint8),
    "bool": (dt.bool_,),
}
"""The element types of each kind a declaration can name."""

KINDS = {dtype: kind for kind, dtypes in DTYPES.items() for dtype in dtypes}

NEAREST_ZERO = 0.1
"""Real numbers are drawn at least this far from zero, where abs, relu and sqrt have kinks or poles."""

SPACING = 0.05
"""Distance between unique numbers: far more than a finite difference moves one past another."""


class Maker:
    """Makes the random arrays of one function's samples: `make(3, 4)` has the dtype under test."""

    def __init__(self, name: str, dtype: DType, stream: int = 0) -> None:
        self.dtype = dtype
        self.kind = KINDS.get(dtype, "int")
        self._random = np.random.default_rng((zlib.crc32(name.encode()), stream))

    def __call__(
        self,
        *shape: Any,
        low: float | None = None,
        high: float | None = None,
        positive: bool = False,
        unique: bool = False,
        dtype: DType | np.dtype | None = None,
    ) -> np.ndarray:
        """Returns an array of `shape` in [low, high), by default away from zero, of the dtype under test by default."""
        size = _size(shape)
        wanted = self._dtype(dtype)
        if unique:
            values = self._unique(size, wanted, 0.0 if low is None else low)
        elif wanted.kind == "bool":
            values = self._random.integers(0, 2, size)
        elif wanted.kind in ("int", "uint"):
            first = low if low is not None else 1 if positive else -9 if wanted.is_signed else 0
            values = self._random.integers(int(first), 10 if high is None else int(high), size)
        elif wanted.is_complex:
            values = self._real(size, low, high, positive) + 1j * self._real(size, low, high, False)
        else:
            values = self._real(size, low, high, positive)
        return np.asarray(values).astype(wanted.numpy)

    def _dtype(self, asked: DType | np.dtype | None) -> DType:
        if asked is None:
            return self.dtype
        return asked if isinstance(asked, DType) else dt.from_numpy_dtype(np.dtype(asked))

    def index(self, shape: Any, bound: int, unique: bool = False) -> np.ndarray:
        """Returns int64 in [0, bound); `unique` repeats none along the last dimension."""
        size = _size((shape,))
        if not unique:
            return self._random.integers(0, bound, size)
        rows = [self._random.permutation(bound)[: size[-1]] for _ in range(math.prod(size[:-1]))]
        return np.array(rows, np.int64).reshape(size)

    def mask(self, *shape: Any) -> np.ndarray:
        """Returns bool, half of it True."""
        return self._random.integers(0, 2, _size(shape)).astype(np.bool_)

    def _real(self, size: tuple[int, ...], low: float | None, high: float | None, positive: bool) -> np.ndarray:
        if low is not None or high is not None:
            return self._random.uniform(-3.0 if low is None else low, 3.0 if high is None else high, size)
        values = self._random.uniform(NEAREST_ZERO, 3.0, size)
        return values if positive else values * self._random.choice((-1.0, 1.0), size)

    def _unique(self, size: tuple[int, ...], dtype: DType, low: float) -> np.ndarray:
        count = math.prod(size)
        order = self._random.permutation(count).reshape(size)
        if dtype.kind in ("int", "uint"):
            return order + int(low)
        # An offset of a third keeps every value off zero.
        return (order - (0 if low else count // 2) + 1 / 3) * SPACING + low


def _size(shape: tuple[Any, ...]) -> tuple[int, ...]:
    if len(shape) == 1 and not isinstance(shape[0], (int, np.integer)):
        return tuple(shape[0])
    return tuple(int(length) for length in shape)


def samples_of(declaration: Declaration, dtype: DType, stream: int = 0) -> Iterator[Sample]:
    """Yields the samples of a declaration for one dtype, the same on every call; other values for another stream."""
    if declaration.samples is not None:
        yield from declaration.samples(Maker(declaration.name, dtype, stream))
