"""The transforms under the random draws equal their plain definitions, computed one by one."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from torchplug._core.choices import _trace_back as trace_back
from torchplug._core.choices import apply_swaps, inside_out_permutation
from torchplug._core.distributions import _fused_multiply_add as fused_multiply_add
from torchplug._core.distributions import narrow, scale_floats


@pytest.mark.parametrize("n", (0, 1, 2, 3, 17, 511, 512, 3000))
def test_the_shuffle_of_huge_permutations_is_the_inside_out_one(n: int) -> None:
    numbers = np.random.default_rng(n).integers(0, 2**64, n, np.uint64)
    expected: list[int] = []
    for i, number in enumerate(numbers.tolist()):
        place = number % (i + 1)
        expected.append(i)
        expected[i], expected[place] = expected[place], i
    np.testing.assert_array_equal(inside_out_permutation(numbers), expected)


@pytest.mark.parametrize("n", (1, 2, 3, 8, 511, 512, 2000))
def test_swaps_traced_back_equal_swaps_made_one_by_one(n: int) -> None:
    rng = np.random.default_rng(n)
    steps = np.arange(n)
    for targets in (rng.integers(steps, n), np.full(n, n - 1), steps, np.minimum(steps + 1, n - 1)):
        values = list(range(n))
        for place, target in enumerate(targets.tolist()):
            values[place], values[target] = values[target], values[place]
        np.testing.assert_array_equal(apply_swaps(targets), values)
        np.testing.assert_array_equal(trace_back(targets), values)


def test_a_fused_multiply_add_rounds_once() -> None:
    rng = np.random.default_rng(0)
    for span, start in zip(rng.normal(size=30), rng.normal(size=30), strict=True):
        x = rng.uniform(size=40)
        exact = [float(Fraction(value) * Fraction(span) + Fraction(start)) for value in x.tolist()]
        np.testing.assert_array_equal(fused_multiply_add(x, float(span), float(start)), exact)


@pytest.mark.parametrize("start", (1e-30, -1e-30))
def test_a_float32_product_and_sum_near_a_midpoint_rounds_once(start: float) -> None:
    for factor in range(4097, 4161, 2):
        x, span = factor * 2.0**-24, 4097.0
        # The product has 25 bits: it lies midway between two float32, and only the start tells which is nearer.
        midway = np.float64(x * span)
        below = np.float32(np.nextafter(midway, 0.0))
        expected = np.nextafter(below, np.float32(np.inf)) if start > 0 else below
        assert below < midway < np.nextafter(below, np.float32(np.inf))
        assert scale_floats(np.array([x], np.float32), start, span)[0] == expected


def test_halves_are_reached_through_float32() -> None:
    # 1 + 2**-11 is midway between two float16; what lies above it is lost in float32, and the even neighbour wins.
    assert narrow(np.array([1 + 2.0**-11 + 2.0**-40]), np.dtype(np.float16)).tolist() == [1.0]
    assert np.array([1 + 2.0**-11 + 2.0**-40]).astype(np.float16).tolist() == [1 + 2.0**-10]
