"""Pooling to a given size, power means, and the inverse of max pooling."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare, declare_functional
from torchplug._core.elementwise import argument_error
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, array_of, shape_of
from torchplug.ops.average_pooling import avg_pool1d, avg_pool2d, avg_pool3d
from torchplug.ops.convolution import UNBATCH
from torchplug.ops.pooling import batched, flat_table, gathered_max

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d",
]  # fmt: skip

Shape = tuple[int, ...]


# ---- kernels ---------------------------------------------------------------------------------------------------------


def _bounds(length: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns where each of `count` nearly equal windows begins and ends: floor(i L / n), ceil((i + 1) L / n)."""
    spots = np.arange(count, dtype=np.int64)
    return spots * length // count, -(-(spots + 1) * length // count)


def _share_matrix(length: int, count: int) -> np.ndarray:
    """Returns (length, count) weights: a window's average as a product of matrices."""
    starts, ends = _bounds(length, count)
    spots = np.arange(length)[:, None]
    return ((spots >= starts) & (spots < ends)) / (ends - starts)


def along(F: Any, x: Any, axis: int, matrix: np.ndarray) -> Any:
    """Returns x with one dimension multiplied by a constant matrix."""
    last = len(x.shape) - 1
    constant = F.astype(F.host(matrix, x), F.dtype_of(x))
    if axis == last:
        return F.matmul(x, constant)
    order = [place for place in range(last + 1) if place != axis] + [axis]
    back = [0] * (last + 1)
    for place, each in enumerate(order):
        back[each] = place
    return F.permute_dims(F.matmul(F.permute_dims(x, tuple(order)), constant), tuple(back))


def _adaptive_avg_pool(F: Any, x: Any, out_size: Shape) -> Any:
    for axis, (length, count) in enumerate(zip(x.shape[2:], out_size, strict=True), 2):
        if length != count:
            x = along(F, x, axis, _share_matrix(length, count))
    return x if tuple(x.shape[2:]) == out_size else F.reshape(x, (*x.shape[:2], *out_size))


def _adaptive_avg_pool_backward(F: Any, g: Any, size: Shape) -> Any:
    for axis, (length, count) in enumerate(zip(size, g.shape[2:], strict=True), 2):
        if length != count:
            g = along(F, g, axis, np.ascontiguousarray(_share_matrix(length, count).T))
    return g


def _adaptive_max_pool(F: Any, x: Any, out_size: Shape) -> tuple[Any, Any, Any]:
    along = []
    for length, count in zip(x.shape[2:], out_size, strict=True):
        starts, ends = _bounds(length, count)
        longest = int((ends - starts).max(initial=0))
        spots = starts[:, None] + np.arange(longest)[None, :]
        # A shorter window repeats its first place, which changes neither the maximum nor where the first is.
        along.append(np.where(spots < ends[:, None], spots, starts[:, None]))
    out, places = gathered_max(F, x, flat_table(tuple(x.shape[2:]), along), out_size)
    return out, places, places


_AVERAGE_NODES = {1: "SqueezeBackward1", 2: "AdaptiveAvgPool2DBackward0", 3: "AdaptiveAvgPool3DBackward0"}
_MAXIMUM_NODES = {1: "SqueezeBackward1", 2: "AdaptiveMaxPool2DBackward0", 3: "AdaptiveMaxPool3DBackward0"}


def _average_op(node: str) -> Op:
    return Op("adaptive_avg_pool", ("input", "out_size"), tensors=("input",), forward=_adaptive_avg_pool, node=node, rules={
        "input": lambda F, g, input_shape: F.adaptive_avg_pool_backward(g, tuple(input_shape[2:])),
    })  # fmt: skip


ADAPTIVE_AVG_POOL = {count: _average_op(node) for count, node in _AVERAGE_NODES.items()}
GLOBAL_AVERAGE = _average_op("MeanBackward1")
Op("adaptive_avg_pool_backward", ("g", "size"), tensors=("g",), forward=_adaptive_avg_pool_backward, rules={
    "g": lambda F, g, g_shape: F.adaptive_avg_pool(g, tuple(g_shape[2:])),
})  # fmt: skip
ADAPTIVE_MAX_POOL = {
    count: Op("adaptive_max_pool", ("input", "out_size"), tensors=("input",), forward=_adaptive_max_pool, node=node, outputs=2,
              differentiable_outputs=1, residuals=("places",), rules={
                  "input": lambda F, g, input_shape, places: F.scatter_planes(g, places, tuple(input_shape[2:])),
              })
    for count, node in _MAXIMUM_NODES.items()
}  # fmt: skip


def _max_unpool(F: Any, x: Any, places: Any, size: Shape) -> Any:
    planes = math.prod(x.shape[:2])
    starts = np.arange(planes, dtype=np.int64).reshape(*x.shape[:2], *(1 for _ in size)) * math.prod(size)
    flat_places = F.reshape(F.add(places, F.host(starts, places)), (math.prod(places.shape),))
    zeros = F.zeros_of(x, (planes * math.prod(size),))
    return F.reshape(F.scatter(zeros, flat_places, F.reshape(x, (math.prod(x.shape),))), (*x.shape[:2], *size))


MAX_UNPOOL = {
    count: Op("max_unpool", ("input", "places", "size"), tensors=("input", "places"), forward=_max_unpool,
              node=f"MaxUnpool{count}DBackward0", rules={"input": lambda F, g, places: F.take_planes(g, places)})
    for count in (2, 3)
}  # fmt: skip


# ---- averages --------------------------------------------------------------------------------------------------------


def _target(name: str, count: int, size: Shape, output_size: Any) -> Shape:
    given = (output_size,) * count if output_size is None or isinstance(output_size, int) else tuple(output_size)
    if len(given) != count:
        raise RuntimeError(f"{name}: output_size must be {count}")
    out = tuple(have if want is None else int(want) for want, have in zip(given, size[-count:], strict=True))
    if min(out) < 0:
        raise RuntimeError(
            f"{name}: elements of output_size must be greater than or equal to 0 but received {{{', '.join(map(str, out))}}}"
        )
    return out


def _check_dims(name: str, count: int, size: Shape, colon: str) -> None:
    if len(size) not in (count + 1, count + 2):
        if count == 1:
            raise RuntimeError(
                f"Expected 2 to 3 dimensions, but got {len(size)}-dimensional tensor for argument #1 'self' (while checking arguments "
                f"for {name})"
            )
        raise RuntimeError(f"{name}(): Expected {count + 1}D or {count + 2}D tensor, but got{colon} {list(size)}")


def _average(count: int, input: Any, output_size: Any) -> Tensor:
    name = f"adaptive_avg_pool{count}d"
    if not isinstance(input, Tensor):
        raise argument_error(name, "input", "Tensor", input)
    size = shape_of(input)
    _check_dims(name, count, size, "")
    out_size = _target(name, count, size, output_size)
    x = batched(input, count)
    op = GLOBAL_AVERAGE if count > 1 and math.prod(out_size) == 1 else ADAPTIVE_AVG_POOL[count]
    out = op(x, out_size)
    return out if x is input else UNBATCH(out, shape_of(out)[1:])


def _samples(count: int) -> Any:
    def samples(make: Any) -> Iterable[Sample]:
        size = (7, 6, 5)[:count]
        yield Sample(make(2, 3, *size), 3)
        yield Sample(make(2, 3, *size), 1)
        yield Sample(make(3, *size), (4, 2, 3)[:count])
        yield Sample(make(2, 3, *size), 8)

    return samples


def _errors_2d() -> Iterable[Sample]:
    x = np.ones((1, 2, 5, 5), np.float32)
    yield Sample(x[0, 0], 3, error=(RuntimeError, "adaptive_avg_pool2d(): Expected 3D or 4D tensor, but got [5, 5]"))
    yield Sample(
        x, -1, error=(RuntimeError, "elements of output_size must be greater than or equal to 0 but received {-1, -1}")
    )
    yield Sample(x, (1, 2, 3), error=(RuntimeError, "adaptive_avg_pool2d: output_size must be 2"))


@declare(op=ADAPTIVE_AVG_POOL[1], samples=_samples(1), method=False)
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Returns averages of `output_size` nearly equal windows of (N, C, L) or (C, L)."""
    return _average(1, input, output_size)


@declare_functional(op=ADAPTIVE_AVG_POOL[2], samples=_samples(2), errors=_errors_2d)
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Returns averages of nearly equal windows of (N, C, H, W), as many as `output_size` says; None keeps a size."""
    return _average(2, input, output_size)


@declare_functional(op=ADAPTIVE_AVG_POOL[3], samples=_samples(3))
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Returns averages of nearly equal windows of (N, C, D, H, W); None keeps a size."""
    return _average(3, input, output_size)


# ---- maxima ----------------------------------------------------------------------------------------------------------


def _maximum(count: int, input: Any, output_size: Any, return_indices: bool) -> Any:
    name = f"adaptive_max_pool{count}d"
    if not isinstance(input, Tensor):
        raise argument_error(name, "input", "Tensor", input)
    size = shape_of(input)
    _check_dims(name, count, size, ":")
    out_size = _target(name, count, size, output_size)
    x = batched(input, count)
    results = ADAPTIVE_MAX_POOL[count](x, out_size)
    if x is not input:
        results = tuple(UNBATCH(y, shape_of(y)[1:]) for y in results)
    return results if return_indices else results[0]


def _max_samples(count: int) -> Any:
    def samples(make: Any) -> Iterable[Sample]:
        yield from _samples(count)(make)
        yield Sample(make(2, 3, *(7, 6, 5)[:count]), 3, return_indices=True)

    return samples


@declare_functional(op=ADAPTIVE_MAX_POOL[1], samples=_max_samples(1))
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Returns maxima of nearly equal windows of (N, C, L); with `return_indices` also where the first is."""
    return _maximum(1, input, output_size, return_indices)


@declare_functional(op=ADAPTIVE_MAX_POOL[2], samples=_max_samples(2))
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Returns maxima of nearly equal windows of (N, C, H, W); with `return_indices` also where the first is."""
    return _maximum(2, input, output_size, return_indices)


@declare_functional(op=ADAPTIVE_MAX_POOL[3], samples=_max_samples(3))
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Returns maxima of nearly equal windows of (N, C, D, H, W); with `return_indices` also where the first is."""
    return _maximum(3, input, output_size, return_indices)


# ---- power means -----------------------------------------------------------------------------------------------------


def _power_mean(
    pool: Any, input: Tensor, norm_type: float, kernel: Any, stride: Any, ceil_mode: bool, count: int
) -> Tensor:
    means = pool(input.pow(norm_type), kernel, stride, 0, ceil_mode)
    taps = kernel**count if isinstance(kernel, int) else math.prod(kernel)
    return (means.sign() * means.abs().relu() * taps).pow(1.0 / norm_type)


def _power_samples(count: int) -> Any:
    def samples(make: Any) -> Iterable[Sample]:
        size = (7, 6, 5)[:count]
        yield Sample(abs(make(2, 3, *size)) + 0.1, 2.0, 2)
        yield Sample(abs(make(2, 3, *size)) + 0.1, 3.0, 3, 2)

    return samples


@declare_functional(samples=_power_samples(1), differentiable=True)
def lp_pool1d(input: Tensor, norm_type: float, kernel_size: int, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """Returns sum(x^p)^(1/p) of every window of (N, C, L)."""
    return _power_mean(avg_pool1d, input, norm_type, kernel_size, stride, ceil_mode, 1)


@declare_functional(samples=_power_samples(2), differentiable=True)
def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: int | Sequence[int], stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Returns sum(x^p)^(1/p) of every window of (N, C, H, W)."""
    return _power_mean(avg_pool2d, input, norm_type, kernel_size, stride, ceil_mode, 2)


@declare_functional(samples=_power_samples(3), differentiable=True)
def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: int | Sequence[int], stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Returns sum(x^p)^(1/p) of every window of (N, C, D, H, W)."""
    return _power_mean(avg_pool3d, input, norm_type, kernel_size, stride, ceil_mode, 3)


# ---- unpooling -------------------------------------------------------------------------------------------------------


def _unpool(
    count: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    name = f"max_unpool{count}d"
    for argument, x in (("input", input), ("indices", indices)):
        if not isinstance(x, Tensor):
            raise argument_error(name, argument, "Tensor", x)
    size = shape_of(input)
    kernel, pads = _each(kernel_size, count), _each(padding, count)
    steps = kernel if stride is None else _each(stride, count)
    default = tuple(
        (length - 1) * step + taps - 2 * pad
        for length, step, taps, pad in zip(size[-count:], steps, kernel, pads, strict=True)
    )
    target = _unpooled_size(default, steps, output_size, count)
    if shape_of(indices) != size:
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({list(size)}) but got indices tensor with shape: "
            f"{list(shape_of(indices))}"
        )
    host = array_of(indices)
    if not indices._kind.engine.is_tracing(host):
        _check_places(indices, math.prod(target), target)
    x, places = batched(input, count), batched(indices, count)
    if count == 1:
        F = TENSOR_SPACE
        x, places = (F.reshape(y, (*shape_of(y), 1)) for y in (x, places))
        out = MAX_UNPOOL[2](x, places, (*target, 1))
        out = UNBATCH(out, shape_of(out)[:-1])
    else:
        out = MAX_UNPOOL[count](x, places, target)
    return out if len(size) == count + 2 else UNBATCH(out, shape_of(out)[1:])


def _each(value: Any, count: int) -> Shape:
    return (value,) * count if isinstance(value, int) else tuple(int(item) for item in value)


def _unpooled_size(default: Shape, steps: Shape, output_size: Any, count: int) -> Shape:
    if output_size is None:
        return default
    wanted = tuple(int(length) for length in output_size)
    if len(wanted) == count + 2:
        wanted = wanted[2:]
    if len(wanted) != count:
        raise ValueError(
            f"output_size should be a sequence containing {count} or {count + 2} elements, but it has a length of "
            f"'{len(wanted)}'"
        )
    for dim, (want, have, step) in enumerate(zip(wanted, default, steps, strict=True)):
        if not have - step < want < have + step:
            raise ValueError(
                f'invalid output_size "{list(wanted)}" (dim {dim} must be between {have - step} and {have + step})'
            )
    return wanted


def _check_places(indices: Tensor, total: int, target: Shape) -> None:
    host = indices._kind.F.to_numpy(array_of(indices))
    if host.size and (host.min() < 0 or host.max() >= total):
        wrong = int(host.max() if host.max() >= total else host.min())
        raise RuntimeError(
            f"Found an invalid max index: {wrong} (output volumes are of size {'x'.join(map(str, target))}"
        )


def _unpool_samples(count: int) -> Any:
    def samples(make: Any) -> Iterable[Sample]:
        out = (2, 3, 2)[:count]
        grid = [np.arange(length) * 2 + place % 2 for place, length in enumerate(out)]
        flat = np.zeros(out, np.int64)
        for axis, spots in enumerate(grid):
            scale = math.prod(2 * length for length in out[axis + 1 :])
            flat = flat + spots.reshape([-1 if place == axis else 1 for place in range(count)]) * scale
        places = np.broadcast_to(flat, (2, 3, *out)).copy()
        yield Sample(make(2, 3, *out), places, 2)
        yield Sample(make(3, *out), places[0], 2, 2)

    return samples


@declare_functional(op=MAX_UNPOOL[2], samples=_unpool_samples(1))
def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Returns zeros with the input at the places `max_pool1d` found: (N, C, L) gives (N, C, L')."""
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


@declare_functional(op=MAX_UNPOOL[2], samples=_unpool_samples(2))
def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Returns zeros with the input at the places `max_pool2d` found: (N, C, H, W) gives (N, C, H', W')."""
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


@declare_functional(op=MAX_UNPOOL[3], samples=_unpool_samples(3))
def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Returns zeros with the input at the places `max_pool3d` found."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)
