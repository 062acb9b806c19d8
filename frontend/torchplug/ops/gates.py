"""Activations that halve a dimension or learn their slope: glu, prelu."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torchplug._core.declare import Sample, declare, declare_functional
from torchplug._core.dims import wrap_dim
from torchplug._core.elementwise import argument_error
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.activations import activation_op, backward_op, run_activation

__all__ = ["glu", "prelu"]


def _glu(F: Any, x: Any, dim: int) -> Any:
    value, gate = _halves(F, x, dim)
    return F.multiply(value, F.sigmoid(gate))


def _halves(F: Any, x: Any, dim: int) -> tuple[Any, Any]:
    half = x.shape[dim] // 2
    whole = [slice(0, length, 1) for length in x.shape]
    first, second = list(whole), list(whole)
    first[dim], second[dim] = slice(0, half, 1), slice(half, 2 * half, 1)
    return F.slice(x, tuple(first)), F.slice(x, tuple(second))


def _glu_backward(F: Any, g: Any, x: Any, dim: int) -> Any:
    value, gate = _halves(F, x, dim)
    open_ = F.sigmoid(gate)
    through = F.multiply(g, open_)
    return F.concat([through, F.multiply(F.multiply(through, F.subtract(1, open_)), value)], dim)


def _prelu(F: Any, x: Any, weight: Any) -> Any:
    return F.where(F.less(0, x), x, F.multiply(x, weight))


def _prelu_back_input(F: Any, g: Any, input: Any, weight: Any) -> Any:
    return F.where(F.less(0, input), g, F.multiply(g, weight))


def _prelu_back_weight(F: Any, g: Any, input: Any, weight_shape: tuple[int, ...]) -> Any:
    return F.unbroadcast(F.where(F.less(0, input), F.zeros_of(g, ()), F.multiply(g, input)), weight_shape)


backward_op("glu", ("dim",), _glu_backward)


GLU = activation_op("glu", ("dim",), _glu, lambda F, g, input, dim: F.glu_backward(g, input, dim))


PRELU = Op(
    "prelu",
    ("input", "weight"),
    tensors=("input", "weight"),
    forward=_prelu,
    node="PreluKernelBackward0",
    rules={"input": _prelu_back_input, "weight": _prelu_back_weight},
)


def _glu_errors() -> Iterable[Sample]:
    import numpy as np

    yield Sample(np.ones(3), error=(RuntimeError, "Halving dimension must be even, but dimension 0 is size 3"))
    yield Sample(np.ones(()), error=(RuntimeError, "glu does not support scalars because halving size must be even"))


@declare_functional(op=GLU, samples=lambda make: [Sample(make(3, 4)), Sample(make(4, 3, 2), 0)], errors=_glu_errors)
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Returns the first half of `dim` times the sigmoid of the second. Source: Dauphin et al. 2017, equation 1."""
    if not isinstance(input, Tensor):
        raise argument_error("glu", "input", "Tensor", input)
    size = shape_of(input)
    if not size:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    place = wrap_dim(dim, len(size))
    if size[place] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {place} is size {size[place]}")
    return run_activation(GLU, "glu_cpu", input, False, place)


def _prelu_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), make(4))
    yield Sample(make(2, 3, 2, 2), make(3))
    yield Sample(make(2, 3), make(1))
    yield Sample(make(4), make(1))


def _prelu_errors() -> Iterable[Sample]:
    import numpy as np

    words = "Mismatch of parameter numbers and input channel size. Found parameter numbers = 5 and channel size = 6."
    yield Sample(np.ones((2, 6)), np.ones(5), error=(RuntimeError, words))


@declare(op=PRELU, samples=_prelu_samples, errors=_prelu_errors)
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Returns x where x > 0, else weight * x; weight has one element, or one for each channel (dimension 1)."""
    for name, x in (("input", input), ("weight", weight)):
        if not isinstance(x, Tensor):
            raise argument_error("prelu", name, "Tensor", x)
    size, own = shape_of(input), shape_of(weight)
    count = math.prod(own)
    channels = size[1] if len(size) > 1 else 1
    if count not in (1, channels):
        raise RuntimeError(
            "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
            f"{count} and channel size = {channels}."
        )
    if len(own) > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {len(own)}")
    shape = (count if len(size) > 1 else 1, *(1 for _ in size[2:])) if size else ()
    shape = (1, *shape) if len(size) > 1 else shape
    return PRELU(input, TENSOR_SPACE.reshape(weight, shape))
