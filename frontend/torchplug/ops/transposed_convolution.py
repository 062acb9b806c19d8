"""Transposed convolution: the gradient of a convolution by its input, read as a function of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torchplug._core.declare import Sample, declare
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.convolution import (
    UNBATCH,
    back_bias,
    back_output,
    check_batch,
    check_bias,
    check_groups,
    check_operands,
    check_windows,
    per_dimension,
    weight_again,
)

__all__ = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]

Shape = tuple[int, ...]


def _conv_transpose(
    F: Any, x: Any, weight: Any, bias: Any, size: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Any:
    out = F.convolution_backward_input(x, weight, size, stride, padding, dilation, groups)
    return out if bias is None else F.add(out, F.reshape(bias, (1, bias.shape[0], *(1 for _ in size))))


_TENSORS = ("input", "weight", "bias")
CONV_TRANSPOSE = Op(
    "conv_transpose", (*_TENSORS, "size", "stride", "padding", "dilation", "groups"), tensors=_TENSORS, forward=_conv_transpose,
    rules={"input": back_output, "weight": weight_again, "bias": back_bias}, node="ConvolutionBackward0",
)  # fmt: skip

_DIMENSIONS = ("depth", "height", "width")


def _check_output_padding(extra: Shape, stride: Shape, dilation: Shape) -> None:
    if all(more < step or more < gap for more, step, gap in zip(extra, stride, dilation, strict=True)):
        return
    names = _DIMENSIONS[-len(extra) :]
    said = " ".join(
        f"{what}_{name}: {value}"
        for what, values in (("output_padding", extra), ("stride", stride), ("dilation", dilation))
        for name, value in zip(names, values, strict=True)
    )
    raise RuntimeError(f"output padding must be smaller than either stride or dilation, but got {said}")


def _transposed(
    name: str,
    count: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    check_operands(name, input, weight, bias)
    batched = check_batch(name, input, count)
    F = TENSOR_SPACE
    if not batched:
        input = F.reshape(input, (1, *shape_of(input)))
    size, matrix = shape_of(input), shape_of(weight)
    steps, pads = per_dimension(stride, count, "stride"), per_dimension(padding, count, "padding")
    extra, gaps = per_dimension(output_padding, count, "output_padding"), per_dimension(dilation, count, "dilation")
    check_windows(steps, pads, gaps, groups)
    check_groups(size, matrix, groups, True)
    made = matrix[1] * groups
    check_bias(bias, matrix, made, True)
    _check_output_padding(extra, steps, gaps)
    out_size = tuple(
        (length - 1) * step - 2 * pad + gap * (taps - 1) + more + 1
        for length, step, pad, gap, taps, more in zip(size[2:], steps, pads, gaps, matrix[2:], extra, strict=True)
    )
    if min(out_size) < 1:
        raise RuntimeError(
            f"Given input size per channel: ({' x '.join(map(str, size[2:]))}). Calculated output size per channel: "
            f"({' x '.join(map(str, out_size))}). Output size is too small"
        )
    out = CONV_TRANSPOSE(input, weight, bias, out_size, steps, pads, gaps, groups)
    return out if batched else UNBATCH(out, shape_of(out)[1:])


def _samples_1d(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3, 5), make(3, 4, 3), make(4))
    yield Sample(make(4, 5), make(4, 2, 3), None, 2, 1, 1, 2)


def _samples_2d(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3, 4, 5), make(3, 4, 3, 3), make(4))
    yield Sample(make(2, 4, 4, 3), make(4, 3, 3, 2), make(6), 2, 1, 1, 2)
    yield Sample(make(1, 3, 4, 4), make(3, 2, 3, 3), None, 1, 0, 2, 1, 3)
    yield Sample(make(3, 4, 4), make(3, 2, 2, 2), make(2), stride=2)


def _errors_2d() -> Iterable[Sample]:
    import numpy as np

    x, w = np.ones((1, 3, 5, 5), np.float32), np.ones((3, 4, 3, 3), np.float32)
    yield Sample(
        x[:, :2], w, error=(RuntimeError, "Given transposed=1, weight of size [3, 4, 3, 3], expected input[1, 2, 5, 5]")
    )
    yield Sample(
        x, w, output_padding=1, error=(RuntimeError, "output padding must be smaller than either stride or dilation")
    )
    yield Sample(x[:, :, :1, :1], w, padding=2, error=(RuntimeError, "Calculated output size per channel: (-1 x -1)"))
    yield Sample(
        x, w, np.ones(3, np.float32), error=(RuntimeError, "expected bias to be 1-dimensional with 4 elements")
    )


@declare(op=CONV_TRANSPOSE, samples=_samples_1d, method=False)
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Returns the transposed convolution of a signal: input (N, C, L), weight (C, O / groups, k) give (N, O, L').

    L' = (L - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1.
    """
    return _transposed("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@declare(op=CONV_TRANSPOSE, samples=_samples_2d, errors=_errors_2d, dtypes=("float", "complex"), method=False)
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Returns the transposed convolution of images: input (N, C, H, W), weight (C, O / groups, kh, kw)."""
    return _transposed("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@declare(
    op=CONV_TRANSPOSE,
    samples=lambda make: [Sample(make(1, 2, 3, 2, 3), make(2, 2, 2, 3, 2), make(2), 2, 1)],
    method=False,
)
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Returns the transposed convolution of volumes: input (N, C, D, H, W), weight (C, O / groups, kd, kh, kw)."""
    return _transposed("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)
