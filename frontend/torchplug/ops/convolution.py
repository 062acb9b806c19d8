"""Convolution over one, two or three dimensions.

Three kernels are the derivatives of one form that is linear in input x, weight w and output gradient g, sum(g * conv(x, w)):
`convolution` gives the derivative by g, `convolution_backward_input` by x, `convolution_backward_weight` by w. So each has the
other two as its own derivatives, and a transposed convolution is `convolution_backward_input` read forwards.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import argument_error
from torchplug._core.lens import RESHAPE
from torchplug._core.op import TENSOR_SPACE, Op, ViewOp
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.products import CPP_NAMES, scalar_type_error

__all__ = ["conv1d", "conv2d", "conv3d"]

Shape = tuple[int, ...]


# ---- default compositions: windows as columns of a matrix ------------------------------------------------------------


def _pad(F: Any, x: Any, padding: Shape) -> Any:
    """Returns x (N, C, *space) with zeros around its space."""
    if not any(padding):
        return x
    shape = tuple(x.shape)
    padded = (*shape[:2], *(length + 2 * pad for length, pad in zip(shape[2:], padding, strict=True)))
    inside = (slice(pad, pad + length, 1) for length, pad in zip(shape[2:], padding, strict=True))
    return F.slice_embed(x, padded, (slice(0, shape[0], 1), slice(0, shape[1], 1), *inside))


def _window_keys(shape: Shape, kernel: Shape, out: Shape, stride: Shape, dilation: Shape) -> list[tuple]:
    """Returns, for every place in the kernel, the slices of a padded (N, C, *space) that its windows read there."""
    lead = (slice(0, shape[0], 1), slice(0, shape[1], 1))
    keys = []
    for place in itertools.product(*(range(length) for length in kernel)):
        starts = [spot * step for spot, step in zip(place, dilation, strict=True)]
        keys.append((*lead, *(
            slice(start, start + (count - 1) * step + 1 if count else start, step)
            for start, count, step in zip(starts, out, stride, strict=True)
        )))  # fmt: skip
    return keys


def columns_of(
    F: Any, x: Any, kernel: Shape, out: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Any:
    """Returns the windows of x as (N, groups, C / groups * places of the kernel, windows)."""
    x = _pad(F, x, padding)
    count, channels = x.shape[:2]
    windows = math.prod(out)
    keys = _window_keys(x.shape, kernel, out, stride, dilation)
    parts = [F.reshape(F.slice(x, key), (count, channels, 1, windows)) for key in keys]
    rows = channels // groups * len(keys)
    return F.reshape(F.concat(parts, 2) if len(parts) > 1 else parts[0], (count, groups, rows, windows))


def _transposed(F: Any, x: Any) -> Any:
    return F.permute_dims(x, (0, 1, 3, 2))


def output_size(size: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Shape:
    """Returns the spatial size of a convolution's result."""
    return tuple(
        (length + 2 * pad - gap * (taps - 1) - 1) // step + 1
        for length, taps, step, pad, gap in zip(size, kernel, stride, padding, dilation, strict=True)
    )


def _convolution(
    F: Any, x: Any, weight: Any, bias: Any, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Any:
    count, kernel = x.shape[0], tuple(weight.shape[2:])
    made = weight.shape[0]
    out = output_size(tuple(x.shape[2:]), kernel, stride, padding, dilation)
    columns = columns_of(F, x, kernel, out, stride, padding, dilation, groups)
    rows = weight.shape[1] * math.prod(kernel)
    result = F.matmul(F.reshape(weight, (1, groups, made // groups, rows)), columns)
    result = F.reshape(result, (count, made, *out))
    return result if bias is None else F.add(result, F.reshape(bias, (1, made, *(1 for _ in out))))


def _convolution_backward_input(
    F: Any, g: Any, weight: Any, size: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Any:
    count, made, *rest = g.shape
    out, kernel = tuple(rest), tuple(weight.shape[2:])
    inner, places = weight.shape[1], math.prod(kernel)
    matrix = _transposed(F, F.reshape(weight, (1, groups, made // groups, inner * places)))
    columns = F.matmul(matrix, F.reshape(g, (count, groups, made // groups, math.prod(out))))
    columns = F.reshape(columns, (count, groups * inner, places, *out))
    return spread_columns(F, columns, size, kernel, stride, padding, dilation)


def spread_columns(
    F: Any, columns: Any, size: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Any:
    """Returns (N, C, *size) with columns (N, C, places of the kernel, *windows) added where windows read them."""
    count, channels, _, *out = columns.shape
    padded = (count, channels, *(length + 2 * pad for length, pad in zip(size, padding, strict=True)))
    total = None
    whole = tuple(slice(0, length, 1) for length in columns.shape)
    for place, key in enumerate(_window_keys(padded, kernel, tuple(out), stride, dilation)):
        part = F.slice_embed(F.slice(columns, (*whole[:2], place, *whole[3:])), padded, key)
        total = part if total is None else F.add(total, part)
    inside = (slice(pad, pad + length, 1) for length, pad in zip(size, padding, strict=True))
    return F.slice(total, (*whole[:2], *inside)) if any(padding) else total


def _convolution_backward_weight(
    F: Any, g: Any, x: Any, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Any:
    count, made, *rest = g.shape
    out, channels = tuple(rest), x.shape[1]
    columns = columns_of(F, x, kernel, out, stride, padding, dilation, groups)
    grads = F.reshape(g, (count, groups, made // groups, math.prod(out)))
    total = F.sum(F.matmul(grads, _transposed(F, columns)), (0,), False)
    return F.reshape(total, (made, channels // groups, *kernel))


# ---- ops -------------------------------------------------------------------------------------------------------------
# Each rule reads: the parameters that say where, then the three attributes of a window, then groups.


def _back_input(
    F: Any, g: Any, weight: Any, input_shape: Shape, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    return F.convolution_backward_input(g, F.conj_of(weight), tuple(input_shape[2:]), stride, padding, dilation, groups)


def _back_weight(
    F: Any, g: Any, input: Any, weight_shape: Shape, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    kernel = tuple(weight_shape[2:])
    return F.convolution_backward_weight(g, F.conj_of(input), kernel, stride, padding, dilation, groups)


def back_bias(F: Any, g: Any) -> Any:
    """Returns the gradient of the bias: the sum over everything but the channels."""
    return F.sum(g, (0, *range(2, len(g.shape))), False)


def back_output(
    F: Any, g: Any, weight: Any, input_shape: Shape, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """Returns the gradient of what stands for an output gradient, the first operand of `convolution_backward_input`."""
    return _cut(F, F.convolution(g, F.conj_of(weight), None, stride, padding, dilation, groups), input_shape)


def _cut(F: Any, x: Any, shape: Shape) -> Any:
    # A size with more output padding than stride has room for windows that the output gradient does not have.
    return x if tuple(x.shape) == tuple(shape) else F.slice(x, tuple(slice(0, length, 1) for length in shape))


def weight_again(
    F: Any, g: Any, input: Any, weight_shape: Shape, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """Returns the gradient of the weight of `convolution_backward_input`."""
    # Here `input` is an output gradient, and g stands where a convolution has its input.
    kernel = tuple(weight_shape[2:])
    return F.convolution_backward_weight(F.conj_of(input), g, kernel, stride, padding, dilation, groups)


def _output_of_weight(
    F: Any, g: Any, input: Any, grad_shape: Shape, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    return _cut(F, F.convolution(F.conj_of(input), g, None, stride, padding, dilation, groups), grad_shape)


def _input_of_weight(
    F: Any, g: Any, grad: Any, input_shape: Shape, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    size = tuple(input_shape[2:])
    return F.convolution_backward_input(F.conj_of(grad), g, size, stride, padding, dilation, groups)


UNBATCH = ViewOp("squeeze", RESHAPE, ("shape",), node="SqueezeBackward1")
_SPACE = ("stride", "padding", "dilation", "groups")
CONVOLUTION = Op(
    "convolution", ("input", "weight", "bias", *_SPACE), tensors=("input", "weight", "bias"), forward=_convolution,
    rules={"input": _back_input, "weight": _back_weight, "bias": back_bias},
)  # fmt: skip
BACKWARD_INPUT = Op(
    "convolution_backward_input", ("input", "weight", "size", *_SPACE), tensors=("input", "weight"), node="ConvolutionBackward0",
    forward=_convolution_backward_input, rules={"input": back_output, "weight": weight_again},
)  # fmt: skip
Op(
    "convolution_backward_weight", ("grad", "input", "kernel", *_SPACE), tensors=("grad", "input"), node="ConvolutionBackward0",
    forward=_convolution_backward_weight, rules={"grad": _output_of_weight, "input": _input_of_weight},
)  # fmt: skip


# ---- checks ----------------------------------------------------------------------------------------------------------


def per_dimension(value: Any, count: int, name: str) -> Shape:
    """Returns an attribute given once or per spatial dimension as a tuple; PyTorch's error for another length."""
    if isinstance(value, int):
        return (value,) * count
    values = tuple(int(item) for item in value)
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {count} values to match the convolution dimensions, but "
            f"got {name}={list(values)}"
        )
    return values


def check_batch(name: str, input: Tensor, count: int) -> bool:
    """Returns whether an input has its batch dimension; PyTorch's error for a wrong number of dimensions."""
    size = shape_of(input)
    if len(size) not in (count + 1, count + 2):
        raise RuntimeError(
            f"Expected {count + 1}D (unbatched) or {count + 2}D (batched) input to {name}, but got input of size: {list(size)}"
        )
    return len(size) == count + 2


def check_operands(name: str, input: Any, weight: Any, bias: Any) -> None:
    """Raises PyTorch's errors for operands that are no tensors or have different dtypes."""
    for argument, x in (("input", input), ("weight", weight), ("bias", bias)):
        if not isinstance(x, Tensor) and (x is not None or argument != "bias"):
            raise argument_error(name, argument, "Tensor", x)
    dtype = input._kind.dtype
    if bias is not None and bias._kind.dtype is not dtype:
        kinds = CPP_NAMES[dtype.name], CPP_NAMES[bias._kind.dtype.name]
        raise RuntimeError(f"Input type ({kinds[0]}) and bias type ({kinds[1]}) should be the same")
    if weight._kind.dtype is not dtype:
        raise scalar_type_error(dtype, weight._kind.dtype)


def check_windows(stride: Shape, padding: Shape, dilation: Shape, groups: int) -> None:
    """Raises PyTorch's errors for attributes out of range."""
    if min(padding, default=0) < 0:
        raise RuntimeError("negative padding is not supported")
    if min(stride, default=1) <= 0:
        raise RuntimeError("non-positive stride is not supported")
    if min(dilation, default=1) <= 0:
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")


def check_groups(size: Shape, weight: Shape, groups: int, transposed: bool) -> None:
    """Raises PyTorch's errors where groups, weight and channels do not fit."""
    if groups > 1 and weight[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of size "
            f"[{list(weight)}] instead"
        )
    expected = weight[0] if transposed else weight[1] * groups
    if size[1] != expected:
        given = "transposed=1" if transposed else f"groups={groups}"
        raise RuntimeError(
            f"Given {given}, weight of size {list(weight)}, expected input{list(size)} to have {expected} channels, but got "
            f"{size[1]} channels instead"
        )


def check_bias(bias: Tensor | None, weight: Shape, made: int, transposed: bool) -> None:
    """Raises PyTorch's error for a bias of another length than the result's channels."""
    if bias is not None and shape_of(bias) != (made,):
        given = "transposed=1" if transposed else "weight"
        size = f", weight of size {list(weight)}" if transposed else f" of size {list(weight)}"
        raise RuntimeError(
            f"Given {given}{size}, expected bias to be 1-dimensional with {made} elements, but got bias of size "
            f"{list(shape_of(bias))} instead"
        )


def _check_reach(size: Shape, kernel: Shape, padding: Shape, dilation: Shape) -> None:
    padded = [length + 2 * pad for length, pad in zip(size, padding, strict=True)]
    reach = [gap * (taps - 1) + 1 for taps, gap in zip(kernel, dilation, strict=True)]
    if any(have < need for have, need in zip(padded, reach, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, padded))}). Kernel size: "
            f"({' x '.join(map(str, reach))}). Kernel size can't be greater than actual input size"
        )


# ---- public functions ------------------------------------------------------------------------------------------------


def _same_padding(input: Tensor, kernel: Shape, stride: Shape, dilation: Shape) -> tuple[Tensor, Shape]:
    """Returns the input, with one more zero at the end where the padding is odd, and the padding for padding="same"."""
    if any(step != 1 for step in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    totals = [gap * (taps - 1) for taps, gap in zip(kernel, dilation, strict=True)]
    if any(total % 2 for total in totals):
        from torchplug.ops.padding import constant_pad

        extra = [amount for total in reversed(totals) for amount in (0, total % 2)]
        input = constant_pad(input, extra, 0)
    return input, tuple(total // 2 for total in totals)


def _convolve(
    name: str,
    count: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    check_operands(name, input, weight, bias)
    batched = check_batch(name, input, count)
    F = TENSOR_SPACE
    if not batched:
        input = F.reshape(input, (1, *shape_of(input)))
    matrix = shape_of(weight)
    steps = per_dimension(stride, len(matrix) - 2, "stride")
    gaps = per_dimension(dilation, len(matrix) - 2, "dilation")
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise RuntimeError(f"Invalid padding string: '{padding}'")
        pads: Shape = (0,) * count
        if padding == "same":
            input, pads = _same_padding(input, matrix[2:], steps, gaps)
    else:
        pads = per_dimension(padding, len(matrix) - 2, "padding")
    check_windows(steps, pads, gaps, groups)
    size = shape_of(input)
    check_groups(size, matrix, groups, False)
    check_bias(bias, matrix, matrix[0], False)
    if 0 in matrix[2:]:
        raise RuntimeError(f"kernel size should be greater than zero, but got {_kernel_text(matrix[2:])}")
    _check_reach(size[2:], matrix[2:], pads, gaps)
    out = CONVOLUTION(input, weight, bias, steps, pads, gaps, groups)
    return out if batched else UNBATCH(out, shape_of(out)[1:])


def _kernel_text(kernel: Shape) -> str:
    names = ("kernel_depth", "kernel_height", "kernel_width")[-len(kernel) :]
    return " ".join(f"{name}: {length}" for name, length in zip(names, kernel, strict=True))


def _ones(*shape: int, dtype: str = "float32") -> Any:
    import numpy as np

    return np.ones(shape, dtype)


def _samples_1d(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3, 7), make(4, 3, 3), make(4))
    yield Sample(make(2, 4, 9), make(6, 2, 3), None, 2, 1, 2, 2)
    yield Sample(make(3, 7), make(4, 3, 2), padding="same")
    yield Sample(make(0, 3, 7), make(4, 3, 3))


def _samples_2d(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3, 6, 5), make(4, 3, 3, 3), make(4))
    yield Sample(make(2, 3, 6, 5), make(4, 3, 3, 2), make(4), stride=2, padding=1)
    yield Sample(make(1, 4, 8, 7), make(6, 2, 3, 3), None, (2, 1), (1, 2), (1, 2), 2)
    yield Sample(make(2, 3, 5, 5), make(3, 1, 3, 3), make(3), padding=1, groups=3)
    yield Sample(make(2, 3, 5, 5), make(4, 3, 1, 1), make(4))
    yield Sample(make(2, 3, 5, 5), make(4, 3, 1, 1), stride=2)
    yield Sample(make(3, 5, 5), make(4, 3, 3, 3), make(4))
    yield Sample(make(2, 3, 5, 5), make(4, 3, 3, 3), padding="same")
    yield Sample(make(2, 3, 5, 5), make(4, 3, 2, 4), padding="same", dilation=(1, 1))
    yield Sample(make(2, 3, 5, 5), make(4, 3, 3, 3), padding="valid")
    yield Sample(make(0, 3, 5, 5), make(4, 3, 3, 3), make(4))


def _samples_3d(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3, 4, 5, 4), make(2, 3, 2, 3, 2), make(2))
    yield Sample(make(1, 2, 5, 5, 4), make(4, 1, 2, 2, 2), None, 2, 1, 1, 2)


def _errors_2d() -> Iterable[Sample]:
    x, w = _ones(1, 3, 5, 5), _ones(4, 3, 3, 3)
    yield Sample(
        _ones(1, 2, 5, 5), w, error=(RuntimeError, "expected input[1, 2, 5, 5] to have 3 channels, but got 2 channels")
    )
    yield Sample(_ones(5), w, error=(RuntimeError, "Expected 3D (unbatched) or 4D (batched) input to conv2d"))
    yield Sample(
        _ones(1, 3, 2, 2),
        w,
        error=(RuntimeError, "Calculated padded input size per channel: (2 x 2). Kernel size: (3 x 3)"),
    )
    yield Sample(
        x,
        w,
        _ones(5),
        error=(RuntimeError, "expected bias to be 1-dimensional with 4 elements, but got bias of size [5]"),
    )
    yield Sample(x, w, stride=0, error=(RuntimeError, "non-positive stride is not supported"))
    yield Sample(x, w, padding=-1, error=(RuntimeError, "negative padding is not supported"))
    yield Sample(x, w, dilation=0, error=(RuntimeError, "dilation should be greater than zero"))
    yield Sample(
        x,
        w,
        stride=(1, 2, 3),
        error=(RuntimeError, "expected stride to be a single integer value or a list of 2 values"),
    )
    yield Sample(
        x, w, padding="same", stride=2, error=(RuntimeError, "padding='same' is not supported for strided convolutions")
    )
    yield Sample(
        _ones(1, 4, 5, 5), _ones(4, 2, 3, 3), groups=3, error=(RuntimeError, "expected weight to be divisible by 3")
    )
    yield Sample(
        x, _ones(4, 3, 3, 3, dtype="float64"), error=(RuntimeError, "expected scalar type Float but found Double")
    )


@declare(op=CONVOLUTION, samples=_samples_1d, dtypes=("float", "complex"), method=False)
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Returns the cross-correlation of a signal: input (N, C, L) or (C, L), weight (O, C / groups, k) give (N, O, L').

    L' = (L + 2 padding - dilation (k - 1) - 1) // stride + 1. `padding` may be "valid" (none) or "same" (L' = L).
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@declare(op=CONVOLUTION, samples=_samples_2d, errors=_errors_2d, dtypes=("float", "complex"), method=False)
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Returns the cross-correlation of images: input (N, C, H, W) or (C, H, W), weight (O, C / groups, kh, kw).

    The result is (N, O, H', W') with H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1 and W' alike. `padding` may
    be "valid" (none) or "same" (H' = H).
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@declare(op=CONVOLUTION, samples=_samples_3d, dtypes=("float",), method=False)
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Returns the cross-correlation of volumes: input (N, C, D, H, W), weight (O, C / groups, kd, kh, kw)."""
    return _convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)
