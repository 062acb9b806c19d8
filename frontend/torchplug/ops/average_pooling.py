"""Average pooling over 1 to 3 dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare, declare_functional
from torchplug._core.elementwise import argument_error
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.convolution import UNBATCH
from torchplug.ops.pooling import batched, check_size, check_window, pooled_size, tuple_of

__all__ = ["avg_pool1d", "avg_pool2d", "avg_pool3d"]

Shape = tuple[int, ...]


def _divisors(size: Shape, out: Shape, kernel: Shape, stride: Shape, padding: Shape, include_pad: bool) -> np.ndarray:
    """Returns how many elements each window counts: those inside, or also the padding (but nothing beyond it)."""
    total = np.ones((1,) * len(size))
    for axis, (length, count, taps, step, pad) in enumerate(zip(size, out, kernel, stride, padding, strict=True)):
        starts = np.arange(count) * step - pad
        ends = np.minimum(starts + taps, length + pad)
        share = ends - starts if include_pad else np.minimum(ends, length) - np.maximum(starts, 0)
        total = total * share.reshape([-1 if place == axis else 1 for place in range(len(size))])
    return total


def _shared(F: Any, x: Any, size: Shape, window: tuple, include_pad: bool, divisor: int | None) -> Any:
    """Returns sums of windows divided by what each counts."""
    out, kernel, stride, padding = window
    if divisor is not None:
        return F.divide(x, float(divisor))
    counts = _divisors(size, out, kernel, stride, padding, include_pad)
    if counts.min() == counts.max():
        return F.divide(x, float(counts.flat[0]))
    return F.divide(x, F.astype(F.host(counts, x), F.dtype_of(x)))


def _spans(size: Shape, window: tuple) -> Iterable[tuple[tuple, tuple]]:
    """Yields, for every place in the kernel, the slices of a plane that are inside it and of the windows that read them."""
    out, kernel, stride, padding = window
    for place in itertools.product(*(range(taps) for taps in kernel)):
        inside, windows = [], []
        for spot, length, count, step, pad in zip(place, size, out, stride, padding, strict=True):
            first = max(0, -(-(pad - spot) // step))
            last = min(count - 1, (length - 1 + pad - spot) // step)
            if last < first:
                break
            start = first * step - pad + spot
            inside.append(slice(start, (last - first) * step + start + 1, step))
            windows.append(slice(first, last + 1, 1))
        else:
            yield tuple(inside), tuple(windows)


def _avg_pool(
    F: Any,
    x: Any,
    out_size: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    include_pad: bool,
    divisor: int | None,
) -> Any:
    window = (out_size, kernel, stride, padding)
    size = tuple(x.shape[2:])
    lead = (slice(0, x.shape[0], 1), slice(0, x.shape[1], 1))
    shape = (*x.shape[:2], *out_size)
    total = F.zeros_of(x, shape)
    for inside, windows in _spans(size, window):
        part = F.slice(x, (*lead, *inside))
        total = F.add(total, part if tuple(part.shape) == shape else F.slice_embed(part, shape, (*lead, *windows)))
    return _shared(F, total, size, window, include_pad, divisor)


def _avg_pool_backward(
    F: Any,
    g: Any,
    size: Shape,
    out_size: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    include_pad: bool,
    divisor: int | None,
) -> Any:
    window = (out_size, kernel, stride, padding)
    g = _shared(F, g, size, window, include_pad, divisor)
    lead = (slice(0, g.shape[0], 1), slice(0, g.shape[1], 1))
    shape = (*g.shape[:2], *size)
    total = F.zeros_of(g, shape)
    for inside, windows in _spans(size, window):
        total = F.add(total, F.slice_embed(F.slice(g, (*lead, *windows)), shape, (*lead, *inside)))
    return total


def _avg_rule(
    F: Any,
    g: Any,
    input_shape: Shape,
    out_size: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    include_pad: bool,
    divisor: int | None,
) -> Any:
    return F.avg_pool_backward(g, tuple(input_shape[2:]), out_size, kernel, stride, padding, include_pad, divisor)


def _avg_again(
    F: Any,
    g: Any,
    out_size: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    include_pad: bool,
    divisor: int | None,
) -> Any:
    return F.avg_pool(g, out_size, kernel, stride, padding, include_pad, divisor)


_AVERAGE = ("out_size", "kernel", "stride", "padding", "include_pad", "divisor")


AVG_POOL = {
    count: Op(
        "avg_pool", ("input", *_AVERAGE), tensors=("input",), forward=_avg_pool, node=node, rules={"input": _avg_rule}
    )
    for count, node in ((2, "AvgPool2DBackward0"), (3, "AvgPool3DBackward0"), (1, "SqueezeBackward1"))
}


Op("avg_pool_backward", ("g", "size", *_AVERAGE), tensors=("g",), forward=_avg_pool_backward, rules={"g": _avg_again})


def _average(
    count: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    include_pad: bool,
    divisor: int | None,
) -> Tensor:
    name = f"avg_pool{count}d"
    if not isinstance(input, Tensor):
        raise argument_error(name, "input", "Tensor", input)
    kernel = tuple_of(kernel_size, count, name, "kernel_size")
    steps = kernel if stride is None or stride == () or stride == [] else tuple_of(stride, count, name, "stride")
    pads = tuple_of(padding, count, name, "padding")
    if divisor == 0:
        raise RuntimeError("divisor must be not zero")
    size, ones = shape_of(input), (1,) * count
    check_window(name, kernel, steps, pads, ones)
    if count == 1 and len(size) not in (2, 3):
        raise RuntimeError(
            f"Expected 2 to 3 dimensions, but got {len(size)}-dimensional tensor for argument #1 'self' (while checking arguments "
            "for avg_pool1d)"
        )
    check_size(name, count, size)
    out_size = pooled_size(name, size, kernel, steps, pads, ones, ceil_mode)
    x = batched(input, count)
    out = AVG_POOL[count](x, out_size, kernel, steps, pads, include_pad, divisor)
    return out if x is input else UNBATCH(out, shape_of(out)[1:])


def _average_samples(count: int) -> Any:
    def samples(make: Any) -> Iterable[Sample]:
        size = (7, 6, 5)[:count]
        yield Sample(make(2, 3, *size), 2)
        yield Sample(make(2, 3, *size), 3, 2, 1)
        yield Sample(make(2, 3, *size), 3, 2, 1, True)
        yield Sample(make(2, 3, *size), 3, 2, 1, True, False)
        yield Sample(make(3, *size), 2, 3, ceil_mode=True)
        if count > 1:
            yield Sample(make(2, 3, *size), 3, 2, 1, divisor_override=5)

    return samples


def _average_errors() -> Iterable[Sample]:
    x = np.ones((1, 2, 5, 5), np.float32)
    yield Sample(x, 2, padding=2, error=(RuntimeError, "pad should be at most half of effective kernel size"))
    yield Sample(x, 6, error=(RuntimeError, "Calculated output size: (2x0x0). Output size is too small"))
    yield Sample(x, 2, divisor_override=0, error=(RuntimeError, "divisor must be not zero"))


@declare(op=AVG_POOL[1], samples=_average_samples(1), method=False)
def avg_pool1d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Returns the average of every window of (N, C, L) or (C, L); padding counts unless `count_include_pad` is False."""
    return _average(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@declare_functional(op=AVG_POOL[2], samples=_average_samples(2), errors=_average_errors)
def avg_pool2d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Returns the average of every window of (N, C, H, W) or (C, H, W); `divisor_override` replaces the number counted."""
    return _average(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@declare_functional(op=AVG_POOL[3], samples=_average_samples(3))
def avg_pool3d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Returns the average of every window of (N, C, D, H, W) or (C, D, H, W)."""
    return _average(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
