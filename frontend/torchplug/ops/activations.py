"""Activation functions: the elementwise nonlinearities of nets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torchplug._core.declare import Sample, declare, declare_functional
from torchplug._core.elementwise import argument_error, unary
from torchplug._core.inplace import inplace_twin, write_out
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor
from torchplug_spec import dtypes as dt

__all__ = ["celu", "elu", "gelu", "leaky_relu", "relu", "selu", "silu", "softplus", "threshold"]


# ---- relu ---------------------------------------------------------------------------------------------------------


def _threshold_backward(F: Any, g: Any, x: Any, threshold: float) -> Any:
    """Passes the gradient where x > threshold; at the threshold it is 0."""
    return F.where(F.less_equal(x, threshold), F.zeros_of(g, ()), g)


Op("threshold_backward", ("g", "x", "threshold"), tensors=("g", "x"), forward=_threshold_backward, rules={
    "g": lambda F, g, x, threshold: F.threshold_backward(g, x, threshold),
    "x": lambda F, g: F.zeros_of(g, tuple(g.shape)),
})  # fmt: skip

relu = unary(
    "relu", lambda F, g, out: F.threshold_backward(g, out, 0), """Returns max(x, 0); the gradient at 0 is 0.""",
    forward=lambda F, x: F.maximum(x, 0), dtypes=("float", "int"),
    refuse={
        "bool": RuntimeError("Boolean inputs not supported for relu"),
        "complex": NotImplementedError("clamp is not supported for complex types"),
    },
)  # fmt: skip


# ---- ops with attributes ---------------------------------------------------------------------------------------------
# Each backward kernel is an op without rules: its second derivative runs its composition again.


def backward_op(name: str, attributes: Sequence[str], forward: Callable[..., Any]) -> None:
    Op(f"{name}_backward", ("g", "x", *attributes), tensors=("g", "x"), forward=forward)


def _below(F: Any, x: Any) -> Any:
    """Returns min(x, 0): what exp takes where only the negative branch is used, so that nothing overflows."""
    return F.minimum(x, 0)


def _leaky_relu(F: Any, x: Any, negative_slope: float) -> Any:
    return F.where(F.less(0, x), x, F.multiply(x, negative_slope))


def _leaky_relu_backward(F: Any, g: Any, x: Any, negative_slope: float) -> Any:
    return F.where(F.less(0, x), g, F.multiply(g, negative_slope))


def _elu(F: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    curved = F.multiply(F.expm1(F.multiply(_below(F, x), input_scale)), alpha * scale)
    return F.where(F.less_equal(x, 0), curved, F.multiply(x, scale))


def _elu_backward(F: Any, g: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    curved = F.multiply(F.exp(F.multiply(_below(F, x), input_scale)), alpha * scale * input_scale)
    return F.where(F.less_equal(x, 0), F.multiply(g, curved), F.multiply(g, scale))


def _hardtanh(F: Any, x: Any, low: float, high: float) -> Any:
    return F.minimum(F.maximum(x, low), high)


def _between(F: Any, x: Any, low: float, high: float) -> Any:
    return F.bitwise_and(F.less(low, x), F.less(x, high))


def _hardtanh_backward(F: Any, g: Any, x: Any, low: float, high: float) -> Any:
    return F.where(_between(F, x, low, high), g, F.zeros_of(g, ()))


def _hardsigmoid(F: Any, x: Any) -> Any:
    return F.divide(_hardtanh(F, F.add(x, 3), 0, 6), 6)


def _hardsigmoid_backward(F: Any, g: Any, x: Any) -> Any:
    return F.where(_between(F, x, -3, 3), F.divide(g, 6), F.zeros_of(g, ()))


def _hardswish(F: Any, x: Any) -> Any:
    return F.divide(F.multiply(x, _hardtanh(F, F.add(x, 3), 0, 6)), 6)


def _hardswish_backward(F: Any, g: Any, x: Any) -> Any:
    inner = F.where(F.less(x, 3), F.multiply(g, F.add(F.divide(x, 3), 0.5)), g)
    return F.where(F.less_equal(x, -3), F.zeros_of(g, ()), inner)


def _softplus(F: Any, x: Any, beta: float, threshold: float) -> Any:
    scaled = F.multiply(x, beta)
    linear = F.less(threshold, scaled)
    return F.where(linear, x, F.divide(F.log1p(F.exp(F.minimum(scaled, threshold))), beta))


def _softplus_backward(F: Any, g: Any, x: Any, beta: float, threshold: float) -> Any:
    scaled = F.multiply(x, beta)
    return F.where(F.less(threshold, scaled), g, F.multiply(g, F.sigmoid(F.minimum(scaled, threshold))))


def _log_sigmoid(F: Any, x: Any) -> Any:
    return F.subtract(F.minimum(x, 0), F.log1p(F.exp(F.negative(F.abs(x)))))


def _log_sigmoid_backward(F: Any, g: Any, x: Any) -> Any:
    return F.multiply(g, F.sigmoid(F.negative(x)))


def _silu(F: Any, x: Any) -> Any:
    return F.multiply(x, F.sigmoid(x))


def _silu_backward(F: Any, g: Any, x: Any) -> Any:
    gate = F.sigmoid(x)
    return F.multiply(F.multiply(g, gate), F.add(F.multiply(x, F.subtract(1, gate)), 1))


def _mish(F: Any, x: Any) -> Any:
    return F.multiply(x, F.tanh(F.softplus(x, 1.0, 20.0)))


def _mish_backward(F: Any, g: Any, x: Any) -> Any:
    inner = F.tanh(F.softplus(x, 1.0, 20.0))
    slope = F.multiply(F.multiply(x, F.sigmoid(x)), F.subtract(1, F.multiply(inner, inner)))
    return F.multiply(g, F.add(inner, slope))


_ROOT_2_OVER_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


def _gelu_inner(F: Any, x: Any) -> Any:
    """Returns tanh(sqrt(2/pi) (x + 0.044715 x^3)). Source: Hendrycks and Gimpel 2016, section 2."""
    return F.tanh(F.multiply(F.add(F.multiply(F.multiply(F.multiply(x, x), x), _CUBIC), x), _ROOT_2_OVER_PI))


def _gelu(F: Any, x: Any, approximate: str) -> Any:
    bell = _gelu_inner(F, x) if approximate == "tanh" else F.erf(F.multiply(x, math.sqrt(0.5)))
    return F.multiply(F.multiply(x, 0.5), F.add(bell, 1))


def _gelu_backward(F: Any, g: Any, x: Any, approximate: str) -> Any:
    square = F.multiply(x, x)
    if approximate == "tanh":
        inner = _gelu_inner(F, x)
        steep = F.multiply(F.add(F.multiply(square, 3 * _CUBIC), 1), _ROOT_2_OVER_PI)
        slope = F.multiply(F.multiply(F.multiply(x, 0.5), F.subtract(1, F.multiply(inner, inner))), steep)
        return F.multiply(g, F.add(F.multiply(F.add(inner, 1), 0.5), slope))
    cumulative = F.multiply(F.add(F.erf(F.multiply(x, math.sqrt(0.5))), 1), 0.5)
    density = F.multiply(F.exp(F.multiply(square, -0.5)), 1 / math.sqrt(2 * math.pi))
    return F.multiply(g, F.add(cumulative, F.multiply(x, density)))


def _outside(F: Any, x: Any, lambd: float) -> Any:
    return F.bitwise_invert(F.bitwise_and(F.less_equal(-lambd, x), F.less_equal(x, lambd)))


def _hardshrink(F: Any, x: Any, lambd: float) -> Any:
    return F.where(_outside(F, x, lambd), x, F.zeros_of(x, ()))


def _shrink_backward(F: Any, g: Any, x: Any, lambd: float) -> Any:
    return F.where(_outside(F, x, lambd), g, F.zeros_of(g, ()))


def _softshrink(F: Any, x: Any, lambd: float) -> Any:
    return F.add(F.maximum(F.subtract(x, lambd), 0), F.minimum(F.add(x, lambd), 0))


def _threshold(F: Any, x: Any, threshold: float, value: float) -> Any:
    return F.where(F.less_equal(x, threshold), F.full_of(x, (), value), x)


backward_op("leaky_relu", ("negative_slope",), _leaky_relu_backward)
backward_op("elu", ("alpha", "scale", "input_scale"), _elu_backward)
backward_op("hardtanh", ("low", "high"), _hardtanh_backward)
backward_op("hardsigmoid", (), _hardsigmoid_backward)
backward_op("hardswish", (), _hardswish_backward)
backward_op("softplus", ("beta", "threshold"), _softplus_backward)
backward_op("log_sigmoid", (), _log_sigmoid_backward)
backward_op("silu", (), _silu_backward)
backward_op("mish", (), _mish_backward)
backward_op("gelu", ("approximate",), _gelu_backward)
backward_op("shrink", ("lambd",), _shrink_backward)


def activation_op(
    name: str, attributes: Sequence[str], forward: Callable[..., Any], rule: Callable[..., Any], node: str | None = None
) -> Op:
    return Op(name, ("input", *attributes), tensors=("input",), forward=forward, rules={"input": rule}, node=node)


def _elu_rule(F: Any, g: Any, input: Any, alpha: float, scale: float, input_scale: float) -> Any:
    return F.elu_backward(g, input, alpha, scale, input_scale)


_ELU_ATTRIBUTES = ("alpha", "scale", "input_scale")
LEAKY_RELU = activation_op(
    "leaky_relu",
    ("negative_slope",),
    _leaky_relu,
    lambda F, g, input, negative_slope: F.leaky_relu_backward(g, input, negative_slope),
)
ELU = activation_op("elu", _ELU_ATTRIBUTES, _elu, _elu_rule)
CELU = activation_op("elu", _ELU_ATTRIBUTES, _elu, _elu_rule, "CeluBackward0")
HARDTANH = activation_op(
    "hardtanh", ("low", "high"), _hardtanh, lambda F, g, input, low, high: F.hardtanh_backward(g, input, low, high)
)
HARDSIGMOID = activation_op("hardsigmoid", (), _hardsigmoid, lambda F, g, input: F.hardsigmoid_backward(g, input))
HARDSWISH = activation_op("hardswish", (), _hardswish, lambda F, g, input: F.hardswish_backward(g, input))
SOFTPLUS = activation_op(
    "softplus",
    ("beta", "threshold"),
    _softplus,
    lambda F, g, input, beta, threshold: F.softplus_backward(g, input, beta, threshold),
)
LOG_SIGMOID = activation_op("log_sigmoid", (), _log_sigmoid, lambda F, g, input: F.log_sigmoid_backward(g, input))
SILU = activation_op("silu", (), _silu, lambda F, g, input: F.silu_backward(g, input))
MISH = activation_op("mish", (), _mish, lambda F, g, input: F.mish_backward(g, input))
GELU = activation_op(
    "gelu", ("approximate",), _gelu, lambda F, g, input, approximate: F.gelu_backward(g, input, approximate)
)
HARDSHRINK = activation_op(
    "hardshrink", ("lambd",), _hardshrink, lambda F, g, input, lambd: F.shrink_backward(g, input, lambd)
)
SOFTSHRINK = activation_op(
    "softshrink", ("lambd",), _softshrink, lambda F, g, input, lambd: F.shrink_backward(g, input, lambd)
)
THRESHOLD = activation_op(
    "threshold",
    ("threshold", "value"),
    _threshold,
    lambda F, g, input, threshold: F.threshold_backward(g, input, threshold),
)


# ---- public functions ------------------------------------------------------------------------------------------------


def _samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))
    yield Sample(make())
    yield Sample(make(2, 0, 3))


def _sampled(*arguments: Any) -> Callable[..., Iterable[Sample]]:
    """Returns samples with PyTorch's defaults, and one with the given arguments."""

    def samples(make: Any) -> Iterable[Sample]:
        yield from _samples(make)
        yield Sample(make(5, 3), *arguments)

    return samples


def _long_error(*arguments: Any) -> Callable[[], Iterable[Sample]]:
    def errors() -> Iterable[Sample]:
        import numpy as np

        yield Sample(np.ones(3, np.int64), *arguments, error=(NotImplementedError, "not implemented for 'Long'"))

    return errors


_TWINS: dict[Op, Callable[..., Tensor]] = {}


def run_activation(op: Op, kernel: str, input: Any, inplace: bool, *attributes: Any, integers: bool = False) -> Tensor:
    """Checks the input, runs an op and, for `inplace`, writes the result into the input."""
    try:
        kind = input._kind
    except AttributeError:
        raise argument_error(op.name, "input", "Tensor", input, 1) from None
    if not kind.dtype.is_floating_point and not (integers and kind.dtype.kind in ("int", "uint")):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_type_name(kind.dtype)}'")
    return write_into(op, input, attributes) if inplace else op(input, *attributes)


def write_into(op: Op, input: Tensor, attributes: Sequence[Any]) -> Tensor:
    """Writes `op(input, *attributes)` into `input`, with PyTorch's checks and history; returns `input`."""
    twin = _TWINS.get(op)
    if twin is None:

        def function(*args: Any) -> Tensor:
            return op(*args)

        function.__name__ = op.name
        twin = _TWINS[op] = inplace_twin(function)
    return twin(input, *attributes)


@declare_functional(op=LEAKY_RELU, samples=_sampled(0.2), errors=_long_error())
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Returns x where x > 0, else negative_slope * x."""
    return run_activation(LEAKY_RELU, "leaky_relu_cpu", input, inplace, negative_slope)


@declare_functional(op=ELU, samples=_sampled(0.7), errors=_long_error())
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Returns x where x > 0, else alpha * (exp(x) - 1). Source: Clevert et al. 2016, equation 15."""
    return run_activation(ELU, "elu_cpu", input, inplace, alpha, 1.0, 1.0)


@declare(op=CELU, samples=_sampled(0.7), errors=_long_error(), method=False)
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Returns max(0, x) + min(0, alpha * (exp(x / alpha) - 1)). Source: Barron 2017, equation 2."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return run_activation(CELU, "elu_cpu", input, inplace, alpha, 1.0, 1.0 / alpha)


_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


@declare(op=ELU, samples=_samples, errors=_long_error(), method=False)
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns scale * elu(x, alpha) with the constants that keep mean 0 and variance 1. Source: Klambauer et al. 2017."""
    return run_activation(ELU, "elu_cpu", input, inplace, _SELU_ALPHA, _SELU_SCALE, 1.0)


def _bounds_error() -> Iterable[Sample]:
    import numpy as np

    yield Sample(np.ones(3), 1, 0, error=(ValueError, "min_val cannot be greater than max_val"))
    yield Sample(np.ones(3, np.bool_), error=(RuntimeError, "Bool inputs not supported for hardtanh"))
    yield Sample(np.ones(3, np.complex64), error=(NotImplementedError, "clamp is not supported for complex types"))
    yield Sample(
        np.ones(3, np.uint8), error=(RuntimeError, "cannot do hardtanh on an unsigned type with negative limits")
    )


@declare_functional(op=HARDTANH, samples=_sampled(-0.5, 0.7), errors=_bounds_error)
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """Returns x limited to [min_val, max_val]; the gradient is 0 from the limits on."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return _bounded(input, min_val, max_val, inplace)


def _bounded(input: Tensor, low: float, high: float, inplace: bool) -> Tensor:
    if isinstance(input, Tensor):
        dtype = input._kind.dtype
        if dtype is dt.bool_:
            raise RuntimeError("Bool inputs not supported for hardtanh")
        if dtype.is_complex:
            raise NotImplementedError("clamp is not supported for complex types")
        if not dtype.is_floating_point:
            low, high = int(low), int(high)
            if dtype.kind == "uint" and (low < 0 or high < 0):
                raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    return run_activation(HARDTANH, "hardtanh_cpu", input, inplace, low, high, integers=True)


@declare_functional(op=HARDTANH, samples=_samples)
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns min(max(x, 0), 6)."""
    return _bounded(input, 0.0, 6.0, inplace)


@declare_functional(op=HARDSIGMOID, samples=_samples, errors=_long_error())
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns relu6(x + 3) / 6."""
    return run_activation(HARDSIGMOID, "hardsigmoid_cpu", input, inplace)


@declare_functional(op=HARDSWISH, samples=_samples, errors=_long_error())
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns x * relu6(x + 3) / 6. Source: Howard et al. 2019, section 5.2."""
    return run_activation(HARDSWISH, "hardswish_cpu", input, inplace)


@declare_functional(op=SOFTPLUS, samples=_sampled(2.0, 1.0), errors=_long_error())
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Returns log(1 + exp(beta x)) / beta, and x where beta x > threshold."""
    return run_activation(SOFTPLUS, "softplus_cpu", input, False, beta, threshold)


@declare_functional(op=LOG_SIGMOID, samples=_samples, errors=_long_error())
def logsigmoid(input: Tensor) -> Tensor:
    """Returns log(sigmoid(x))."""
    return run_activation(LOG_SIGMOID, "log_sigmoid_cpu", input, False)


@declare_functional(op=SILU, samples=_samples, errors=_long_error())
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns x * sigmoid(x)."""
    return run_activation(SILU, "silu_cpu", input, inplace)


@declare_functional(op=MISH, samples=_samples, errors=_long_error())
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns x * tanh(softplus(x)). Source: Misra 2019."""
    return run_activation(MISH, "mish_cpu", input, inplace)


def _gelu_samples(make: Any) -> Iterable[Sample]:
    yield from _samples(make)
    yield Sample(make(5, 3), approximate="tanh")


@declare_functional(op=GELU, samples=_gelu_samples, errors=_long_error())
def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """Returns x times the normal distribution function at x, exact or ("tanh") approximated."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return run_activation(GELU, "GeluKernelImpl", input, False, approximate)


@declare(op=HARDSHRINK, samples=_sampled(0.2), errors=_long_error())
def hardshrink(input: Tensor, lambd: float = 0.5, *, out: Tensor | None = None) -> Tensor:
    """Returns x where |x| > lambd, else 0."""
    result = run_activation(HARDSHRINK, "hardshrink_cpu", input, False, lambd)
    return result if out is None else write_out(out, result, "hardshrink")


@declare_functional(op=SOFTSHRINK, samples=_sampled(0.2), errors=_long_error())
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Returns x moved towards 0 by lambd, 0 within lambd."""
    if not lambd >= 0:
        name = scalar_type_name(input._kind.dtype)
        raise RuntimeError(f"lambda must be in range [0, 3.40282e+38] for input dtype {name}, but found {lambd:g}")
    return run_activation(SOFTSHRINK, "softshrink_check", input, False, lambd)


@declare(op=THRESHOLD, samples=lambda make: [Sample(make(3, 4), 0.1, 20.0)], dtypes=("float",), method=False)
def threshold(
    input: Tensor, threshold: float, value: float, inplace: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """Returns x where x > threshold, else value."""
    result = run_activation(THRESHOLD, "threshold_cpu", input, inplace, threshold, value, integers=True)
    return result if out is None else write_out(out, result, "threshold")


@declare_functional(samples=_samples, differentiable=True)
def softsign(input: Tensor) -> Tensor:
    """Returns x / (1 + |x|)."""
    return input / (input.abs() + 1)


@declare_functional(samples=_samples, differentiable=True)
def tanhshrink(input: Tensor) -> Tensor:
    """Returns x - tanh(x)."""
    return input - input.tanh()
