"""Elementwise kernels of the CuPy engine: each composition as one pass over memory instead of one per function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import cupy

from torchplug_spec.backend import Array, kernel

__all__ = ["ELEMENTWISE", "PREAMBLE", "STEPS", "FusedKernels", "body"]

PREAMBLE: Final = """
template<typename T> struct wide { typedef T type; };
template<> struct wide<float16> { typedef float type; };
template<typename W> __device__ inline W sigmoid_of(W x) { return W(1) / (W(1) + exp(-x)); }
template<typename W> __device__ inline W clipped(W x, W low, W high) {
    W raised = x < low ? low : x;  // a comparison with NaN is false: NaN stays
    return raised > high ? high : raised;
}
template<typename W> __device__ inline W softplus_of(W x) { return x > W(20) ? x : log1p(exp(x)); }
template<typename W> __device__ inline W gelu_inner(W x) {
    return tanh(W(0.7978845608028654) * (x + W(0.044715) * x * x * x));  // sqrt(2 / pi)
}
"""
"""Half precision is computed in float32 (W) and rounded once."""

ELEMENTWISE: Final[dict[str, tuple[str, str, str]]] = {
    "relu": ("x", "", "x < 0 ? W(0) : x"),
    "threshold_backward": ("g x", "threshold", "x <= threshold ? W(0) : g"),
    "sigmoid": ("x", "", "sigmoid_of(x)"),
    "sigmoid_backward": ("g y", "", "g * (1 - y) * y"),
    "tanh_backward": ("g y", "", "g * (1 - y * y)"),
    "leaky_relu": ("x", "slope", "x > 0 ? x : x * slope"),
    "leaky_relu_backward": ("g x", "slope", "x > 0 ? g : g * slope"),
    "elu": ("x", "alpha scale steep", "x <= 0 ? expm1(x * steep) * (alpha * scale) : x * scale"),
    "elu_backward": ("g x", "alpha scale steep", "x <= 0 ? g * exp(x * steep) * (alpha * scale * steep) : g * scale"),
    "hardtanh": ("x", "low high", "clipped(x, low, high)"),
    "hardtanh_backward": ("g x", "low high", "low < x && x < high ? g : W(0)"),
    "hardsigmoid": ("x", "", "clipped(x + 3, W(0), W(6)) / 6"),
    "hardsigmoid_backward": ("g x", "", "-3 < x && x < 3 ? g / 6 : W(0)"),
    "hardswish": ("x", "", "x * clipped(x + 3, W(0), W(6)) / 6"),
    "hardswish_backward": ("g x", "", "x <= -3 ? W(0) : x < 3 ? g * (x / 3 + W(0.5)) : g"),
    "softplus": ("x", "beta limit", "x * beta > limit ? x : log1p(exp(x * beta)) / beta"),
    "softplus_backward": ("g x", "beta limit", "x * beta > limit ? g : g * sigmoid_of(x * beta)"),
    "log_sigmoid": ("x", "", "(x < 0 ? x : W(0)) - log1p(exp(x < 0 ? x : -x))"),
    "log_sigmoid_backward": ("g x", "", "g * sigmoid_of(-x)"),
    "silu": ("x", "", "x * sigmoid_of(x)"),
    "silu_backward": ("g x", "", "g * sigmoid_of(x) * (1 + x * (1 - sigmoid_of(x)))"),
    "mish": ("x", "", "x * tanh(softplus_of(x))"),
    "mish_backward": (
        "g x", "",
        "g * (tanh(softplus_of(x)) + x * sigmoid_of(x) * (1 - tanh(softplus_of(x)) * tanh(softplus_of(x))))",
    ),
    "gelu": ("x", "by_tanh", "W(0.5) * x * (1 + (by_tanh ? gelu_inner(x) : erf(x * W(0.7071067811865476))))"),
    "gelu_backward": (
        "g x", "by_tanh",
        "by_tanh ? g * (W(0.5) * (1 + gelu_inner(x)) + W(0.5) * x * (1 - gelu_inner(x) * gelu_inner(x))"
        " * W(0.7978845608028654) * (1 + W(0.134145) * x * x))"
        " : g * (W(0.5) * (1 + erf(x * W(0.7071067811865476))) + x * exp(W(-0.5) * x * x) * W(0.3989422804014327))",
    ),
    "hardshrink": ("x", "limit", "-limit <= x && x <= limit ? W(0) : x"),
    "shrink_backward": ("g x", "limit", "-limit <= x && x <= limit ? W(0) : g"),
    "softshrink": ("x", "limit", "x > limit ? x - limit : x < -limit ? x + limit : x * 0"),
    "addcmul": ("x y z", "value", "x + value * (y * z)"),
    "addcdiv": ("x y z", "value", "x + value * y / z"),
}  # fmt: skip
"""Kernel name -> its arrays, its numbers, and the element of the result, in CUDA C++ over W."""

STEPS: Final[dict[str, tuple[str, str, str, str]]] = {
    "sgd_step": (
        "g", "p buffer", "lr momentum undamped weight_decay decays nesterov maximize first",
        "W d = (maximize ? -g : g) + (decays ? p * weight_decay : W(0));"
        "W b = first ? d : buffer * momentum + d * undamped;"
        "buffer_ = T(b); p_ = T(p - lr * (nesterov ? d + b * momentum : b))",
    ),
    "adam_step": (
        "g", "p mean square", "step_size root rest1 beta2 rest2 eps decay decays decoupled maximize",
        "W q = decays && decoupled ? p * decay : p;"
        "W d = (maximize ? -g : g) + (decays && !decoupled ? p * decay : W(0));"
        "W m = mean + (d - mean) * rest1; W v = square * beta2 + d * d * rest2;"
        "mean_ = T(m); square_ = T(v); p_ = T(q - m / (sqrt(v) / root + eps) * step_size)",
    ),
}  # fmt: skip
"""Optimizer steps: what they read, what they read and write, their numbers, and the statements."""

_FUSED_TYPES = "efd"


def body(arrays: str, numbers: str, statement: str) -> str:
    """Returns a kernel's statements: every parameter `x_` as `x` in the type computed in, then `statement`."""
    reads = "".join(f"const W {name} = W({name}_);" for name in (arrays + " " + numbers).split())
    return f"typedef typename wide<T>::type W; {reads} {statement};"


def _compiled(name: str, reads: str, writes: str, numbers: str, statement: str) -> Any:
    inputs = [f"T {each}_" for each in reads.split()] + [f"float64 {each}_" for each in numbers.split()]
    outputs = [f"T {each}_" for each in writes.split()] or ["T out"]
    code = body(f"{reads} {writes}", numbers, statement)
    return cupy.ElementwiseKernel(", ".join(inputs), ", ".join(outputs), code, f"torchplug_{name}", preamble=PREAMBLE)


def _elementwise(name: str) -> Callable[..., Any]:
    reads, numbers, expression = ELEMENTWISE[name]
    run = _compiled(name, reads, "", numbers, f"out = T({expression})")
    count = len(reads.split())

    def method(self: Any, *arguments: Any) -> Any:
        arrays, rest = arguments[:count], arguments[count:]
        if any([not _is_fusable(array, arrays[0]) for array in arrays]):
            return NotImplemented
        values = [float(each == "tanh") if isinstance(each, str) else each for each in rest]
        if any([type(each) not in (float, int, bool) for each in values]):
            return NotImplemented
        return run(*arrays, *[float(each) for each in values])

    method.__name__ = name
    return kernel(name, partial=True)(method)


def _is_fusable(array: Any, like: Any) -> bool:
    return isinstance(array, cupy.ndarray) and array.dtype.char in _FUSED_TYPES and array.dtype == like.dtype


class FusedKernels:
    """Compositions and optimizer steps as single kernels; element types other than the floats run the compositions."""

    @kernel("sgd_step", partial=True)
    def sgd_step(
        self, params: Sequence[Array], grads: Sequence[Array], states: Sequence[Array], numbers: Any, options: Any
    ) -> Any:
        """Writes into the parameters and the momentum buffers."""
        decays, has_momentum, nesterov, maximize = options
        if not has_momentum or not _may_step(params, grads, numbers):
            return NotImplemented
        buffers = states if states else [cupy.empty_like(p) for p in params]
        flags = [float(flag) for flag in (decays, nesterov, maximize, not states)]
        for p, g, buffer in zip(params, grads, buffers, strict=True):
            _STEPS["sgd_step"](g, *numbers, *flags, p, buffer)
        return list(params), list(buffers)

    @kernel("adam_step", partial=True)
    def adam_step(
        self, params: Sequence[Array], grads: Sequence[Array], states: Sequence[Array], numbers: Any, options: Any
    ) -> Any:
        """Writes into the parameters and their averages."""
        decays, decoupled, amsgrad, maximize = options
        if amsgrad or not _may_step(params, grads, numbers):
            return NotImplemented
        count = len(params)
        flags = [float(flag) for flag in (decays, decoupled, maximize)]
        for p, g, mean, square in zip(params, grads, states[:count], states[count:], strict=True):
            _STEPS["adam_step"](g, *numbers, *flags, p, mean, square)
        return list(params), list(states)


def _may_step(params: Sequence[Array], grads: Sequence[Array], numbers: Any) -> bool:
    plain = all([type(number) is float or type(number) is int for number in numbers])
    return plain and all([_is_fusable(p, p) and _is_fusable(g, p) for p, g in zip(params, grads, strict=True)])


for _name in ELEMENTWISE:
    setattr(FusedKernels, _name, _elementwise(_name))
_STEPS = {name: _compiled(name, *parts) for name, parts in STEPS.items()}
