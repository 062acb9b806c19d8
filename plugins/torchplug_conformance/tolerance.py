"""How far apart two right answers may be: a function of the dtype and of how many numbers went into one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from torchplug_spec import DType

__all__ = ["EPSILON", "Tolerance"]

EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
"""Distance from 1 to the next number of each real type."""

ROUNDINGS = 16
"""Roundings allowed for one number that went through no reduction: compositions take up to about that many steps."""

LARGE = 100.0
"""Arguments beyond this magnitude are there to overflow or saturate, which has to happen exactly."""


class Tolerance:
    """The largest difference allowed between a result and its reference.

    The errors of n roundings add up like a random walk, sqrt(n), where n is the size of the largest argument. They are
    relative to the largest number that took part, because sums cancel, and grow with the arguments' magnitude (up to
    LARGE of it), because exp(x) errs by x roundings. `passes` counts the runs that led to the result: 1 forward, 2 with
    its gradient, 3 with the gradient of that.
    """

    def __init__(self, dtype: DType, inputs: Sequence[np.ndarray], passes: int = 1) -> None:
        epsilon = EPSILON.get(dtype.to_real().name, EPSILON["float32"])
        length = max((array.size for array in inputs), default=1)
        scale = max((largest(array) for array in inputs if array.dtype.kind not in "biu"), default=1.0)
        self.relative = passes * ROUNDINGS * epsilon * max(1.0, length) ** 0.5 * min(max(scale, 1.0), LARGE)
        self.scale = min(scale, 1.0)

    def bound(self, expected: np.ndarray) -> np.ndarray:
        """Returns the largest difference allowed at each place."""
        allowed: np.ndarray = self.relative * (np.abs(expected) + max(largest(expected), self.scale))
        return allowed

    def close(self, got: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Returns where two arrays agree: NaN with NaN, infinities of one sign, numbers within the bound."""
        with np.errstate(all="ignore"):
            same = (got == expected) | (np.isnan(got) & np.isnan(expected))
            agree: np.ndarray = same | (np.abs(got - expected) <= self.bound(expected))
            return agree


def largest(array: np.ndarray) -> float:
    """Returns the largest finite magnitude in an array, 1 if there is none."""
    values = np.abs(array.astype(np.complex128 if array.dtype.kind == "c" else np.float64))
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else 1.0
