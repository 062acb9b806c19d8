"""Values read off engine arrays, and whether two of them are the same number up to rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from torchplug_spec import DType

__all__ = ["Tolerance", "Value", "Worn"]

_ROUNDINGS, _ROUNDINGS_OF_16_BITS = 256, 4
_NOISE = 8
"""Roundings of a typical input that a result may be off by: sums that should be 0 are not, and differ by engine."""
_MASKS = 16
_NOISY = 1e-3
_GROWTH = 16
"""How much an op may widen the deviation of its inputs: two runs drift apart by more than one op's roundings."""
_SAMPLE = 4096
_SHOWN = 16
_MANTISSA = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52, "complex64": 23, "complex128": 52}


class Value:
    """What a tensor held at one moment: its numbers as a NumPy array that nothing else writes, and its dtype."""

    __slots__ = ("array", "dtype")

    def __init__(self, array: np.ndarray, dtype: DType) -> None:
        self.array = array
        self.dtype = dtype

    @staticmethod
    def of(F: Any, array: Any) -> Value:
        """Returns the value of a raw array of the engine whose namespace is `F`, copied."""
        return Value(np.array(F.to_numpy(array)), F.dtype_of(array))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def inexact(self) -> bool:
        return self.dtype.kind in ("float", "complex")

    def at(self, place: tuple[int, ...]) -> Any:
        """Returns one element as a Python number."""
        return self.wide()[place].item() if self.inexact else self.array[place].item()

    def wide(self) -> np.ndarray:
        """Returns the numbers as float64 or complex128."""
        return self.array.astype(np.complex128 if self.dtype.is_complex else np.float64)

    def __repr__(self) -> str:
        size = f"{self.dtype.name} of size {list(self.shape)}"
        if self.array.size > _SHOWN:
            return size
        numbers = self.wide() if self.dtype.name == "bfloat16" else self.array
        return f"{np.array2string(numbers, separator=', ', max_line_width=10_000).replace(chr(10), '')} ({size})"


Pair = tuple[Value, Value]


class Worn:
    """How much two engines' inputs of one op are apart already, and how large a typical number in them is.

    `noise` has, by shape, the places where inputs of that shape have no digit in common: Adam makes whole steps of them.
    """

    __slots__ = ("absolute", "count", "noise", "relative", "typical")

    def __init__(
        self, pairs: Sequence[Pair] = (), relative: float = 0.0, absolute: float = 0.0, masked: bool = True
    ) -> None:
        self.relative, self.absolute, self.typical = relative, absolute, 0.0
        self.count = 1
        self.noise: dict[tuple[int, ...], np.ndarray] = {}
        for first, second in pairs:
            if not first.inexact or first.shape != second.shape:
                continue
            relative, absolute = _deviation(first, second)
            self.relative, self.absolute = max(self.relative, relative), max(self.absolute, absolute)
            self.typical = max(self.typical, _typical(first, masked))
            self.count = max(self.count, first.array.size)

    def add_noise(self, pairs: Sequence[Pair]) -> None:
        """Notes where inputs are noise, for an elementwise op that may make it as large as everything else."""
        for first, second in pairs:
            if first.inexact and first.shape == second.shape:
                a, b = first.wide(), second.wide()
                with np.errstate(all="ignore"):
                    noisy = np.abs(a - b) > _NOISY * np.maximum(np.abs(a), np.abs(b))
                self.noise[first.shape] = noisy | self.noise.get(first.shape, False)


NEW = Worn()


class Tolerance:
    """How far two engines may be apart: given numbers, or roundings of the dtype and what the inputs explain."""

    def __init__(self, rtol: float | None = None, atol: float | None = None) -> None:
        self.rtol = rtol
        self.atol = atol
        self._drift = 0.0
        self._drift_of_gradients = 0.0
        self._drift_of_memory = 0.0
        self._latest = 0.0
        self._accepted: set[tuple[int, int]] = set()

    def differing(self, first: Value, second: Value, worn: Worn = NEW) -> np.ndarray:
        """Returns where two values of one dtype and shape differ, as a boolean array; nowhere if `accept` saw the pair."""
        if not first.inexact:
            return np.asarray(first.array != second.array)
        a, b = first.wide(), second.wide()
        finite = np.isfinite(a) & np.isfinite(b)
        with np.errstate(all="ignore"):
            apart = np.abs(a - b)
            larger = np.maximum(np.abs(a), np.abs(b))
            close = apart <= self._margin(first, larger, finite, worn)
        wrong = np.asarray(~np.where(finite, close, (a == b) | (np.isnan(a) & np.isnan(b))))
        if first.shape in worn.noise:
            wrong &= ~worn.noise[first.shape]
        if wrong.any() and _fingerprint(first, second) in self._accepted:
            return np.zeros_like(wrong)
        return wrong

    def accept(self, first: Value, second: Value, worn: Worn, kind: str) -> None:
        """Remembers a pair as the same: whoever reads it later is not to blame for what the two differ by.

        `kind`: "op", "gradient", "view" or "write", the event it comes from.
        """
        if not first.inexact or first.array.tobytes() == second.array.tobytes():
            return
        self._accepted.add(_fingerprint(first, second))
        relative, absolute = _deviation(first, second)
        if kind == "gradient":
            self._drift_of_gradients = max(self._drift_of_gradients, absolute)
        elif kind == "write":
            self._drift_of_memory = max(self._drift_of_memory, absolute)
        elif kind == "op":
            self._latest = absolute
            if relative:
                self._drift = max(self._drift, absolute / max(absolute / relative, worn.typical))

    def drifted(self, *, gradient: bool = False, memory: bool = False) -> Worn:
        """Returns how far apart may be by now what no op explains: a sum of gradients, memory written in parts."""
        absolute = self._drift_of_gradients if gradient else 0.0
        if memory:
            absolute = max(absolute, self._drift_of_memory, self._latest)
        return Worn(relative=self._drift, absolute=absolute)

    def _margin(self, value: Value, larger: np.ndarray, finite: np.ndarray, worn: Worn) -> Any:
        if self.rtol is not None or self.atol is not None:
            return (self.rtol or 0.0) * larger + (self.atol or 0.0)
        scale = float(larger[finite].max()) if finite.any() else 0.0
        rounding = 2.0 ** -_MANTISSA[value.dtype.name]
        roundings = _ROUNDINGS_OF_16_BITS if value.dtype.itemsize == 2 else _ROUNDINGS
        summed = max(1.0, worn.count / max(1, value.array.size)) ** 0.5
        return max(
            roundings * rounding * scale,
            _NOISE * rounding * summed * worn.typical,
            _GROWTH * worn.relative * scale,
            _GROWTH * summed * worn.absolute,
        )


def _fingerprint(first: Value, second: Value) -> tuple[int, int]:
    return hash(first.array.tobytes()), hash(second.array.tobytes())


def _deviation(first: Value, second: Value) -> tuple[float, float]:
    """Returns how far two values are apart, relative to the largest number in them and in absolute terms."""
    a, b = first.wide(), second.wide()
    finite = np.isfinite(a) & np.isfinite(b)
    if not finite.any():
        return 0.0, 0.0
    a, b = a[finite], b[finite]
    absolute = float(np.abs(a - b).max())
    scale = float(np.maximum(np.abs(a), np.abs(b)).max())
    return (absolute / scale if scale else 0.0), absolute


def _typical(value: Value, masked: bool) -> float:
    """Returns the root mean square of the numbers; where some may be huge to mask others, not far above the lower quartile."""
    numbers = value.wide().reshape(-1)
    sizes = np.abs(numbers[:: max(1, numbers.size // _SAMPLE)])
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not sizes.size:
        return 0.0
    with np.errstate(over="ignore"):
        size = float(np.sqrt(np.mean(sizes * sizes)))
    return min(size, _MASKS * float(np.quantile(sizes, 0.25))) if masked else size
