"""Filling weights: the distributions of `torch.nn.init`, with PyTorch's numbers for the same seed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from torchplug._core.random import Generator
from torchplug._core.tensor import Tensor, array_of, shape_of, wrap
from torchplug.autograd.grad_mode import no_grad

__all__ = [
    "calculate_gain", "constant_", "dirac_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_",
    "orthogonal_", "sparse_", "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
]  # fmt: skip

_LINEAR = (
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid",
)  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Returns the factor by which the standard deviation of weights before a nonlinearity is scaled.

    1 for linear layers and sigmoid, 5/3 for tanh, √2 for relu, √(2 / (1 + slope²)) for leaky_relu (`param` is the
    slope, 0.01 unless given), 3/4 for selu. Raises ValueError for other names. Source: He et al. 2015, eq. 15;
    PyTorch's page of torch.nn.init.
    """
    if nonlinearity in _LINEAR:
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + _slope(param) ** 2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def _slope(param: Any) -> float:
    if param is None:
        return 0.01
    if isinstance(param, bool) or not isinstance(param, (int, float)):
        raise ValueError(f"negative_slope {param} not a valid number")
    return param


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    shape = shape_of(tensor)
    if len(shape) < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    receptive_field = math.prod(shape[2:])
    return shape[1] * receptive_field, shape[0] * receptive_field


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    modes = ["fan_in", "fan_out"]
    if mode not in modes:
        raise ValueError(f"Mode {mode} not supported, please use one of {modes}")
    return _calculate_fan_in_and_fan_out(tensor)[modes.index(mode)]


# ---- constants -------------------------------------------------------------------------------------------------------


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fills with a number; returns the tensor."""
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fills with ones; returns the tensor."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fills with zeros; returns the tensor."""
    with no_grad():
        return tensor.zero_()


def _fill_from_host(tensor: Tensor, values: np.ndarray) -> Tensor:
    """Writes values computed on the host, of any type; returns the tensor."""
    kind = tensor._kind
    array = kind.F.from_numpy(values.astype(kind.dtype.numpy), kind.native_device)
    with no_grad():
        return tensor.copy_(wrap(array, kind))


def eye_(tensor: Tensor) -> Tensor:
    """Fills a matrix with the identity (ones on the diagonal of any shape); returns it."""
    if tensor.ndimension() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = shape_of(tensor)
    return _fill_from_host(tensor, np.eye(rows, columns))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fills a convolution's weight so that it passes its input through, as many channels as possible; returns it.

    Shape: (out, in, *kernel) with 1 to 3 kernel dimensions; `out` must be divisible by `groups`.
    """
    shape = shape_of(tensor)
    if len(shape) not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if shape[0] % groups != 0:
        raise ValueError("dim 0 must be divisible by groups")
    values = np.zeros(shape)
    per_group = shape[0] // groups
    center = tuple(length // 2 for length in shape[2:])
    for group in range(groups):
        for channel in range(min(per_group, shape[1])):
            values[(group * per_group + channel, channel, *center)] = 1
    return _fill_from_host(tensor, values)


# ---- distributions ---------------------------------------------------------------------------------------------------


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fills with numbers uniform in [a, b); returns the tensor."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fills with normal numbers; returns the tensor."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


# Below this share of accepted draws the normal proposal is given up for a uniform one.
_LEAST_ACCEPTANCE = 0.3


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fills with normal numbers, those outside [a, b] drawn again; returns the tensor.

    Where [a, b] holds less than 30 % of the distribution, uniform numbers in [a, b] are drawn and accepted with the
    probability that the density has there relative to its maximum in [a, b] (Robert 1995, section 2.2), as in PyTorch.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may be "
            "incorrect.",
            stacklevel=2,
        )
    if 0 in shape_of(tensor):
        return tensor
    propose = _propose_normal if _mass(mean, std, a, b) >= _LEAST_ACCEPTANCE else _propose_uniform
    with no_grad():
        values, rejected = propose(tensor, mean, std, a, b, generator)
        while rejected.any():
            again, refused = propose(tensor, mean, std, a, b, generator)
            values = again.where(rejected, values)
            rejected = rejected & refused
        return tensor.copy_(values)


def _mass(mean: float, std: float, a: float, b: float) -> float:
    """Returns the probability that a normal number lies in [a, b]."""
    low, high = (0.5 * (1 + math.erf((bound - mean) / (std * math.sqrt(2)))) for bound in (a, b))
    return high - low


def _propose_normal(like: Tensor, mean: float, std: float, a: float, b: float, generator: Any) -> tuple[Tensor, Tensor]:
    values = like.new_empty(shape_of(like)).normal_(mean, std, generator=generator)
    return values, (values < a) | (values > b)


def _propose_uniform(
    like: Tensor, mean: float, std: float, a: float, b: float, generator: Any
) -> tuple[Tensor, Tensor]:
    values = like.new_empty(shape_of(like)).uniform_(a, b, generator=generator)
    chances = like.new_empty(shape_of(like)).uniform_(generator=generator)
    highest = (min(max(mean, a), b) - mean) / std
    log_ratio = (((values - mean) / std) ** 2 - highest**2) * -0.5
    return values, chances > log_ratio.exp()


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fills with numbers uniform in ±gain·√(6 / (fan_in + fan_out)); returns the tensor.

    Source: Glorot and Bengio 2010, eq. 16.
    """
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    std = gain * math.sqrt(2.0 / float(fan_in + fan_out))
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fills with normal numbers of deviation gain·√(2 / (fan_in + fan_out)); returns the tensor. Source: as above."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / float(fan_in + fan_out)), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float | None:
    """Returns gain / √fan; None for an empty tensor."""
    if 0 in shape_of(tensor):
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return None
    fan = _calculate_correct_fan(tensor, mode)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fills with numbers uniform in ±gain·√(3 / fan); returns the tensor. `a` is the slope of leaky_relu.

    Source: He et al. 2015, eq. 10 and 14.
    """
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    if std is None:
        return tensor
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fills with normal numbers of deviation gain / √fan; returns the tensor. Source: as above."""
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else normal_(tensor, 0.0, std, generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fills with a matrix whose rows (or columns, the fewer) are orthonormal, times gain; returns the tensor.

    Dimensions after the first are taken together. Source: Saxe et al. 2013; the distribution is made uniform by the
    signs of R's diagonal (Mezzadri 2007).
    """
    shape = shape_of(tensor)
    if len(shape) < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if 0 in shape:
        return tensor
    rows, columns = shape[0], math.prod(shape[1:])
    drawn = normal_(tensor.new_empty((rows, columns)), 0.0, 1.0, generator)
    values = drawn._kind.F.to_numpy(array_of(drawn))
    # LAPACK works in single and double precision; half types are factored in single.
    values = values if values.dtype.itemsize >= 4 else values.astype(np.float32)
    q, r = np.linalg.qr(values.T if rows < columns else values)
    q = q * np.sign(np.diag(r))
    return _fill_from_host(tensor, (q.T if rows < columns else q).reshape(shape) * values.dtype.type(gain))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Fills a matrix with normal numbers, then zeroes a share `sparsity` of every column at random; returns it.

    Source: Martens 2010, section 5.
    """
    if tensor.ndimension() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    from torchplug.ops.randomness import randperm

    rows, columns = shape_of(tensor)
    zeros = math.ceil(sparsity * rows)
    normal_(tensor, 0.0, std, generator)
    keep = np.ones((rows, columns))
    for column in range(columns):
        keep[randperm(rows).tolist()[:zeros], column] = 0
    drawn = tensor._kind.F.to_numpy(array_of(tensor))
    return _fill_from_host(tensor, np.where(keep, drawn, 0))


# ---- former names ----------------------------------------------------------------------------------------------------


def _deprecated(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    old, new = function.__name__[:-1], function.__name__

    def former(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(
            f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.", FutureWarning, stacklevel=2
        )  # fmt: skip
        return function(*args, **kwargs)

    former.__name__ = former.__qualname__ = old
    former.__doc__ = f"The former name of `{new}`; warns."
    return former


uniform, normal, constant, eye, dirac = (_deprecated(f) for f in (uniform_, normal_, constant_, eye_, dirac_))
xavier_uniform, xavier_normal = _deprecated(xavier_uniform_), _deprecated(xavier_normal_)
kaiming_uniform, kaiming_normal = _deprecated(kaiming_uniform_), _deprecated(kaiming_normal_)
orthogonal, sparse = _deprecated(orthogonal_), _deprecated(sparse_)
