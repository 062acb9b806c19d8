"""Dropout: random zeros while training, drawn from the default generator as PyTorch draws them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare, declare_functional
from torchplug._core.elementwise import argument_error
from torchplug._core.host import host_array
from torchplug._core.inplace import inplace_twin
from torchplug._core.op import Op
from torchplug._core.random import default_generator
from torchplug._core.tensor import Tensor, array_of, shape_of, wrap
from torchplug.ops.activations import LEAKY_RELU, write_into
from torchplug.ops.randomness import bernoulli_mask, bernoulli_mask_like

__all__ = ["alpha_dropout", "dropout", "feature_alpha_dropout", "feature_dropout", "rrelu"]

Shape = tuple[int, ...]

_MULTIPLY = Op(
    "multiply_mask",
    ("input", "mask"),
    tensors=("input", "mask"),
    kernel="dropout",
    node="MulBackward0",
    forward=lambda F, x, mask: F.multiply(x, mask),
    rules={"input": lambda F, g, mask: F.dropout(g, mask)},
)
_ADD = Op(
    "affine_mask",
    ("input", "mask", "shift"),
    tensors=("input", "mask", "shift"),
    node="AddBackward0",
    forward=lambda F, x, mask, shift: F.add(F.multiply(x, mask), shift),
    rules={"input": lambda F, g, mask: F.dropout(g, mask)},
)


def _check(name: str, input: Any, p: float) -> None:
    if not isinstance(input, Tensor):
        raise argument_error(name, "input", "Tensor", input, 1)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _mask(input: Tensor, shape: Shape | None, p: float) -> Tensor:
    """Returns 0 with probability p, else 1, one for each element of the input or (`shape`) of a tensor in C order."""
    if shape is None:
        return bernoulli_mask_like(input, 1 - p)
    return bernoulli_mask(shape, 1 - p, input._kind)


def _scaled_mask(input: Tensor, shape: Shape | None, p: float) -> Tensor:
    """Returns 0 with probability p, else 1 / (1 - p), so that the mean stays."""
    kind = input._kind
    if p == 1:
        return wrap(kind.F.full(shape_of(input) if shape is None else shape, 0, kind.dtype, kind.native_device), kind)
    return wrap(kind.F.divide(array_of(_mask(input, shape, p)), 1 - p), kind)


def _drop(input: Tensor, p: float, training: bool, shape: Shape | None, inplace: bool) -> Tensor:
    if p == 0 or not training or 0 in shape_of(input):
        return input
    mask = _scaled_mask(input, shape, p)
    if inplace:
        return _TWIN(input, mask)
    return _MULTIPLY(input, mask)


def _named(op: Op) -> Any:
    def function(*arguments: Any) -> Tensor:
        return op(*arguments)

    function.__name__ = "mul"
    return function


_TWIN = inplace_twin(_named(_MULTIPLY))
_ALPHA_TWIN = inplace_twin(_named(_ADD))


def _samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(4, 5), 0.4, True)
    yield Sample(make(4, 5), 0.4, False)
    yield Sample(make(20), 0.9, True)
    yield Sample(make(3), 0.0, True)
    yield Sample(make(0, 2), 0.5, True)


def _channel_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 5), 0.4, True)
    yield Sample(make(2, 3, 4), 0.4, True)
    yield Sample(make(2, 3, 4), 0.4, False)


def _channel_samples_of(spatial: int) -> Any:
    def samples(make: Any) -> Iterable[Sample]:
        size = (3, 2, 2, 2)[: spatial + 1]
        yield Sample(make(2, *size), 0.4, True)
        yield Sample(make(*size), 0.4, True)
        yield Sample(make(2, *size), 0.4, False)

    return samples


def _errors() -> Iterable[Sample]:
    x = np.ones((2, 3), np.float32)
    yield Sample(x, 1.5, True, error=(ValueError, "dropout probability has to be between 0 and 1, but got 1.5"))
    yield Sample(x, -0.5, True, error=(ValueError, "dropout probability has to be between 0 and 1, but got -0.5"))


@declare(op=_MULTIPLY, samples=_samples, method=False)
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Returns the input with elements set to 0 with probability p and the others divided by 1 - p, while training."""
    _check("dropout", input, p)
    return _drop(input, p, training, None, inplace)


def _feature_shape(input: Tensor) -> Shape:
    size = shape_of(input)
    if len(size) < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return (*size[:2], *(1 for _ in size[2:]))


@declare(op=_MULTIPLY, samples=_channel_samples, method=False)
def feature_dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Returns the input (N, C, ...) with whole channels set to 0 with probability p and the others divided by 1 - p."""
    _check("feature_dropout", input, p)
    return _drop(input, p, training, _feature_shape(input), inplace)


# ---- alpha dropout ---------------------------------------------------------------------------------------------------

_ALPHA = 1.7580993408473766
"""Minus the limit of selu at minus infinity. Source: Klambauer et al. 2017, section 3."""


def _alpha_drop(input: Tensor, p: float, training: bool, shape: Shape | None, inplace: bool) -> Tensor:
    if p == 0 or not training or 0 in shape_of(input):
        return input
    if p == 1:
        zeros = _scaled_mask(input, None, 1)
        return _TWIN(input, zeros) if inplace else _MULTIPLY(input, zeros)
    kind = input._kind
    F = kind.F
    scale = 1 / math.sqrt((_ALPHA * _ALPHA * p + 1) * (1 - p))
    noise = array_of(_mask(input, shape, p))
    shift = F.add(F.multiply(F.add(noise, -1.0), _ALPHA * scale), _ALPHA * scale * p)
    arguments = wrap(F.multiply(noise, scale), kind), wrap(shift, kind)
    return _ALPHA_TWIN(input, *arguments) if inplace else _ADD(input, *arguments)


@declare(op=_ADD, samples=_samples, method=False)
def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Returns the input with elements set to selu's lower limit with probability p, then scaled to mean 0 and variance 1."""
    _check("alpha_dropout", input, p)
    return _alpha_drop(input, p, training, None, inplace)


@declare(op=_ADD, samples=_channel_samples, method=False)
def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Returns alpha dropout of whole channels."""
    _check("feature_alpha_dropout", input, p)
    return _alpha_drop(input, p, training, _feature_shape(input), inplace)


# ---- dropout of channels by the number of spatial dimensions ---------------------------------------------------------


_SPACES = {1: "1 spatial dimension", 2: "2 spatial dimensions", 3: "3 spatial dimensions"}


def _purpose(spatial: int) -> str:
    return (
        f"Note that dropout{spatial}d exists to provide channel-wise dropout on inputs with {_SPACES[spatial]}, a channel dimension, "
        f"and an optional batch dimension (i.e. {spatial + 1}D or {spatial + 2}D inputs)."
    )


def _warn_of_size(spatial: int, ndim: int) -> None:
    warnings.warn(
        f"dropout{spatial}d: Received a {ndim}-D input to dropout{spatial}d, which is deprecated and will result in an error in a "
        f"future release. To retain the behavior and silence this warning, please use dropout instead. {_purpose(spatial)}",
        stacklevel=3,
    )


def _drop_channels(input: Tensor, p: float, training: bool, inplace: bool, has_batch: bool) -> Tensor:
    size = shape_of(input)
    if p == 0 or not training:
        return input
    shape = _feature_shape(input) if has_batch else (*size[:1], *(1 for _ in size[1:]))
    return _drop(input, p, training, shape, inplace)


@declare_functional(op=_MULTIPLY, samples=_channel_samples_of(1), errors=_errors)
def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Returns the input (N, C, L) or (C, L) with whole channels set to 0 with probability p, the others divided by 1 - p."""
    _check("dropout1d", input, p)
    ndim = len(shape_of(input))
    if ndim not in (2, 3):
        raise RuntimeError(f"dropout1d: Expected 2D or 3D input, but received a {ndim}D input. {_purpose(1)}")
    return _drop_channels(input, p, training, inplace, ndim == 3)


@declare_functional(op=_MULTIPLY, samples=_channel_samples_of(2), errors=_errors)
def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Returns the input (N, C, H, W) with whole channels set to 0 with probability p, the others divided by 1 - p.

    Three dimensions are read as (N, C, L), with PyTorch's warning.
    """
    _check("dropout2d", input, p)
    ndim = len(shape_of(input))
    if ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired - input is "
            "interpreted as shape (N, C, L), where C is the channel dim. This behavior will change in a future release to interpret "
            "the input as one without a batch dimension, i.e. shape (C, H, W). To maintain the 1D channel-wise dropout behavior, "
            "please switch to using dropout1d instead.",
            stacklevel=2,
        )
    elif ndim != 4:
        _warn_of_size(2, ndim)
    return _drop_channels(input, p, training, inplace, True)


@declare_functional(op=_MULTIPLY, samples=_channel_samples_of(3), errors=_errors)
def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Returns the input (N, C, D, H, W) or (C, D, H, W) with whole channels set to 0 with probability p."""
    _check("dropout3d", input, p)
    ndim = len(shape_of(input))
    if ndim not in (4, 5):
        _warn_of_size(3, ndim)
    return _drop_channels(input, p, training, inplace, ndim == 5)


# ---- rrelu -----------------------------------------------------------------------------------------------------------

RRELU = Op(
    "rrelu_with_noise",
    ("input", "noise"),
    tensors=("input", "noise"),
    kernel="rrelu",
    node="RreluWithNoiseBackward0",
    forward=lambda F, x, noise: F.multiply(x, noise),
    rules={"input": lambda F, g, noise: F.multiply(g, noise)},
)
_RRELU_TWIN = inplace_twin(_named(RRELU))


def _rrelu_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), 0.1, 0.3, True)
    yield Sample(make(3, 4), 0.1, 0.3, False)
    yield Sample(make(3, 4))


@declare(op=RRELU, samples=_rrelu_samples, method=False)
def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """Returns x where x > 0, else a x with a drawn uniformly from [lower, upper], or their mean outside training."""
    if not isinstance(input, Tensor):
        raise argument_error("rrelu", "input", "Tensor", input, 1)
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if not training:
        slope = (lower + upper) / 2
        return write_into(LEAKY_RELU, input, (slope,)) if inplace else LEAKY_RELU(input, slope)
    noise = _slopes(input, lower, upper)
    return _RRELU_TWIN(input, noise) if inplace else RRELU(input, noise)


def _slopes(input: Tensor, lower: float, upper: float) -> Tensor:
    """Returns 1 where x > 0 and a fresh slope elsewhere: PyTorch draws for those elements alone, in order."""
    values = host_array(input)
    falling = values <= 0
    noise = np.ones(values.shape, values.dtype)
    # PyTorch rounds the bounds to the type of the input, and the slopes once more.
    low, high = (float(input._kind.dtype.numpy.type(bound)) for bound in (lower, upper))
    noise[falling] = default_generator.host.uniform((int(falling.sum()),), np.float64, low, high)
    return wrap(input._kind.F.from_numpy(noise, input._kind.native_device), input._kind)
