"""The functions that loops are made of, against NumPy's in higher precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from torchplug_numba import mathematics, reductions
from torchplug_numba.compiling import compiled


@compiled()
def _exp(x: Any) -> Any:
    return mathematics.exp(x)


@compiled()
def _expm1(x: Any) -> Any:
    return mathematics.expm1(x)


@compiled()
def _log1p(x: Any) -> Any:
    return mathematics.log1p_of_fraction(x)


@compiled()
def _normal(x: Any) -> Any:
    return mathematics.normal(x)


@compiled()
def _largest(x: Any) -> Any:
    return reductions.largest(x)


def units(got: np.ndarray, expected: np.ndarray, dtype: type) -> float:
    """Returns the greatest error in units in the last place of what was expected."""
    return float(np.max(np.abs(got - expected) / np.spacing(np.abs(expected).astype(dtype)).astype(np.longdouble)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("function", "reference", "low", "high"),
    [(_exp, np.exp, -86, 88), (_expm1, np.expm1, -40, 40), (_expm1, np.expm1, -1e-3, 1e-3), (_log1p, np.log1p, 0, 1)],
    ids=["exp", "expm1", "expm1 near 0", "log1p"],
)
def test_functions_are_within_two_units_in_the_last_place(
    function: Callable[[Any], Any], reference: Callable[..., Any], low: float, high: float, dtype: type
) -> None:
    x = np.random.default_rng(0).uniform(low, high, 20000).astype(dtype)
    got = np.array([function(each) for each in x], dtype)
    assert units(got.astype(np.longdouble), reference(x.astype(np.longdouble)), dtype) <= 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", ["exp", "expm1"])
def test_what_is_too_large_or_too_small_is_what_numpy_makes_of_it(function: str, dtype: type) -> None:
    edges = [np.nan, np.inf, -np.inf, 0, -0.0, 1e30, -1e30, 88.5, 89, -88, -103, -104, -105, 709, 710, -708, -744, -746]
    x = np.array(edges, dtype)
    with np.errstate(all="ignore"):
        expected = getattr(np, function)(x)
    got = np.array([{"exp": _exp, "expm1": _expm1}[function](each) for each in x], dtype)
    np.testing.assert_allclose(got, expected, rtol=1e-5 if dtype is np.float32 else 1e-14, atol=5e-324)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_normal_distribution_is_right_to_a_rounding_of_one(dtype: type) -> None:
    x = np.linspace(-9, 9, 5001).astype(dtype)
    expected = [0.5 * math.erfc(-each * math.sqrt(0.5)) for each in x.astype(np.float64)]
    np.testing.assert_allclose([_normal(each) for each in x], expected, rtol=0, atol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_maximum_knows_signs_infinities_and_nan(dtype: type) -> None:
    rows = [[1, 3, 2], [-3, -1, -2], [0, -0.0], [-np.inf, -1e30], [-np.inf, -np.inf], [np.inf, 5], [-5.0]]
    for row in rows:
        assert _largest(np.array(row, dtype)) == np.max(np.array(row, dtype))
    assert np.isnan(_largest(np.array([1, np.nan, np.inf], dtype)))
