"""Pooling over windows: the windows, and their maxima."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare_functional
from torchplug._core.elementwise import argument_error
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.convolution import UNBATCH

__all__ = ["max_pool1d", "max_pool2d", "max_pool3d"]

Shape = tuple[int, ...]


# ---- windows as tables of places -------------------------------------------------------------------------------------


def window_table(size: Shape, out: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> np.ndarray:
    """Returns (windows, places of the kernel) flat places of a plane of `size`.

    A place outside the plane repeats the first place inside, so that neither maxima nor their first places change.
    """
    along = []
    for length, count, taps, step, pad, gap in zip(size, out, kernel, stride, padding, dilation, strict=True):
        starts = np.arange(count, dtype=np.int64)[:, None] * step - pad
        spots = starts + np.arange(taps, dtype=np.int64)[None, :] * gap
        inside = (spots >= 0) & (spots < length)
        first = np.take_along_axis(spots, inside.argmax(1)[:, None], 1)
        along.append(np.where(inside, spots, first))
    return flat_table(size, along)


def flat_table(size: Shape, along: Sequence[np.ndarray]) -> np.ndarray:
    """Returns flat places of a plane from a (windows, places) table for each dimension."""
    count = len(size)
    total: Any = 0
    for axis, (table, scale) in enumerate(
        zip(along, (math.prod(size[place + 1 :]) for place in range(count)), strict=True)
    ):
        shape = [1] * (2 * count)
        shape[axis], shape[count + axis] = table.shape
        total = total + table.reshape(shape) * scale
    windows = math.prod(table.shape[0] for table in along)
    return np.ascontiguousarray(total).reshape(windows, -1)


@functools.lru_cache(maxsize=64)
def _cached_table(*arguments: Shape) -> np.ndarray:
    return window_table(*arguments)


def gathered_max(F: Any, x: Any, table: np.ndarray, out: Shape) -> tuple[Any, Any]:
    """Returns the greatest of each window of a table, and its flat place in the plane (the first of equals)."""
    planes, size = tuple(x.shape[:2]), math.prod(x.shape[2:])
    windows, places = table.shape
    flat = F.reshape(x, (math.prod(planes), size))
    seen = F.reshape(F.take(flat, F.host(table.reshape(-1), x), 1), (math.prod(planes), windows, places))
    spot = F.add(F.argmax(seen, 2, False), F.host(np.arange(windows, dtype=np.int64)[None, :] * places, x))
    spot = F.reshape(spot, (math.prod(planes) * windows,))
    where = F.reshape(F.take(F.host(table.reshape(-1), x), spot, 0), (*planes, *out))
    return F.reshape(F.max(seen, 2, False), (*planes, *out)), where


def _plane_places(F: Any, places: Any, size: int) -> Any:
    """Returns places in planes (N, C, *out) as places in the whole flat (N, C, *space)."""
    count, channels = places.shape[:2]
    starts = np.arange(count * channels, dtype=np.int64).reshape(count, channels, *(1 for _ in places.shape[2:])) * size
    return F.reshape(F.add(places, F.host(starts, places)), (math.prod(places.shape),))


def scatter_planes(F: Any, g: Any, places: Any, size: Shape) -> Any:
    """Returns planes of `size` with `g` added at the places of its windows."""
    count, channels = g.shape[:2]
    zeros = F.zeros_of(g, (count * channels * math.prod(size),))
    spread = F.scatter_add(zeros, _plane_places(F, places, math.prod(size)), F.reshape(g, (math.prod(g.shape),)))
    return F.reshape(spread, (count, channels, *size))


def take_planes(F: Any, x: Any, places: Any) -> Any:
    """Returns the elements of planes (N, C, *space) at places (N, C, *out)."""
    flat = F.reshape(x, (math.prod(x.shape),))
    return F.reshape(F.take(flat, _plane_places(F, places, math.prod(x.shape[2:])), 0), tuple(places.shape))


Op("scatter_planes", ("g", "places", "size"), tensors=("g", "places"), forward=scatter_planes, node="MaxUnpool2DBackward0", rules={
    "g": lambda F, g, places: F.take_planes(g, places),
})  # fmt: skip
Op("take_planes", ("x", "places"), tensors=("x", "places"), forward=take_planes, node="GatherBackward0", rules={
    "x": lambda F, g, places, x_shape: F.scatter_planes(g, places, tuple(x_shape[2:])),
})  # fmt: skip


# ---- maxima ----------------------------------------------------------------------------------------------------------

_WINDOW = ("out_size", "kernel", "stride", "padding", "dilation")


def _max_pool_with_indices(
    F: Any, x: Any, out_size: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> tuple[Any, Any, Any]:
    table = _cached_table(tuple(x.shape[2:]), out_size, kernel, stride, padding, dilation)
    out, places = gathered_max(F, x, table, out_size)
    return out, places, places


def _max_pool(F: Any, x: Any, *window: Shape) -> Any:
    return F.max_pool_with_indices(x, *window)[0]


def _max_pool_backward(F: Any, g: Any, x: Any, out: Any, *window: Shape) -> Any:
    return F.scatter_planes(g, F.max_pool_with_indices(x, *window)[1], tuple(x.shape[2:]))


def _max_pool_rule(
    F: Any, g: Any, input: Any, out: Any, out_size: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Any:
    return F.max_pool_backward(g, input, out, out_size, kernel, stride, padding, dilation)


def _indices_rule(F: Any, g: Any, input_shape: Shape, places: Any) -> Any:
    return F.scatter_planes(g, places, tuple(input_shape[2:]))


MAX_POOL: dict[int, Op] = {}
MAX_POOL_WITH_INDICES: dict[int, Op] = {}
for _count, _node in (
    (2, "MaxPool2DWithIndicesBackward0"),
    (3, "MaxPool3DWithIndicesBackward0"),
    (1, "SqueezeBackward1"),
):
    MAX_POOL[_count] = Op(
        "max_pool",
        ("input", *_WINDOW),
        tensors=("input",),
        forward=_max_pool,
        node=_node,
        rules={"input": _max_pool_rule},
    )
    MAX_POOL_WITH_INDICES[_count] = Op(
        "max_pool_with_indices", ("input", *_WINDOW), tensors=("input",), forward=_max_pool_with_indices, node=_node, outputs=2,
        differentiable_outputs=1, residuals=("places",), rules={"input": _indices_rule},
    )  # fmt: skip
Op("max_pool_backward", ("g", "input", "out", *_WINDOW), tensors=("g", "input", "out"), forward=_max_pool_backward)


# ---- checks ----------------------------------------------------------------------------------------------------------

_WORDS = {1: "one int", 2: "two ints", 3: "three ints"}


def tuple_of(value: Any, count: int, function: str, name: str) -> Shape:
    if isinstance(value, int):
        return (value,) * count
    values = tuple(int(item) for item in value)
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise RuntimeError(f"{function}: {name} must either be a single int, or a tuple of {_WORDS[count]}")
    return values


def check_size(function: str, count: int, size: Shape) -> None:
    if len(size) not in (count + 1, count + 2):
        if count == 1:
            raise RuntimeError(
                f"{function}: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but got:{list(size)}"
            )
        raise RuntimeError(f"non-empty {count + 1}D or {count + 2}D (batch mode) tensor expected for input")
    if 0 in size[-count - 1 :]:
        raise RuntimeError(
            f"Expected {count + 1}D or {count + 2}D (batch mode) tensor with optional 0 dim batch size for input, but "
            f"got:{list(size)}"
        )


def check_window(function: str, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> None:
    if min(stride) <= 0:
        raise RuntimeError(
            f"{function}() stride must be greater than zero, but got {stride[0]}"
            if function == "max_pool1d"
            else "stride should not be zero"
        )
    if min(dilation) <= 0:
        names = ("dilationT", "dilationH", "dilationW")[-len(dilation) :]
        said = " ".join(f"{name}: {value}" for name, value in zip(names, dilation, strict=True))
        raise RuntimeError(f"dilation should be greater than zero, but got {said}")
    if min(padding) < 0:
        raise RuntimeError(f"pad must be non-negative, but got pad: {min(padding)}")
    for taps, pad, gap in zip(kernel, padding, dilation, strict=True):
        if pad > (gap * (taps - 1) + 1) // 2:
            if function == "max_pool1d":
                raise RuntimeError(
                    f"max_pool1d() padding should be at most half of kernel size, but got padding={pad} and kernel_size={taps}"
                )
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={pad}, kernel_size={taps} and dilation={gap}"
            )


def pooled_size(
    function: str, size: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, ceil_mode: bool
) -> Shape:
    """Returns the spatial size of the result; with `ceil_mode` windows may end beyond the padding, not start there."""
    count = len(kernel)
    out = []
    for length, taps, step, pad, gap in zip(size[-count:], kernel, stride, padding, dilation, strict=True):
        span = length + 2 * pad - gap * (taps - 1) - 1
        pooled = (span + (step - 1 if ceil_mode else 0)) // step + 1
        if ceil_mode and (pooled - 1) * step >= length + pad:
            pooled -= 1
        out.append(pooled)
    if min(out) < 1:
        if function == "max_pool1d":
            raise RuntimeError(f"max_pool1d() Invalid computed output size: {out[0]}")
        said = (size[-count - 1], *((1,) if count == 1 else ()), *size[-count:])
        made = (size[-count - 1], *((1,) if count == 1 else ()), *out)
        raise RuntimeError(
            f"Given input size: ({'x'.join(map(str, said))}). Calculated output size: ({'x'.join(map(str, made))}). Output size is "
            "too small"
        )
    return tuple(out)


def batched(input: Tensor, count: int) -> Tensor:
    """Returns the input with a batch dimension in front of its channels."""
    size = shape_of(input)
    return input if len(size) == count + 2 else TENSOR_SPACE.reshape(input, (1, *size))


# ---- public functions: maxima ----------------------------------------------------------------------------------------


def max_pool(
    count: int, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, indices: bool
) -> Any:
    """Returns the maxima of windows of `count` spatial dimensions, with their flat places in the plane if `indices`."""
    name = f"max_pool{count}d"
    if not isinstance(input, Tensor):
        raise argument_error(name, "input", "Tensor", input)
    kernel = tuple_of(kernel_size, count, name, "kernel_size")
    steps = kernel if stride is None or stride == () or stride == [] else tuple_of(stride, count, name, "stride")
    pads, gaps = tuple_of(padding, count, name, "padding"), tuple_of(dilation, count, name, "dilation")
    size = shape_of(input)
    check_window(name, kernel, steps, pads, gaps)
    check_size(name, count, size)
    out_size = pooled_size(name, size, kernel, steps, pads, gaps, ceil_mode)
    x = batched(input, count)
    if 0 in size:
        out = x[(slice(None), slice(None), *(slice(length) for length in out_size))]
        return (out, out.long()) if indices else out
    results = (MAX_POOL_WITH_INDICES if indices else MAX_POOL)[count](x, out_size, kernel, steps, pads, gaps)
    if x is input:
        return results
    if indices:
        return tuple(UNBATCH(y, shape_of(y)[1:]) for y in results)
    return UNBATCH(results, shape_of(results)[1:])


def _max_samples(count: int) -> Any:
    def samples(make: Any) -> Iterable[Sample]:
        size = (7, 6, 5)[:count]
        yield Sample(make(2, 3, *size), 2)
        yield Sample(make(2, 3, *size), 3, 2, 1)
        yield Sample(make(2, 3, *size), 3, 1, 1, 2, ceil_mode=True)
        yield Sample(make(3, *size), 2, 3, ceil_mode=True)
        yield Sample(make(2, 3, *size).round(), 2, 1)
        yield Sample(make(2, 2, *size), 2, 2, return_indices=True)

    return samples


def _max_errors() -> Iterable[Sample]:
    x = np.ones((1, 2, 5, 5), np.float32)
    yield Sample(x[0, 0], 2, error=(RuntimeError, "non-empty 3D or 4D (batch mode) tensor expected for input"))
    yield Sample(
        x, 2, padding=2, error=(RuntimeError, "pad should be at most half of effective kernel size, but got pad=2")
    )
    yield Sample(x, 2, padding=-1, error=(RuntimeError, "pad must be non-negative, but got pad: -1"))
    yield Sample(x, 2, 0, error=(RuntimeError, "stride should not be zero"))
    yield Sample(x, 6, error=(RuntimeError, "Given input size: (2x5x5). Calculated output size: (2x0x0)"))
    yield Sample(x, (2, 2, 2), error=(RuntimeError, "kernel_size must either be a single int, or a tuple of two ints"))
    yield Sample(
        x,
        2,
        dilation=0,
        error=(RuntimeError, "dilation should be greater than zero, but got dilationH: 0 dilationW: 0"),
    )


@declare_functional(op=MAX_POOL[1], samples=_max_samples(1))
def max_pool1d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Returns the maximum of every window of (N, C, L) or (C, L); with `return_indices` also where the first is."""
    return max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@declare_functional(op=MAX_POOL[2], samples=_max_samples(2), errors=_max_errors)
def max_pool2d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Returns the maximum of every window of (N, C, H, W) or (C, H, W); the first of equal ones gets the gradient.

    With `return_indices` also its flat place in the plane. H' = (H + 2 padding - dilation (k - 1) - 1) // stride + 1,
    rounded up with `ceil_mode`.
    """
    return max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@declare_functional(op=MAX_POOL[3], samples=_max_samples(3))
def max_pool3d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Returns the maximum of every window of (N, C, D, H, W); with `return_indices` also where the first is."""
    # With indices PyTorch calls another function, which autocast leaves alone.
    if CASTING and not return_indices and (cast := casting("max_pool3d")) is not None:
        return cast(max_pool, 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    return max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
