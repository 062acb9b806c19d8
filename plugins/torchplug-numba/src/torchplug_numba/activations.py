"""Activation functions and their derivatives: chains of elementwise functions, in one pass over the memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from torchplug_numba.arrays import fits
from torchplug_numba.compiling import compiled, number
from torchplug_numba.mathematics import exp, expm1, log1p_of_fraction, normal, sigmoid
from torchplug_numba.threads import spread

__all__ = ["KERNELS"]

Loop = Callable[..., None]

# ---- one argument ----------------------------------------------------------------------------------------------------


@compiled()
def _sigmoid(out: Any, x: Any) -> None:
    for i in range(out.size):
        out[i] = sigmoid(x[i])


@compiled()
def _silu(out: Any, x: Any) -> None:
    for i in range(out.size):
        out[i] = x[i] * sigmoid(x[i])


@compiled()
def _silu_backward(out: Any, g: Any, x: Any) -> None:
    one = number(1.0, x[0])
    for i in range(out.size):
        gate = sigmoid(x[i])
        out[i] = g[i] * gate * (x[i] * (one - gate) + one)


@compiled()
def _sigmoid_backward(out: Any, g: Any, y: Any) -> None:
    one = number(1.0, y[0])
    for i in range(out.size):
        out[i] = g[i] * (one - y[i]) * y[i]


@compiled()
def _tanh_backward(out: Any, g: Any, y: Any) -> None:
    one = number(1.0, y[0])
    for i in range(out.size):
        out[i] = g[i] * (one - y[i] * y[i])


@compiled()
def _log_sigmoid(out: Any, x: Any) -> None:
    zero = number(0.0, x[0])
    for i in range(out.size):
        least = zero if x[i] > zero else x[i]
        out[i] = least - log1p_of_fraction(exp(-abs(x[i])))


@compiled()
def _log_sigmoid_backward(out: Any, g: Any, x: Any) -> None:
    for i in range(out.size):
        out[i] = g[i] * sigmoid(-x[i])


@compiled()
def _tanh_of_softplus(x: Any) -> Any:
    """Returns tanh(log(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2)."""
    two, most = number(2.0, x), number(20.0, x)
    power = exp(most if x > most else x)
    n = power * (power + two)
    return n / (n + two)


@compiled()
def _mish(out: Any, x: Any) -> None:
    for i in range(out.size):
        out[i] = x[i] * _tanh_of_softplus(x[i])


@compiled()
def _mish_backward(out: Any, g: Any, x: Any) -> None:
    one = number(1.0, x[0])
    for i in range(out.size):
        inner = _tanh_of_softplus(x[i])
        out[i] = g[i] * (inner + x[i] * sigmoid(x[i]) * (one - inner * inner))


@compiled()
def _hardswish(out: Any, x: Any) -> None:
    zero, three, six = number(0.0, x[0]), number(3.0, x[0]), number(6.0, x[0])
    for i in range(out.size):
        high = x[i] + three
        high = zero if high < zero else high
        out[i] = x[i] * (six if high > six else high) / six


@compiled()
def _hardswish_backward(out: Any, g: Any, x: Any) -> None:
    zero, half, three = number(0.0, x[0]), number(0.5, x[0]), number(3.0, x[0])
    for i in range(out.size):
        inner = g[i] * (x[i] / three + half) if x[i] < three else g[i]
        out[i] = zero if x[i] <= -three else inner


# ---- with numbers ----------------------------------------------------------------------------------------------------


@compiled()
def _softplus(out: Any, x: Any, beta: float, threshold: float) -> None:
    zero, slope, edge = number(0.0, x[0]), number(beta, x[0]), number(threshold, x[0])
    for i in range(out.size):
        scaled = x[i] * slope
        above = scaled if scaled > zero else zero  # log(1 + e^s) = max(s, 0) + log(1 + e^-|s|)
        curved = (above + log1p_of_fraction(exp(-abs(scaled)))) / slope
        out[i] = x[i] if scaled > edge else curved


@compiled()
def _softplus_backward(out: Any, g: Any, x: Any, beta: float, threshold: float) -> None:
    slope, edge = number(beta, x[0]), number(threshold, x[0])
    for i in range(out.size):
        scaled = x[i] * slope
        passed = g[i] * sigmoid(scaled)
        out[i] = g[i] if scaled > edge else passed


@compiled()
def _elu(out: Any, x: Any, alpha: float, scale: float, input_scale: float) -> None:
    zero, high, inner = number(0.0, x[0]), number(scale, x[0]), number(input_scale, x[0])
    low = number(alpha * scale, x[0])
    for i in range(out.size):
        below = zero if x[i] > zero else x[i]
        curved = expm1(below * inner) * low
        out[i] = curved if x[i] <= zero else x[i] * high


@compiled()
def _elu_backward(out: Any, g: Any, x: Any, alpha: float, scale: float, input_scale: float) -> None:
    zero, high, inner = number(0.0, x[0]), number(scale, x[0]), number(input_scale, x[0])
    low = number(alpha * scale * input_scale, x[0])
    for i in range(out.size):
        below = zero if x[i] > zero else x[i]
        curved = g[i] * (exp(below * inner) * low)
        out[i] = curved if x[i] <= zero else g[i] * high


@compiled()
def _leaky_relu(out: Any, x: Any, negative_slope: float) -> None:
    zero, slope = number(0.0, x[0]), number(negative_slope, x[0])
    for i in range(out.size):
        out[i] = x[i] if x[i] > zero else x[i] * slope


@compiled()
def _leaky_relu_backward(out: Any, g: Any, x: Any, negative_slope: float) -> None:
    zero, slope = number(0.0, x[0]), number(negative_slope, x[0])
    for i in range(out.size):
        out[i] = g[i] if x[i] > zero else g[i] * slope


@compiled()
def _threshold_backward(out: Any, g: Any, x: Any, threshold: float) -> None:
    zero, edge = number(0.0, x[0]), number(threshold, x[0])
    for i in range(out.size):
        out[i] = zero if x[i] <= edge else g[i]


@compiled()
def _hardtanh_backward(out: Any, g: Any, x: Any, low: float, high: float) -> None:
    zero, least, most = number(0.0, x[0]), number(low, x[0]), number(high, x[0])
    for i in range(out.size):
        out[i] = g[i] if (x[i] > least) & (x[i] < most) else zero


# ---- gelu ------------------------------------------------------------------------------------------------------------

_ROOT = math.sqrt(2 / math.pi)
_CUBIC = 0.044715
_DENSITY = 1 / math.sqrt(2 * math.pi)


@compiled()
def _gelu(out: Any, x: Any) -> None:
    for i in range(out.size):
        out[i] = x[i] * normal(x[i])


@compiled()
def _gelu_backward(out: Any, g: Any, x: Any) -> None:
    half, density = number(-0.5, x[0]), number(_DENSITY, x[0])
    for i in range(out.size):
        out[i] = g[i] * (normal(x[i]) + x[i] * (exp(x[i] * x[i] * half) * density))


@compiled()
def _gate(x: Any) -> Any:
    """Returns (1 + tanh(z)) / 2 = 1 / (1 + exp(-2z)) with z = sqrt(2/pi) (x + 0.044715 x^3)."""
    return sigmoid((x * x * x * number(_CUBIC, x) + x) * number(2 * _ROOT, x))


@compiled()
def _gelu_tanh(out: Any, x: Any) -> None:
    for i in range(out.size):
        out[i] = x[i] * _gate(x[i])


@compiled()
def _gelu_tanh_backward(out: Any, g: Any, x: Any) -> None:
    """The gate s plus x s' with s' = 2 s (1 - s) z'."""
    one, two, root, cubic = number(1.0, x[0]), number(2.0, x[0]), number(_ROOT, x[0]), number(3 * _CUBIC, x[0])
    for i in range(out.size):
        gate = _gate(x[i])
        steep = (x[i] * x[i] * cubic + one) * root
        out[i] = g[i] * (gate + x[i] * two * gate * (one - gate) * steep)


# ---- the kernels -----------------------------------------------------------------------------------------------------


def _fill(loop: Loop, arrays: tuple[Any, ...], numbers: tuple[Any, ...]) -> Any:
    if not fits(*arrays) or arrays[0].shape != arrays[-1].shape:
        return NotImplemented
    out = np.empty(arrays[0].shape, arrays[0].dtype)
    # Numbers go in as floats, whatever they are: for integers Numba would compile the loop once more.
    spread(loop, [x.reshape(-1) for x in (out, *arrays)], [float(each) for each in numbers])
    return out


def _forward(loop: Loop) -> Callable[..., Any]:
    return lambda x, *numbers: _fill(loop, (x,), numbers)


def _backward(loop: Loop) -> Callable[..., Any]:
    return lambda g, x, *numbers: _fill(loop, (g, x), numbers)


def gelu(x: Any, approximate: str) -> Any:
    return _fill(_gelu_tanh if approximate == "tanh" else _gelu, (x,), ())


def gelu_backward(g: Any, x: Any, approximate: str) -> Any:
    return _fill(_gelu_tanh_backward if approximate == "tanh" else _gelu_backward, (g, x), ())


KERNELS: Final[dict[str, Callable[..., Any]]] = {
    "gelu": gelu,
    "gelu_backward": gelu_backward,
    "sigmoid": _forward(_sigmoid),
    "silu": _forward(_silu),
    "log_sigmoid": _forward(_log_sigmoid),
    "mish": _forward(_mish),
    "hardswish": _forward(_hardswish),
    "softplus": _forward(_softplus),
    "elu": _forward(_elu),
    "leaky_relu": _forward(_leaky_relu),
    "sigmoid_backward": _backward(_sigmoid_backward),
    "tanh_backward": _backward(_tanh_backward),
    "silu_backward": _backward(_silu_backward),
    "log_sigmoid_backward": _backward(_log_sigmoid_backward),
    "mish_backward": _backward(_mish_backward),
    "hardswish_backward": _backward(_hardswish_backward),
    "softplus_backward": _backward(_softplus_backward),
    "elu_backward": _backward(_elu_backward),
    "leaky_relu_backward": _backward(_leaky_relu_backward),
    "threshold_backward": _backward(_threshold_backward),
    "hardtanh_backward": _backward(_hardtanh_backward),
}
"""Kernel name -> function; NotImplemented leaves a call to the kernel it replaces."""
