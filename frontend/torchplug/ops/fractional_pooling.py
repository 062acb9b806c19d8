"""Max pooling over windows at random places, which makes the output any smaller size (Graham 2014)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare_functional
from torchplug._core.dims import wrap_dim
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.creation import arange, empty
from torchplug_spec import dtypes as dt

__all__ = ["fractional_max_pool2d", "fractional_max_pool3d"]

_SIDES = {2: ("height", "width"), 3: ("time", "height", "width")}
_FUNCTIONS = {2: "fractional_max_pool2d()", 3: "fractional_max_pool3d_out()"}
"""How PyTorch calls itself in what it says."""


def _starts(samples: Tensor, length: int, window: int, count: int) -> Tensor:
    """Returns where the windows begin, shape (..., count): ⌊(i + u) α⌋ - ⌊u α⌋ for a number u in [0, 1) per channel.

    α = (length - window) / (count - 1); the last window ends at the border. Source: Graham 2014, section 3.
    """
    alpha = (length - window) / (count - 1) if count > 1 else 0.0
    places = arange(count, dtype=samples.dtype, device=samples.device)
    first = samples.unsqueeze(-1)
    starts = ((first + places) * alpha).floor() - (first * alpha).floor()
    return starts.to(dt.int64).masked_fill(places == count - 1, length - window)


def _windows(samples: Tensor, sizes: Sequence[int], kernel: Sequence[int], target: Sequence[int]) -> Tensor:
    """Returns the flat places every window reads, shape (N, C, *target, ∏kernel)."""
    dims = len(sizes)
    flat: Any = 0
    for axis, (length, window, count) in enumerate(zip(sizes, kernel, target, strict=True)):
        # In two dimensions PyTorch takes the first number for the width.
        sample = samples.select(-1, axis if dims == 3 else dims - 1 - axis)
        starts = _starts(sample, length, window, count)
        lead = shape_of(sample)
        shape = [1] * (2 * dims)
        shape[axis] = count
        inside = [1] * (2 * dims)
        inside[dims + axis] = window
        offsets = arange(window, device=samples.device).reshape(inside)
        flat = flat * length + (starts.reshape(*lead, *shape) + offsets)
    return flat.reshape(*shape_of(samples)[:2], *target, -1)


def _as_sizes(value: Any, dims: int, name: str, what: str) -> tuple[int, ...]:
    sizes = (value,) * dims if isinstance(value, int) else tuple(value)
    if len(sizes) != dims:
        raise RuntimeError(f"{name}: {what} must either be a single Int or tuple of Ints")
    return sizes


def _pool(
    dims: int, input: Tensor, kernel_size: Any, output_size: Any, output_ratio: Any, samples: Tensor | None
) -> tuple[Tensor, Tensor]:
    name = f"fractional_max_pool{dims}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    wrap_dim(-dims - 1, input.dim())
    if input.dim() not in (dims + 1, dims + 2):
        expected, shape = f"{dims + 1}D or {dims + 2}D", list(shape_of(input))
        raise RuntimeError(f"{_FUNCTIONS[dims]}: Expected {expected} tensor, but got: {shape}")
    batched = input if input.dim() == dims + 2 else input.unsqueeze(0)
    count, channels, *sizes = shape_of(batched)
    if output_size is None:
        output_size = [int(length * ratio) for length, ratio in zip(sizes, output_ratio, strict=True)]
    kernel = _as_sizes(kernel_size, dims, name, "kernel_size")
    target = _as_sizes(output_size, dims, name, "output_size")
    if samples is None:
        samples = empty((count, channels, dims), dtype=input.dtype, device=input.device).uniform_()
    _check(dims, input, channels, sizes, kernel, target, samples)
    places = _windows(samples[:count].detach(), sizes, kernel, target)
    flat = batched.flatten(2)
    values, chosen = flat.gather(2, places.flatten(2)).reshape(shape_of(places)).max(-1)
    indices = places.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
    return (values, indices) if batched is input else (values.squeeze(0), indices.squeeze(0))


def _check(dims: int, input: Tensor, channels: int, sizes: Any, kernel: Any, target: Any, samples: Tensor) -> None:
    """Raises PyTorch's errors for random numbers and windows that do not fit."""
    if samples.dtype is not input.dtype:
        raise RuntimeError("Expect _random_samples to have the same dtype as input")
    if samples.dim() != 3:
        raise RuntimeError(f"Expect _random_samples to have 3 dimensions, got {samples.dim()}")
    if shape_of(samples)[1] != channels:
        raise RuntimeError("Expect _random_samples.size(1) equals to input channel size.")
    if shape_of(samples)[2] != dims:
        raise RuntimeError(f"Expect _random_samples.size(2) equals to {dims}; got {shape_of(samples)[2]}.")
    for side, length, window, count in zip(_SIDES[dims], sizes, kernel, target, strict=True):
        # PyTorch asks for one place more in three dimensions.
        if window + count - (dims == 2) > length:
            raise RuntimeError(f"{_FUNCTIONS[dims]}: pool {side} {window} too large relative to input {side} {length}")


def _samples(dims: int) -> Any:
    def samples(make: Any) -> Iterable[Sample]:
        numbers = np.abs(make(2, 3, dims)) % 1
        yield Sample(make(2, 3, *(7,) * dims), 2, 3, None, False, numbers)
        yield Sample(make(2, 3, *(6,) * dims), 3, 3, return_indices=True, _random_samples=numbers)
        yield Sample(make(3, *(5,) * dims), 2, output_ratio=(0.5,) * dims, _random_samples=numbers[:1])

    return samples


def _errors(dims: int) -> Any:
    def errors() -> Iterable[Sample]:
        x = np.zeros((1, 2, *(5,) * dims), np.float32)
        yield Sample(x, 2, error=(ValueError, "requires specifying either an output_size or an output_ratio"))
        yield Sample(x, 6, 2, error=(RuntimeError, "too large relative to input"))
        yield Sample(x[None, None], 2, 2, error=(RuntimeError, "tensor, but got: [1, 1, 1, 2"))
        wrong = np.zeros((1, 3, dims), np.float32)
        yield Sample(x, 2, 2, _random_samples=wrong, error=(RuntimeError, "equals to input channel size"))

    return errors


@declare_functional(samples=_samples(2), errors=_errors(2), differentiable=True)
def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """Returns the largest value of each of `output_size` windows at random places, with return_indices also its place.

    Shape: (N, C, H, W) or (C, H, W); `output_ratio` gives the size as a share of the input's. The places come from
    `_random_samples`, (N, C, 2) in [0, 1), drawn unless given.
    """
    values, indices = _pool(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return (values, indices) if return_indices else values


@declare_functional(samples=_samples(3), errors=_errors(3), differentiable=True)
def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """fractional_max_pool2d over volumes. Shape: (N, C, D, H, W) or (C, D, H, W); samples (N, C, 3)."""
    values, indices = _pool(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return (values, indices) if return_indices else values
