"""Polynomials of arrays, which the special functions are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchplug._core.kernels import composition
from torchplug_spec import dtypes as dt

__all__ = ["coefficients_for"]


@composition
def polynomial(F: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """Returns the polynomial with the given coefficients, the highest power first, by Horner's scheme."""
    out = F.add(F.multiply(x, coefficients[0]), coefficients[1])
    for coefficient in coefficients[2:]:
        out = F.add(F.multiply(out, x), coefficient)
    return out


def coefficients_for(F: Any, x: Any, exact: Sequence[float], short: Sequence[float]) -> Sequence[float]:
    """Returns the coefficients to use: the short polynomial is as good as float32 can show."""
    return exact if F.dtype_of(x) is dt.float64 else short
