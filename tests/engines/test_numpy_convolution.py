"""Every form of convolution the NumPy engine chooses gives the sum that defines it, and so do its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from torchplug_numpy.kernels import convolution
from torchplug_numpy.kernels.banded import band_for
from torchplug_numpy.kernels.winograd import is_winograd

CASES = {
    "banded, one tile": ((3, 10, 12, 12), (20, 10, 5, 5), (0, 0), "banded"),
    "banded, several tiles": ((2, 9, 12, 28), (6, 9, 5, 5), (0, 0), "banded"),
    "banded, padded": ((2, 8, 11, 12), (7, 8, 5, 5), (2, 2), "banded"),
    "banded gradients, one channel": ((5, 1, 28, 28), (10, 1, 5, 5), (0, 0), "banded"),
    "winograd": ((5, 64, 16, 16), (65, 64, 3, 3), (1, 1), "winograd"),
    "winograd, tiles reach out": ((17, 64, 7, 11), (64, 64, 3, 3), (1, 1), "winograd"),
    "winograd, no padding": ((3, 66, 14, 14), (64, 66, 3, 3), (0, 0), "winograd"),
    "winograd, padded by two": ((9, 64, 6, 6), (64, 64, 3, 3), (2, 2), "winograd"),
    "columns": ((2, 8, 9, 9), (4, 8, 3, 3), (1, 1), "columns"),
}


def _form(x: tuple[int, ...], weight: tuple[int, ...], padding: tuple[int, int]) -> str:
    out = (x[2] + 2 * padding[0] - weight[2] + 1, x[3] + 2 * padding[1] - weight[3] + 1)
    window = (1, 1), padding, (1, 1)
    if band_for(x, weight, out, *window, backward=True) is not None:
        return "banded"
    return "winograd" if is_winograd(x, weight, out, *window, "f") else "columns"


def _windows(x: np.ndarray, kernel: tuple[int, ...], padding: tuple[int, int]) -> np.ndarray:
    wide = np.pad(x.astype("d"), ((0, 0), (0, 0), *[(pad, pad) for pad in padding]))
    return np.lib.stride_tricks.sliding_window_view(wide, kernel, (2, 3))


def _gradient_of_input(
    g: np.ndarray, weight: np.ndarray, padding: tuple[int, int], size: tuple[int, ...]
) -> np.ndarray:
    wide = np.zeros((g.shape[0], weight.shape[1], size[0] + 2 * padding[0], size[1] + 2 * padding[1]))
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            part = np.einsum("nohw,oc->nchw", g.astype("d"), weight[:, :, i, j].astype("d"))
            wide[:, :, i : i + g.shape[2], j : j + g.shape[3]] += part
    return wide[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]


def _close(got: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("case", CASES)
def test_a_convolution_and_its_gradients_are_the_sums_that_define_them(case: str, dtype: str) -> None:
    x_shape, w_shape, padding, form = CASES[case]
    assert _form(x_shape, w_shape, padding) == form
    random = np.random.default_rng(0)
    x, weight, bias = (random.standard_normal(shape).astype(dtype) for shape in (x_shape, w_shape, w_shape[:1]))
    window: Any = ((1, 1), padding, (1, 1))
    tolerance = 3e-5 if dtype == "f" else 1e-13
    windows = _windows(x, w_shape[2:], padding)
    expected = np.einsum("nchwij,ocij->nohw", windows, weight.astype("d"), optimize=True) + bias[:, None, None]
    _close(convolution._convolution(x, weight, bias, window, 1), expected, tolerance)
    # Gradients that do not lie in C order, as those of a permuted result do not.
    g = random.standard_normal(expected.shape[::-1]).astype(dtype).T
    _close(
        convolution._backward_input(g, weight, x_shape[2:], window, 1),
        _gradient_of_input(g, weight, padding, x_shape[2:]),
        tolerance,
    )
    _close(
        convolution._backward_weight(g, x, w_shape[2:], window, 1),
        np.einsum("nchwij,nohw->ocij", windows, g.astype("d"), optimize=True),
        tolerance,
    )


@pytest.mark.parametrize("case", ["banded, one tile", "winograd"])
def test_a_second_convolution_leaves_the_result_of_the_first_alone(case: str) -> None:
    x_shape, w_shape, padding, _ = CASES[case]
    x, weight = np.ones(x_shape, "f"), np.ones(w_shape, "f")
    window: Any = ((1, 1), padding, (1, 1))
    first = convolution._convolution(x, weight, None, window, 1)
    g = np.ones_like(first)
    gradients = [
        convolution._backward_input(g, weight, x_shape[2:], window, 1),
        convolution._backward_weight(g, x, w_shape[2:], window, 1),
    ]
    kept = [array.copy() for array in (first, *gradients)]
    convolution._convolution(2 * x, weight, None, window, 1)
    convolution._backward_input(3 * g, weight, x_shape[2:], window, 1)
    convolution._backward_weight(3 * g, x, w_shape[2:], window, 1)
    for array, copy in zip((first, *gradients), kept, strict=True):
        assert np.array_equal(array, copy)


def test_the_same_convolution_gives_the_same_bits_again() -> None:
    random = np.random.default_rng(0)
    x, weight = random.standard_normal((9, 64, 16, 16)).astype("f"), random.standard_normal((64, 64, 3, 3)).astype("f")
    window: Any = ((1, 1), (1, 1), (1, 1))
    results = [convolution._convolution(x, weight, None, window, 1) for _ in range(3)]
    assert all(np.array_equal(result, results[0]) for result in results)
