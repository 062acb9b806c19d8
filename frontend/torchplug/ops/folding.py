"""Sliding windows as columns and back, and channels traded for space."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare, declare_functional
from torchplug._core.elementwise import argument_error
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.convolution import UNBATCH, columns_of, output_size, spread_columns

__all__ = ["channel_shuffle", "fold", "pixel_shuffle", "pixel_unshuffle", "unfold"]

Shape = tuple[int, ...]


# ---- unfold and fold -------------------------------------------------------------------------------------------------


def _im2col(F: Any, x: Any, kernel: Shape, dilation: Shape, padding: Shape, stride: Shape) -> Any:
    out = output_size(tuple(x.shape[2:]), kernel, stride, padding, dilation)
    columns = columns_of(F, x, kernel, out, stride, padding, dilation, 1)
    return F.reshape(columns, (x.shape[0], columns.shape[2], columns.shape[3]))


def _col2im(F: Any, x: Any, size: Shape, kernel: Shape, dilation: Shape, padding: Shape, stride: Shape) -> Any:
    places = math.prod(kernel)
    out = output_size(size, kernel, stride, padding, dilation)
    columns = F.reshape(x, (x.shape[0], x.shape[1] // places, places, *out))
    return spread_columns(F, columns, size, kernel, stride, padding, dilation)


_SPACE = ("kernel", "dilation", "padding", "stride")


def _unfold_rule(
    F: Any, g: Any, input_shape: Shape, kernel: Shape, dilation: Shape, padding: Shape, stride: Shape
) -> Any:
    return F.col2im(g, tuple(input_shape[2:]), kernel, dilation, padding, stride)


def _fold_rule(F: Any, g: Any, kernel: Shape, dilation: Shape, padding: Shape, stride: Shape) -> Any:
    return F.im2col(g, kernel, dilation, padding, stride)


UNFOLD = Op(
    "im2col",
    ("input", *_SPACE),
    tensors=("input",),
    forward=_im2col,
    rules={"input": _unfold_rule},
    node="Im2ColBackward0",
)
FOLD = Op(
    "col2im",
    ("input", "size", *_SPACE),
    tensors=("input",),
    forward=_col2im,
    rules={"input": _fold_rule},
    node="Col2ImBackward0",
)


def _pair(value: Any, name: str) -> Shape:
    pair = (value, value) if isinstance(value, int) else tuple(int(item) for item in value)
    if len(pair) == 1:
        pair = pair * 2
    if len(pair) != 2:
        raise AssertionError(f"{name} must be int or 2-tuple")
    return pair


def _text(values: Sequence[int]) -> str:
    return f"({', '.join(map(str, values))})"


def _unfold_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3, 5, 4), 2)
    yield Sample(make(2, 3, 6, 5), (3, 2), (1, 2), 1, 2)
    yield Sample(make(3, 5, 4), 2)


def _unfold_errors() -> Iterable[Sample]:
    yield Sample(
        np.ones((1, 2, 2, 2)), 3, error=(RuntimeError, "Given input with spatial size (2, 2), kernel_size=(3, 3)")
    )


@declare_functional(op=UNFOLD, samples=_unfold_samples, errors=_unfold_errors)
def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Returns the windows of (N, C, H, W) as columns: (N, C * kh * kw, windows)."""
    if not isinstance(input, Tensor):
        raise argument_error("unfold", "input", "Tensor", input)
    window = (
        _pair(kernel_size, "kernel_size"),
        _pair(dilation, "dilation"),
        _pair(padding, "padding"),
        _pair(stride, "stride"),
    )
    size = shape_of(input)
    if len(size) not in (3, 4):
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but got: "
            f"{list(size)}"
        )
    kernel, gaps, pads, steps = window
    out = output_size(size[-2:], kernel, steps, pads, gaps)
    if min(out) < 1:
        raise RuntimeError(
            f"Given input with spatial size {_text(size[-2:])}, kernel_size={_text(kernel)}, dilation={_text(gaps)}, "
            f"padding={_text(pads)}, calculated shape of the array of sliding blocks as {_text(out)}, but its components must be at "
            "least one."
        )
    if len(size) == 4:
        return UNFOLD(input, *window)
    columns = UNFOLD(TENSOR_SPACE.reshape(input, (1, *size)), *window)
    return UNBATCH(columns, shape_of(columns)[1:])


def _fold_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 12, 12), (5, 4), 2)
    yield Sample(make(2, 18, 9), (6, 5), (3, 2), (1, 1), 1, (2, 2))
    yield Sample(make(8, 9), (4, 4), 2)


def _fold_errors() -> Iterable[Sample]:
    x = np.ones((1, 8, 8))
    yield Sample(
        x,
        (4, 4),
        2,
        error=(RuntimeError, "expected size of input's dimension 2 to match the calculated number of sliding"),
    )
    yield Sample(
        x[:, :7], (4, 4), 2, error=(RuntimeError, "input's dimension 1 to be divisible by the product of kernel_size")
    )


@declare_functional(op=FOLD, samples=_fold_samples, errors=_fold_errors)
def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Returns (N, C, H, W) with the columns of (N, C * kh * kw, windows) added where `unfold` reads them."""
    if not isinstance(input, Tensor):
        raise argument_error("fold", "input", "Tensor", input)
    target = _pair(output_size, "output_size")
    window = (
        _pair(kernel_size, "kernel_size"),
        _pair(dilation, "dilation"),
        _pair(padding, "padding"),
        _pair(stride, "stride"),
    )
    size = shape_of(input)
    if len(size) not in (2, 3):
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, but got: "
            f"{list(size)}"
        )
    _check_fold(size, target, *window)
    if len(size) == 3:
        return FOLD(input, target, *window)
    image = FOLD(TENSOR_SPACE.reshape(input, (1, *size)), target, *window)
    return UNBATCH(image, shape_of(image)[1:])


def _check_fold(size: Shape, target: Shape, kernel: Shape, gaps: Shape, pads: Shape, steps: Shape) -> None:
    batch = len(size) - 2
    if size[batch] % math.prod(kernel):
        raise RuntimeError(
            f"Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got input.size(1)={size[batch]} "
            f"and kernel_size={_text(kernel)}."
        )
    out = output_size(target, kernel, steps, pads, gaps)
    given = (
        f"Given output_size={_text(target)}, kernel_size={_text(kernel)}, dilation={_text(gaps)}, padding={_text(pads)}, "
        f"stride={_text(steps)}"
    )
    if min(out) < 1:
        raise RuntimeError(
            f"{given}, calculated shape of the array of sliding blocks as {_text(out)}, which is too small (non-positive)"
        )
    if math.prod(out) != size[batch + 1]:
        raise RuntimeError(
            f"{given}, expected size of input's dimension 2 to match the calculated number of sliding blocks {out[0]} * {out[1]} = "
            f"{math.prod(out)}, but got input.size(2)={size[batch + 1]}."
        )


# ---- channels and space ----------------------------------------------------------------------------------------------


def _turned(F: Any, x: Any, middle: Shape, order: Shape, shape: Shape) -> Any:
    return F.reshape(F.permute_dims(F.reshape(x, middle), order), shape)


def _pixel_shuffle(F: Any, x: Any, factor: int) -> Any:
    count, channels, height, width = x.shape
    made = channels // (factor * factor)
    return _turned(
        F,
        x,
        (count, made, factor, factor, height, width),
        (0, 1, 4, 2, 5, 3),
        (count, made, height * factor, width * factor),
    )


def _pixel_unshuffle(F: Any, x: Any, factor: int) -> Any:
    count, channels, height, width = x.shape
    down, across = height // factor, width // factor
    return _turned(
        F,
        x,
        (count, channels, down, factor, across, factor),
        (0, 1, 3, 5, 2, 4),
        (count, channels * factor * factor, down, across),
    )


def _channel_shuffle(F: Any, x: Any, groups: int) -> Any:
    count, channels, space = x.shape
    return _turned(F, x, (count, groups, channels // groups, space), (0, 2, 1, 3), (count, channels, space))


PIXEL_SHUFFLE = Op("pixel_shuffle", ("input", "factor"), tensors=("input",), forward=_pixel_shuffle, rules={
    "input": lambda F, g, factor: F.pixel_unshuffle(g, factor),
})  # fmt: skip
PIXEL_UNSHUFFLE = Op("pixel_unshuffle", ("input", "factor"), tensors=("input",), forward=_pixel_unshuffle, rules={
    "input": lambda F, g, factor: F.pixel_shuffle(g, factor),
})  # fmt: skip
CHANNEL_SHUFFLE = Op("channel_shuffle", ("input", "groups"), tensors=("input",), forward=_channel_shuffle, rules={
    "input": lambda F, g, groups: F.channel_shuffle(g, g.shape[1] // groups),
})  # fmt: skip


def _on_images(op: Op, input: Tensor, attribute: int) -> Tensor:
    """Runs an op of (N, C, H, W) on any number of leading dimensions."""
    size = shape_of(input)
    if len(size) == 4:
        return op(input, attribute)
    F = TENSOR_SPACE
    out = op(F.reshape(input, (math.prod(size[:-3]), *size[-3:])), attribute)
    return F.reshape(out, (*size[:-3], *shape_of(out)[1:]))


def _check_images(name: str, input: Any) -> Shape:
    if not isinstance(input, Tensor):
        raise argument_error(name, "input", "Tensor", input, 1)
    size = shape_of(input)
    if len(size) < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {len(size)} dimension(s)"
        )
    return size


def _shuffle_errors() -> Iterable[Sample]:
    yield Sample(np.ones((1, 7, 2, 2)), 2, error=(RuntimeError, "input.size(-3)=7 is not divisible by 4"))
    yield Sample(np.ones((8, 2)), 2, error=(RuntimeError, "pixel_shuffle expects input to have at least 3 dimensions"))


@declare(
    op=PIXEL_SHUFFLE,
    samples=lambda make: [Sample(make(2, 8, 2, 3), 2), Sample(make(9, 2, 3), 3)],
    errors=_shuffle_errors,
    method=False,
)
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Returns (..., C r^2, H, W) as (..., C, H r, W r). Source: Shi et al. 2016, equation 4."""
    size = _check_images("pixel_shuffle", input)
    if upscale_factor <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {upscale_factor}")
    if size[-3] % (upscale_factor * upscale_factor):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but "
            f"input.size(-3)={size[-3]} is not divisible by {upscale_factor * upscale_factor}"
        )
    return _on_images(PIXEL_SHUFFLE, input, upscale_factor)


def _unshuffle_errors() -> Iterable[Sample]:
    yield Sample(
        np.ones((1, 2, 5, 4)),
        2,
        error=(RuntimeError, "height to be divisible by downscale_factor, but input.size(-2)=5"),
    )


@declare(
    op=PIXEL_UNSHUFFLE,
    samples=lambda make: [Sample(make(2, 2, 4, 6), 2), Sample(make(1, 6, 3), 3)],
    errors=_unshuffle_errors,
    method=False,
)
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Returns (..., C, H r, W r) as (..., C r^2, H, W)."""
    size = _check_images("pixel_unshuffle", input)
    if downscale_factor <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {downscale_factor}")
    for name, dim in (("height", -2), ("width", -1)):
        if size[dim] % downscale_factor:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but input.size({dim})={size[dim]} is not "
                f"divisible by {downscale_factor}"
            )
    return _on_images(PIXEL_UNSHUFFLE, input, downscale_factor)


def _channel_errors() -> Iterable[Sample]:
    yield Sample(
        np.ones((1, 6, 2, 2)), 4, error=(RuntimeError, "Number of channels must be divisible by groups. Got 6 channels")
    )


@declare(
    op=CHANNEL_SHUFFLE,
    samples=lambda make: [Sample(make(2, 6, 2, 3), 3), Sample(make(2, 6, 4), 2)],
    errors=_channel_errors,
    method=False,
)
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Returns (N, C, ...) with its channels, g groups of C / g, dealt out to C / g groups of g."""
    if not isinstance(input, Tensor):
        raise argument_error("channel_shuffle", "input", "Tensor", input, 1)
    size = shape_of(input)
    if len(size) <= 2:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes [{', '.join(map(str, size))}]"
        )
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if size[1] % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {size[1]} channels and {groups} groups."
        )
    F = TENSOR_SPACE
    flat = F.reshape(input, (*size[:2], math.prod(size[2:])))
    return F.reshape(CHANNEL_SHUFFLE(flat, groups), size)
