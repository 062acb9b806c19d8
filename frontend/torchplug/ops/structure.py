"""Kernels that compositions and rules are built of and users never call: casts, slices, scatters, shape repair."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from torchplug._core import geometry as geo
from torchplug._core.kernels import composition
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, wrap
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__: list[str] = []

Shape = tuple[int, ...]


# ---- what an array is ------------------------------------------------------------------------------------------------


@composition
def dtype_of(F: Any, x: Any) -> DType:
    """Returns the torch dtype of an array (or Tensor)."""
    if isinstance(x, Tensor):
        return x._kind.dtype
    found = _NATIVE.get((F.backend.name, x.dtype))
    if found is None:
        from torchplug._core.kind import engine_for

        found = _NATIVE[F.backend.name, x.dtype] = engine_for(F.backend.name).adopt(x).dtype
    return found


_NATIVE: dict[tuple[str, Any], DType] = {}


@composition
def device_of(F: Any, x: Any) -> str:
    """Returns the native device of an array (or Tensor)."""
    return x._kind.native_device if isinstance(x, Tensor) else F.backend.device_of(x)


@composition
def host(F: Any, values: np.ndarray, like: Any) -> Any:
    """Returns a host array as a constant beside `like`."""
    if isinstance(like, Tensor):
        kind = like._kind.to(dt.from_numpy_dtype(values.dtype))
        return wrap(kind.F.from_numpy(values, kind.native_device), kind)
    return F.from_numpy(values, F.device_of(like))


@composition
def full_of(F: Any, like: Any, shape: Shape, value: Any) -> Any:
    """Returns a constant of the dtype and device of `like`."""
    if isinstance(like, Tensor):
        kind = like._kind
        return wrap(kind.F.full(shape, value, kind.dtype, kind.native_device), kind)
    return F.full(shape, value, F.dtype_of(like), F.device_of(like))


@composition
def zeros_of(F: Any, like: Any, shape: Shape) -> Any:
    """Returns zeros of the dtype and device of `like`."""
    return F.full_of(like, shape, 0)


@composition
def own(F: Any, x: Any) -> Any:
    """Returns `x` as an array whose memory can be shared (a library scalar becomes a 0-d array)."""
    return F.reshape(x, tuple(x.shape))


@composition
def copy(F: Any, x: Any) -> Any:
    """Returns the values of `x` in memory of their own (on immutable engines `x` itself)."""
    return x


@composition
def reshapes_in_place(F: Any, x: Any) -> bool:
    """Says whether the library's own reshape of `x` is surely a view."""
    return geo.is_contiguous(tuple(x.shape), F.strides_of(x))


# ---- slices ----------------------------------------------------------------------------------------------------------


@composition
def slice_(F: Any, x: Any, key: tuple) -> Any:
    """Returns a basic slice; the Ellipsis keeps a 0-d result an array where a library would give a scalar."""
    return x[(*key, ...)]


def _slice_update(F: Any, x: Any, value: Any, key: tuple) -> Any:
    size, stride, offset = geo.index(geo.contiguous(tuple(x.shape)), key)
    places = F.host(geo.index_map(size, stride, offset).reshape(-1), x)
    flat = F.reshape(x, (math.prod(x.shape),))
    flat_value = F.reshape(F.broadcast_to(value, size), (math.prod(size),))
    return F.reshape(F.scatter(flat, places, flat_value), tuple(x.shape))


def _slice_embed(F: Any, g: Any, shape: Shape, key: tuple) -> Any:
    return F.slice_update(F.zeros_of(g, shape), g, key)


Op("slice_update", ("x", "value", "key"), tensors=("x", "value"), forward=_slice_update, rules={
    "x": lambda F, g, value_shape, key: F.slice_update(g, F.zeros_of(g, value_shape), key),
    "value": lambda F, g, key: F.slice(g, key),
})  # fmt: skip
Op("slice_embed", ("g", "shape", "key"), tensors=("g",), forward=_slice_embed, rules={
    "g": lambda F, g, key: F.slice(g, key),
})  # fmt: skip


# ---- scatter and gather of single places -----------------------------------------------------------------------------


def _scatter(F: Any, x: Any, index: Any, values: Any) -> Any:
    """Sets places of a one-dimensional array; of repeated indices the last one wins.

    Built of scatter_add: after a stable sort the last of each run of equal indices carries its value, the others zero.
    """
    count = index.shape[0]
    if count == 0:
        return x
    if F.dtype_of(x) is dt.bool_:
        return F.astype(F.scatter(F.astype(x, dt.uint8), index, F.astype(values, dt.uint8)), dt.bool_)
    order = F.argsort(index, 0, False)
    placed = F.take(index, order, 0)
    following = F.concat([F.slice(placed, (slice(1, count, 1),)), F.full_of(placed, (1,), -1)], 0)
    last = F.bitwise_invert(F.equal(placed, following))
    kept = F.where(last, F.take(values, order, 0), F.zeros_of(values, (count,)))
    hits = F.scatter_add(F.full(tuple(x.shape), 0, dt.int64, F.device_of(x)), index, F.full_of(index, (count,), 1))
    sums = F.scatter_add(F.zeros_of(x, tuple(x.shape)), placed, kept)
    return F.where(F.equal(hits, 0), x, sums)


Op("scatter", ("x", "index", "values"), tensors=("x", "values"), forward=_scatter, rules={
    "x": lambda F, g, index, values_shape: F.scatter(g, index, F.zeros_of(g, values_shape)),
    "values": lambda F, g, index: F.take(g, index, 0),
})  # fmt: skip
Op("scatter_add", ("x", "index", "values"), tensors=("x", "values"), kernel="scatter_add", rules={
    "x": lambda F, g: g,
    "values": lambda F, g, index: F.take(g, index, 0),
})  # fmt: skip


def _take_back(F: Any, g: Any, x_shape: Shape, indices: Any, axis: int) -> Any:
    """Adds the gradient of `take` at the places it came from."""
    return F.take_backward(g, indices, x_shape, axis)


def _take_backward(F: Any, g: Any, indices: Any, shape: Shape, axis: int) -> Any:
    inner = math.prod(shape[axis + 1 :])
    outer = math.prod(shape[:axis])
    count = indices.shape[0]
    rows = F.reshape(F.multiply(indices, inner), (1, count, 1))
    base = F.host((np.arange(outer, dtype=np.int64) * (shape[axis] * inner)).reshape(outer, 1, 1), indices)
    lane = F.host(np.arange(inner, dtype=np.int64).reshape(1, 1, inner), indices)
    places = F.reshape(F.add(F.add(base, rows), lane), (outer * count * inner,))
    flat = F.reshape(g, (outer * count * inner,))
    return F.reshape(F.scatter_add(F.zeros_of(flat, (math.prod(shape),)), places, flat), shape)


Op(
    "take",
    ("x", "indices", "axis"),
    tensors=("x",),
    kernel="take",
    node="IndexSelectBackward0",
    rules={"x": _take_back},
)
Op("take_backward", ("g", "indices", "shape", "axis"), tensors=("g",), forward=_take_backward, rules={
    "g": lambda F, g, indices, axis: F.take(g, indices, axis),
})  # fmt: skip


# ---- casts, joins, broadcasting --------------------------------------------------------------------------------------


def _cast_rule(F: Any, g: Any, x_dtype: DType) -> Any:
    dtype = F.dtype_of(g)
    if dtype.is_complex and not x_dtype.is_complex:
        g = F.real(g)
    return F.astype(g, x_dtype)


CAST = Op(
    "to_copy",
    ("x", "dtype", "x_dtype"),
    tensors=("x",),
    forward=lambda F, x, dtype, x_dtype: F.astype(x, dtype),
    rules={"x": _cast_rule},
    node="ToCopyBackward0",
)
TENSOR_SPACE.astype = lambda x, dtype: CAST(x, dtype, x._kind.dtype) if x._kind.dtype is not dtype else x

MOVE = Op(
    "move",
    ("x", "device", "home"),
    tensors=("x",),
    forward=lambda F, x, device, home: F.backend.to_device(x, device),
    rules={"x": lambda F, g, home: F.to_device(g, home)},
    node="ToCopyBackward0",
)


def _to_device(x: Tensor, device: str) -> Tensor:
    moved = MOVE(x, device, x._kind.native_device)
    moved._kind = x._kind.engine.kind(x._kind.dtype, device)
    return moved


TENSOR_SPACE.to_device = _to_device


def _concat(F: Any, g: Any, arrays_shape: tuple[Shape, ...], axis: int) -> list[Any]:
    pieces, start = [], 0
    for shape in arrays_shape:
        stop = start + shape[axis]
        key = tuple(slice(start, stop, 1) if dim == axis else slice(0, length, 1) for dim, length in enumerate(shape))
        pieces.append(F.slice(g, key))
        start = stop
    return pieces


CONCAT = Op(
    "cat", ("arrays", "axis"), tensors=("arrays",), kernel="concat", variadic=True, joint=_concat, node="CatBackward0"
)


@composition
def unbroadcast(F: Any, g: Any, shape: Shape) -> Any:
    """Returns `g` summed over the dimensions that broadcasting added or stretched, so that it has `shape`."""
    own_shape = tuple(g.shape)
    if own_shape == shape:
        return g
    lead = len(own_shape) - len(shape)
    axes = tuple(range(lead)) + tuple(
        dim for dim in range(lead, len(own_shape)) if shape[dim - lead] == 1 and own_shape[dim] != 1
    )
    if axes:
        g = F.sum(g, axes, True)
    return F.reshape(g, shape) if lead else g


@composition
def broadcast_like(F: Any, g: Any, shape: Shape, axes: tuple[int, ...] | None, keepdims: bool) -> Any:
    """Returns the gradient of a reduction over `axes` spread back over `shape`."""
    if not keepdims and axes is not None:
        kept = [1 if dim in axes else length for dim, length in enumerate(shape)]
        g = F.reshape(g, tuple(kept))
    return F.broadcast_to(g, shape)


@composition
def view_as_real(F: Any, x: Any) -> Any:
    """Returns the parts of a complex array as a last dimension of length 2."""
    shape = (*tuple(x.shape), 1)
    return F.concat([F.reshape(F.real(x), shape), F.reshape(F.imag(x), shape)], len(shape) - 1)


@composition
def view_as_complex(F: Any, x: Any) -> Any:
    """Returns the complex array whose parts are the last dimension of length 2."""
    lead = tuple(slice(0, length, 1) for length in tuple(x.shape)[:-1])
    return F.complex(F.slice(x, (*lead, 0)), F.slice(x, (*lead, 1)))


@composition
def reinterpret(F: Any, x: Any, dtype: DType) -> Any:
    """Returns the bytes of `x` as another type, the last dimension scaled."""
    if isinstance(x, Tensor):
        raise RuntimeError("view(dtype) is not differentiable")
    return F.from_numpy(np.ascontiguousarray(F.to_numpy(x)).view(dtype.numpy), F.device_of(x))
