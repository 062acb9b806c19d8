"""Activation functions, block by block in the cache, every step written into memory that is there already."""

from __future__ import annotations

import functools
import math
from typing import Final

import numpy as np

from torchplug_numpy.kernels.fused import BLOCK, blockwise, fused
from torchplug_numpy.kernels.windows import scratch
from torchplug_spec.backend import Array

__all__ = ["ActivationKernels"]

_INTEGERS = {"f": "i4", "d": "i8"}


@functools.cache
def _constant(value: float, character: str) -> Array:
    """Returns a block of one value: NumPy's maximum is three times faster with an array than with a number."""
    return np.full(BLOCK, value, character)


def _number(value: float, like: Array) -> Array:
    """Returns a 0-d array: a ufunc takes it 250 ns faster than a Python number."""
    return np.array(value, like.dtype)


# ---- relu ------------------------------------------------------------------------------------------------------------


_SMALL: Final = 512
"""Elements up to which `maximum` with a 0-d array is faster than with a block of one value."""


@functools.cache
def _zero(character: str) -> Array:
    return np.zeros((), character)


def _relu(x: Array) -> Array:
    if x.size <= _SMALL:
        return np.maximum(x, _zero(x.dtype.char))
    zeros = _constant(0, x.dtype.char)
    if x.size <= BLOCK and x.flags.c_contiguous and x.ndim:
        return np.maximum(x, zeros[: x.size].reshape(x.shape))

    def block(out: Array, x: Array) -> None:
        np.maximum(x, zeros[: x.size], out=out)

    return blockwise(block, x)


def _threshold_backward(g: Array, x: Array, threshold: float) -> Array:
    if g.dtype.char not in _INTEGERS:
        return NotImplemented
    limit = _number(threshold, x)

    def block(out: Array, g: Array, x: Array) -> None:
        # -1 where the gradient passes and 0 where not, as a mask of its bits: times 0 would make NaN of infinity.
        integers = _INTEGERS[g.dtype.char]
        mask = out.view(integers)
        np.subtract(np.less_equal(x, limit).view("i1"), 1, mask)
        np.bitwise_and(mask, g.view(integers), mask)

    return blockwise(block, g, x)


def _leaky_relu(x: Array, negative_slope: float) -> Array:
    if not 0 <= negative_slope <= 1:
        return NotImplemented
    slope = _number(negative_slope, x)

    def block(out: Array, x: Array) -> None:
        np.multiply(x, slope, out)
        np.maximum(x, out, out=out)

    return blockwise(block, x)


# ---- sigmoid, silu ---------------------------------------------------------------------------------------------------


def _sigmoid_into(out: Array, x: Array) -> None:
    np.negative(x, out)
    np.exp(out, out)
    np.add(out, 1, out)
    np.reciprocal(out, out)


def _sigmoid(x: Array) -> Array:
    return blockwise(_sigmoid_into, x) if x.dtype.char in "fd" else NotImplemented


def _sigmoid_backward(g: Array, out: Array) -> Array:
    def block(result: Array, g: Array, out: Array) -> None:
        np.subtract(1, out, result)
        np.multiply(result, out, result)
        np.multiply(result, g, result)

    return blockwise(block, g, out) if g.dtype.char in "fd" else NotImplemented


def _tanh_backward(g: Array, out: Array) -> Array:
    def block(result: Array, g: Array, out: Array) -> None:
        np.multiply(out, out, result)
        np.subtract(1, result, result)
        np.multiply(result, g, result)

    return blockwise(block, g, out) if g.dtype.char in "fd" else NotImplemented


def _silu(x: Array) -> Array:
    def block(out: Array, x: Array) -> None:
        _sigmoid_into(out, x)
        np.multiply(out, x, out)

    return blockwise(block, x)


def _silu_backward(g: Array, x: Array) -> Array:
    def block(out: Array, g: Array, x: Array) -> None:
        gate = scratch("silu", x.shape, x.dtype)
        _sigmoid_into(gate, x)
        np.subtract(1, gate, out)
        np.multiply(out, x, out)
        np.add(out, 1, out)
        np.multiply(out, gate, out)
        np.multiply(out, g, out)

    return blockwise(block, g, x)


# ---- gelu ------------------------------------------------------------------------------------------------------------

_ABOVE = (
    0.3989422346276913, 0.03385254199709559, 0.004677254154119926, 0.0001688246493522814, 6.35211430905852e-06,
    2.274950066594084e-08,
)  # fmt: skip
_BELOW = (
    1.0, 0.25152165733333567, 0.028645811629251252, 0.0018844388484267878, 7.364719778951169e-05, 1.1975076909910122e-06,
)  # fmt: skip
_EDGE = 5.5
"""The normal distribution function is 1/2 + x P(x^2) / Q(x^2) for |x| <= 5.5, to 7e-9: P and Q, lowest power first.

Made by iteratively reweighted least squares on 3,000 Chebyshev points, the residual weighted by x / Q.
"""


def _horner(out: Array, t: Array, coefficients: tuple[float, ...]) -> None:
    np.multiply(t, coefficients[-1], out)
    for coefficient in coefficients[-2:0:-1]:
        np.add(out, coefficient, out)
        np.multiply(out, t, out)
    np.add(out, coefficients[0], out)


def _normal_into(out: Array, x: Array) -> None:
    """Writes the normal distribution function of float32 x."""
    near, square, below = (scratch(name, x.shape, x.dtype) for name in ("near", "square", "below"))
    np.minimum(x, _constant(_EDGE, "f")[: x.size], out=near)
    np.maximum(near, _constant(-_EDGE, "f")[: x.size], out=near)
    np.multiply(near, near, square)
    _horner(out, square, _ABOVE)
    _horner(below, square, _BELOW)
    np.divide(out, below, out)
    np.multiply(out, near, out)
    np.add(out, 0.5, out)


_ROOT = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


def _bell_into(out: Array, x: Array) -> None:
    """Writes tanh(sqrt(2/pi) (x + 0.044715 x^3))."""
    np.multiply(x, x, out)
    np.multiply(out, _ROOT * _CUBIC, out)
    np.add(out, _ROOT, out)
    np.multiply(out, x, out)
    np.tanh(out, out)


def _gelu_block(out: Array, x: Array) -> None:
    _normal_into(out, x)
    np.multiply(out, x, out)


def _gelu_tanh_block(out: Array, x: Array) -> None:
    _bell_into(out, x)
    np.add(out, 1, out)
    np.multiply(out, x, out)
    np.multiply(out, 0.5, out)


def _gelu(x: Array, approximate: str) -> Array:
    if approximate == "tanh":
        return blockwise(_gelu_tanh_block, x)
    return blockwise(_gelu_block, x) if x.dtype.char == "f" else NotImplemented


def _gelu_backward_block(out: Array, g: Array, x: Array) -> None:
    """The distribution function plus x times the density."""
    _normal_into(out, x)
    density = scratch("square", x.shape, x.dtype)
    np.multiply(x, x, density)
    np.multiply(density, -0.5, density)
    np.exp(density, density)
    np.multiply(density, 1 / math.sqrt(2 * math.pi), density)
    np.multiply(density, x, density)
    np.add(out, density, out)
    np.multiply(out, g, out)


def _gelu_tanh_backward_block(out: Array, g: Array, x: Array) -> None:
    """(1 + t) / 2 + x (1 - t^2) / 2 * sqrt(2/pi) (1 + 3 * 0.044715 x^2) with the tanh t."""
    bell, steep = scratch("near", x.shape, x.dtype), scratch("square", x.shape, x.dtype)
    _bell_into(bell, x)
    np.multiply(x, x, steep)
    np.multiply(steep, 3 * _CUBIC * _ROOT, steep)
    np.add(steep, _ROOT, steep)
    np.multiply(steep, x, steep)
    np.multiply(bell, bell, out)
    np.subtract(1, out, out)
    np.multiply(out, steep, out)
    np.add(out, bell, out)
    np.add(out, 1, out)
    np.multiply(out, 0.5, out)
    np.multiply(out, g, out)


def _gelu_backward(g: Array, x: Array, approximate: str) -> Array:
    if approximate == "tanh":
        return blockwise(_gelu_tanh_backward_block, g, x)
    return blockwise(_gelu_backward_block, g, x) if g.dtype.char == "f" else NotImplemented


class ActivationKernels:
    """Elementwise kernels; float64 gelu, whose erf needs more digits, is left to the composition."""

    relu = fused("relu", _relu)
    threshold_backward = fused("threshold_backward", _threshold_backward, partial=True)
    leaky_relu = fused("leaky_relu", _leaky_relu, partial=True)
    sigmoid_backward = fused("sigmoid_backward", _sigmoid_backward, partial=True)
    tanh_backward = fused("tanh_backward", _tanh_backward, partial=True)
    silu = fused("silu", _silu)
    silu_backward = fused("silu_backward", _silu_backward)
    gelu = fused("gelu", _gelu, partial=True)
    gelu_backward = fused("gelu_backward", _gelu_backward, partial=True)
    sigmoid = fused("sigmoid", _sigmoid, partial=True)
