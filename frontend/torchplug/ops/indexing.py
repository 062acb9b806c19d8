"""Indexing: x[...] and assignment through it, gather and scatter, masks, index_* functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.dims import wrap_dim
from torchplug._core.elementwise import broadcast_shapes, convert
from torchplug._core.host import host_array
from torchplug._core.inplace import assign, check_writable, shadow
from torchplug._core.kernels import composition
from torchplug._core.keys import basic_key, read_key
from torchplug._core.modes import grad_enabled
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, array_of, shape_of, wrap, write_slice
from torchplug.ops.creation import tensor
from torchplug.ops.filling import copy_, fill_
from torchplug.ops.views import INDEX, SELECT
from torchplug_spec import dtypes as dt

__all__ = ["index_put_", "masked_fill", "nonzero"]

Shape = tuple[int, ...]


# ---- kernels ---------------------------------------------------------------------------------------------------------


@composition
def wrap_index(F: Any, index: Any, length: int, dim: int) -> Any:
    """Returns an integer index as int64, counted from the front; IndexError out of range (where values can be read)."""
    index = F.astype(index, dt.int64)
    if not F.backend.is_tracer(index):
        check_range(F.to_numpy(index), length, dim)
    return F.where(F.less(index, F.full_of(index, (), 0)), F.add(index, length), index)


def check_range(index: np.ndarray, length: int, dim: int) -> None:
    """Raises PyTorch's error for the first index outside [-length, length)."""
    if index.size and (int(index.min()) < -length or int(index.max()) >= length):
        wrong = index[(index < -length) | (index >= length)].flat[0]
        raise IndexError(f"index {wrong} is out of bounds for dimension {dim} with size {length}")


def _front(ndim: int, dims: Shape) -> Shape:
    return (*dims, *(dim for dim in range(ndim) if dim not in dims))


def _rows(F: Any, x: Any, dims: Shape) -> tuple[Any, Shape, Shape]:
    """Returns `x` as rows over the indexed dimensions, the lengths of those, and of the rest."""
    shape = tuple(x.shape)
    led = tuple(shape[dim] for dim in dims)
    rest = tuple(length for dim, length in enumerate(shape) if dim not in dims)
    if dims != tuple(range(len(dims))):
        x = F.permute_dims(x, _front(len(shape), dims))
    return F.reshape(x, (math.prod(led), math.prod(rest))), led, rest


def _landing(dims: Shape) -> int:
    """Returns where the indexed result lands: at the first indexed dimension if they are adjacent, else in front."""
    return dims[0] if dims == tuple(range(dims[0], dims[0] + len(dims))) else 0


def _unrow(F: Any, x: Any, index_shape: Shape, rest: Shape, place: int) -> Any:
    x = F.reshape(x, (*index_shape, *rest))
    if place == 0:
        return x
    count, ndim = len(index_shape), len(index_shape) + len(rest)
    axes = (*range(count, count + place), *range(count), *range(count + place, ndim))
    return F.permute_dims(x, axes)


def _to_rows(F: Any, value: Any, count: int, rest: Shape, place: int) -> Any:
    """The inverse of `_unrow`: brings the indexed dimensions of a result to the front, as rows."""
    shape = tuple(value.shape)
    if place:
        axes = (*range(place, place + count), *range(place), *range(place + count, len(shape)))
        value = F.permute_dims(value, axes)
    return F.reshape(value, (math.prod(value.shape[:count]), math.prod(rest)))


def _index(F: Any, x: Any, index: Any, dims: Shape) -> Any:
    rows, _, rest = _rows(F, x, dims)
    picked = F.take(rows, F.reshape(index, (math.prod(index.shape),)), 0)
    return _unrow(F, picked, tuple(index.shape), rest, _landing(dims))


def _index_backward(F: Any, g: Any, index: Any, shape: Shape, dims: Shape) -> Any:
    rest = tuple(length for dim, length in enumerate(shape) if dim not in dims)
    led = tuple(shape[dim] for dim in dims)
    rows = _to_rows(F, g, len(index.shape), rest, _landing(dims))
    flat = F.take_backward(rows, F.reshape(index, (math.prod(index.shape),)), (math.prod(led), math.prod(rest)), 0)
    return _from_front(F, F.reshape(flat, (*led, *rest)), dims)


def _from_front(F: Any, x: Any, dims: Shape) -> Any:
    if dims == tuple(range(len(dims))):
        return x
    order = _front(len(x.shape), dims)
    inverse = [0] * len(order)
    for place, axis in enumerate(order):
        inverse[axis] = place
    return F.permute_dims(x, tuple(inverse))


ADVANCED = Op("index", ("x", "index", "dims"), tensors=("x",), forward=_index, rules={
    "x": lambda F, g, x_shape, index, dims: F.index_backward(g, index, x_shape, dims),
})  # fmt: skip
Op("index_backward", ("g", "index", "shape", "dims"), tensors=("g",), forward=_index_backward, rules={
    "g": lambda F, g, index, dims: F.index(g, index, dims),
})  # fmt: skip


def _index_put(F: Any, x: Any, value: Any, index: Any, dims: Shape, accumulate: bool) -> Any:
    rows, led, rest = _rows(F, x, dims)
    width = math.prod(rest)
    flat_value = F.reshape(
        _to_rows(F, value, len(index.shape), rest, _landing(dims)), (math.prod(index.shape) * width,)
    )
    places = F.add(
        F.reshape(F.multiply(F.reshape(index, (math.prod(index.shape),)), width), (math.prod(index.shape), 1)),
        F.host(np.arange(width, dtype=np.int64).reshape(1, width), index),
    )
    places = F.reshape(places, (math.prod(index.shape) * width,))
    flat = F.reshape(rows, (math.prod(led) * width,))
    flat = F.scatter_add(flat, places, flat_value) if accumulate else F.scatter(flat, places, flat_value)
    return _from_front(F, F.reshape(flat, (*led, *rest)), dims)


def _put_rule_x(F: Any, g: Any, value_shape: Shape, index: Any, dims: Shape, accumulate: bool) -> Any:
    return g if accumulate else F.index_put(g, F.zeros_of(g, value_shape), index, dims, False)


PUT = Op("index_put", ("x", "value", "index", "dims", "accumulate"), tensors=("x", "value"), forward=_index_put, rules={
    "x": _put_rule_x,
    "value": lambda F, g, index, dims: F.index(g, index, dims),
})  # fmt: skip

MASKED_FILL = Op(
    "masked_fill", ("x", "mask", "value"), tensors=("x", "value"), broadcasts=True,
    forward=lambda F, x, mask, value: F.where(mask, value, x),
    rules={
        "x": lambda F, g, mask: F.where(mask, F.zeros_of(g, ()), g),
        "value": lambda F, g, mask: F.where(mask, g, F.zeros_of(g, ())),
    },
)  # fmt: skip


# ---- x[...] ----------------------------------------------------------------------------------------------------------


def __getitem__(self: Tensor, key: Any) -> Tensor:
    array = self._array
    size = array.shape if array is not None else self._geometry[0]
    canonical = basic_key(key, size)
    if canonical is not None:
        return (SELECT if type(key) is int else INDEX)(self, canonical)
    canonical, tensors = read_key(key, self, tensor)
    view = INDEX(self, canonical)
    return gather_by(view, tensors) if tensors else view


def gather_by(view: Tensor, tensors: Sequence[tuple[int, Tensor]]) -> Tensor:
    """Returns the elements of `view` at index tensors given with the dimensions they index."""
    index, dims = linear_index(view, tensors)
    return ADVANCED(view, array_of(index), dims)


def linear_index(view: Tensor, tensors: Sequence[tuple[int, Tensor]]) -> tuple[Tensor, Shape]:
    """Returns one int64 index into the rows over the indexed dimensions, and those dimensions."""
    size = shape_of(view)
    places: list[tuple[int, Tensor]] = []
    for dim, index in tensors:
        if index._kind.engine is not view._kind.engine or index._kind.native_device != view._kind.native_device:
            index = _bring(index, view)
        places += _unmask(index, dim, size) if index._kind.dtype in (dt.bool_, dt.uint8) else [(dim, index)]
    shapes = [shape_of(index) for _, index in places]
    try:
        shape = broadcast_shapes(*shapes)
    except RuntimeError:
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {', '.join(str(list(s)) for s in shapes)}"
        ) from None
    F = view._kind.F
    linear = None
    for dim, index in places:
        wrapped = F.wrap_index(array_of(index), size[dim], dim)
        linear = wrapped if linear is None else F.add(F.multiply(linear, size[dim]), wrapped)
    kind = view._kind.to(dt.int64)
    return wrap(F.broadcast_to(linear, shape), kind), tuple(dim for dim, _ in places)


def _bring(index: Tensor, view: Tensor) -> Tensor:
    if index._kind.device.type != "cpu":
        raise RuntimeError(
            f"indices should be either on cpu or on the same device as the indexed tensor ({view._kind.device})"
        )
    return index.to(view.device)


def _unmask(mask: Tensor, dim: int, size: Shape) -> list[tuple[int, Tensor]]:
    shape = shape_of(mask)
    for place, length in enumerate(shape):
        if length != size[dim + place]:
            raise IndexError(
                f"The shape of the mask {list(shape)} at index {place} does not match the shape of the indexed tensor {list(size)} "
                f"at index {dim + place}"
            )
    return [(dim + place, column) for place, column in enumerate(nonzero(mask, as_tuple=True))]


def __setitem__(self: Tensor, key: Any, value: Any) -> None:
    if key is False:
        return
    array = self._array
    size = array.shape if array is not None else self._geometry[0]
    canonical = basic_key(key, size)
    number = type(value) in (float, int, bool)
    if canonical is not None:
        if number and self._node is None and (self._cell is None or self._view is None):
            if self._kind.inexact or type(value) is not float:
                if write_slice(self, canonical, value):
                    return
        _write_view(INDEX(self, canonical), value)
        return
    canonical, tensors = read_key(key, self, tensor)
    view = INDEX(self, canonical)
    if not tensors:
        _write_view(view, value)
        return
    value = _as_value(value, view)
    if (
        len(tensors) == 1
        and tensors[0][1]._kind.dtype in (dt.bool_, dt.uint8)
        and not shape_of(value)
        and value._node is None
    ):
        mask = tensors[0][1]
        _check_mask(mask, tensors[0][0], shape_of(view))
        _masked_write(view, mask, tensors[0][0], value)
        return
    index, dims = linear_index(view, tensors)
    put_at(view, index, dims, value, False)


def _check_mask(mask: Tensor, dim: int, size: Shape) -> None:
    for place, length in enumerate(shape_of(mask)):
        if dim + place >= len(size) or length != size[dim + place]:
            raise IndexError(
                f"The shape of the mask {list(shape_of(mask))} at index {place} does not match the shape of the indexed tensor "
                f"{list(size)} at index {dim + place}"
            )


def _masked_write(view: Tensor, mask: Tensor, dim: int, value: Tensor) -> None:
    rest = len(shape_of(view)) - dim - len(shape_of(mask))
    mask = mask.to(view.device).bool().reshape(*shape_of(mask), *(1,) * rest)
    check_writable(view, grad_enabled() and view._node is not None)
    assign(view, MASKED_FILL(shadow(view, False), array_of(mask), value))


def _as_value(value: Any, view: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        if value._kind.engine is not view._kind.engine or value._kind.native_device != view._kind.native_device:
            if shape_of(value):
                from torchplug._core.op import device_error

                raise device_error("index_put_", (view, value))
            value = value.to(view.device)
        return convert(value, view._kind.dtype)
    if isinstance(value, (bool, int, float, complex, np.generic)):
        if isinstance(value, complex) and not view._kind.dtype.is_complex:
            raise RuntimeError(f"value cannot be converted to type {view._kind.dtype.name} without overflow")
        return wrap(view._kind.scalar(value if not isinstance(value, np.generic) else value.item()), view._kind)
    from torchplug._core.naming import type_string

    raise TypeError(f"can't assign a {type(value).__name__} to a {type_string(view)}")


def _write_view(view: Tensor, value: Any) -> None:
    if isinstance(value, Tensor):
        shape, target = shape_of(value), shape_of(view)
        # Leading dimensions of length 1 that the target lacks are dropped, as NumPy and PyTorch allow.
        while len(shape) > len(target) and shape[0] == 1:
            value = value.select(0, 0)
            shape = shape[1:]
        if shape != target and (len(shape) > len(target) or not _fits(shape, target)):
            raise RuntimeError(
                f"The expanded size of the tensor ({_first_misfit(shape, target)[0]}) must match the existing size "
                f"({_first_misfit(shape, target)[1]}) at non-singleton dimension {_first_misfit(shape, target)[2]}.  Target sizes: "
                f"{list(target)}.  Tensor sizes: {list(shape)}"
                if len(shape) <= len(target)
                else f"shape mismatch: value tensor of shape {list(shape)} cannot be broadcast to indexing result of shape {list(target)}"
            )
        copy_(view, value)
    else:
        fill_(view, array_of(_as_value(value, view)).item() if isinstance(value, np.generic) else _number(value, view))


def _number(value: Any, view: Tensor) -> Any:
    if not isinstance(value, (bool, int, float, complex)):
        from torchplug._core.naming import type_string

        raise TypeError(f"can't assign a {type(value).__name__} to a {type_string(view)}")
    return value


def _fits(shape: Shape, target: Shape) -> bool:
    return all(have in (1, want) for have, want in zip(reversed(shape), reversed(target), strict=False))


def _first_misfit(shape: Shape, target: Shape) -> tuple[int, int, int]:
    lead = len(target) - len(shape)
    for dim, (have, want) in enumerate(zip(shape, target[lead:], strict=True)):
        if have not in (1, want):
            return want, have, dim + lead
    return 0, 0, 0


def put_at(target: Tensor, index: Tensor, dims: Shape, value: Tensor, accumulate: bool) -> Tensor:
    """Writes (or adds) a value broadcast to the indexed result into `target`, in place."""
    size = shape_of(target)
    rest = tuple(length for dim, length in enumerate(size) if dim not in dims)
    place = _landing(dims)
    result = (*rest[:place], *shape_of(index), *rest[place:])
    shape = shape_of(value)
    if shape != result:
        while len(shape) > len(result) and shape[0] == 1:
            value, shape = value.select(0, 0), shape[1:]
        if len(shape) > len(result) or not _fits(shape, result):
            raise RuntimeError(
                f"shape mismatch: value tensor of shape {list(shape)} cannot be broadcast to indexing result of shape {list(result)}"
            )
        value = TENSOR_SPACE.broadcast_to(value, result)
    check_writable(target, grad_enabled() and (target._node is not None or value._node is not None))
    return assign(target, PUT(shadow(target, False), value, array_of(index), dims, accumulate))


Tensor.__getitem__ = __getitem__  # type: ignore[method-assign]
Tensor.__setitem__ = __setitem__  # type: ignore[method-assign]


def index_put_(self: Tensor, indices: Sequence[Any], values: Tensor, accumulate: bool = False) -> Tensor:
    """Writes (or adds) `values` at the places the index tensors name, None for a whole dimension; returns self."""
    key = tuple(slice(None) if index is None else index for index in indices)
    canonical, tensors = read_key(key, self, tensor)
    if values._kind.dtype is not self._kind.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {_type(self)} for the destination and "
            f"{_type(values)} for the source."
        )
    index, dims = linear_index(self, tensors)
    return put_at(self, index, dims, values, accumulate)


def _type(x: Tensor) -> str:
    from torchplug._core.naming import scalar_type_name

    return scalar_type_name(x._kind.dtype)


@declare()
def index_put(input: Tensor, indices: Sequence[Any], values: Tensor, accumulate: bool = False) -> Tensor:
    """Returns a copy of `input` with `values` written (or added) at the places the index tensors name."""
    return index_put_(input.clone(), indices, values, accumulate)


Tensor.index_put_ = index_put_  # type: ignore[attr-defined]


# ---- masks -----------------------------------------------------------------------------------------------------------


@declare(
    dtypes=("float", "int", "bool"),
    samples=lambda make: [Sample(make(3, 4)), Sample(make(5)), Sample(make())],
    differentiable=False,
)
def nonzero(input: Tensor, *, out: Tensor | None = None, as_tuple: bool = False) -> Any:
    """Returns the indices of non-zero elements, int64 of shape (n, ndim), or a tuple of ndim vectors."""
    found = host_array(input).nonzero() if shape_of(input) else np.atleast_1d(host_array(input)).nonzero()
    kind = input._kind.to(dt.int64)
    if as_tuple:
        return tuple(
            wrap(kind.F.from_numpy(np.ascontiguousarray(column), kind.native_device), kind) for column in found
        )
    if not shape_of(input):
        stacked = np.empty((len(found[0]), 0), np.int64)
    else:
        stacked = np.ascontiguousarray(np.stack(found, axis=1)) if found else np.empty((0, 0), np.int64)
    made = wrap(kind.F.from_numpy(stacked, kind.native_device), kind)
    if out is None:
        return made
    from torchplug._core.inplace import write_out

    return write_out(out, made, "nonzero")


def _mask_samples(make: Any) -> Iterable[Sample]:
    mask = np.array([[True, False, True], [False, True, False]])
    yield Sample(make(2, 3), mask, 2.0)
    yield Sample(make(4, 2, 3), mask, 0.5)
    yield Sample(make(2, 3), np.array([True, False, True]), 1.0)


def _mask_errors() -> Iterable[Sample]:
    yield Sample(
        np.zeros((2, 3), np.float32),
        np.zeros((2, 3), np.float32),
        1.0,
        error=(RuntimeError, "masked_fill_ only supports boolean masks, but got mask with dtype"),
    )


@declare(op=MASKED_FILL, samples=_mask_samples, errors=_mask_errors, inplace=True, dtypes=("float", "complex"))
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Returns `input` with `value` (a number or 0-d tensor) where `mask` (bool, broadcast) is True."""
    if mask._kind.dtype is not dt.bool_:
        raise RuntimeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {_c_name(mask._kind.dtype)}"
        )
    if isinstance(value, Tensor) and shape_of(value):
        raise RuntimeError(
            f"masked_fill only supports a 0-dimensional value tensor, but got tensor with {len(shape_of(value))} dimension(s)."
        )
    broadcast_shapes(shape_of(input), shape_of(mask))
    return MASKED_FILL(input, array_of(mask), _as_value(value, input))


def _c_name(dtype: Any) -> str:
    return {"float32": "float", "float64": "double", "int64": "long int", "int32": "int", "uint8": "unsigned char"}.get(
        dtype.name, dtype.name
    )


@declare(samples=lambda make: [Sample(make(2, 3), np.array([[True, False, True], [False, True, False]]))])
def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the elements where `mask` (bool, broadcast) is True, as a vector."""
    if mask._kind.dtype is not dt.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(shape_of(input), shape_of(mask))
    made = gather_by(input.expand(shape), [(0, mask.expand(shape).contiguous())])
    if out is None:
        return made
    from torchplug._core.inplace import write_out

    return write_out(out, made, "masked_select")


@declare(
    inplace=True,
    samples=lambda make: [Sample(make(2, 3), np.array([[True, False, True], [False, True, False]]), make(4))],
)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Returns `input` with the elements where `mask` is True taken from `source` in order."""
    if mask._kind.dtype is not dt.bool_:
        raise RuntimeError("masked_scatter_ only supports boolean masks")
    shape = broadcast_shapes(shape_of(input), shape_of(mask))
    places = nonzero(mask.expand(shape).reshape(-1)).reshape(-1)
    if places.numel() > source.numel():
        raise RuntimeError(
            "masked_scatter: expected `source` to have at least as many elements as the mask has True values"
        )
    picked = source.reshape(-1)[: places.numel()]
    return index_put_(input.expand(shape).reshape(-1).clone(), (places,), picked).reshape(shape)


# ---- along one dimension ---------------------------------------------------------------------------------------------


def _places(F: Any, index: Any, shape: Shape, dim: int) -> Any:
    """Returns the flat places in a tensor of `shape` that a gather along `dim` reads, of the shape of `index`."""
    count = tuple(index.shape)
    steps = [math.prod(shape[place + 1 :]) for place in range(len(shape))]
    fixed = np.zeros(count, np.int64)
    for place, step in enumerate(steps):
        if place != dim:
            line = np.arange(count[place], dtype=np.int64) * step
            fixed += line.reshape((-1,) + (1,) * (len(count) - place - 1))
    return F.reshape(F.add(F.multiply(index, steps[dim]), F.host(fixed, index)), (math.prod(count),))


def _gather(F: Any, x: Any, index: Any, dim: int) -> Any:
    shape = tuple(x.shape)
    flat = F.reshape(x, (math.prod(shape),))
    return F.reshape(F.take(flat, _places(F, index, shape, dim), 0), tuple(index.shape))


def _gather_back(F: Any, g: Any, x_shape: Shape, index: Any, dim: int) -> Any:
    return F.scatter_along(F.zeros_of(g, x_shape), g, index, dim, True)


def _scatter_along(F: Any, x: Any, src: Any, index: Any, dim: int, add: bool) -> Any:
    shape = tuple(x.shape)
    flat = F.reshape(x, (math.prod(shape),))
    places = _places(F, index, shape, dim)
    key = tuple(slice(0, length, 1) for length in index.shape)
    values = F.reshape(src if tuple(src.shape) == tuple(index.shape) else F.slice(src, key), (math.prod(index.shape),))
    flat = F.scatter_add(flat, places, values) if add else F.scatter(flat, places, values)
    return F.reshape(flat, shape)


def _scatter_src_rule(F: Any, g: Any, src_shape: Shape, index: Any, dim: int) -> Any:
    picked = F.take_along(g, index, dim)
    if tuple(picked.shape) == src_shape:
        return picked
    return F.slice_embed(picked, src_shape, tuple(slice(0, length, 1) for length in picked.shape))


def _scatter_x_rule(F: Any, g: Any, index: Any, dim: int, add: bool) -> Any:
    return g if add else F.scatter_along(g, F.zeros_of(g, tuple(index.shape)), index, dim, False)


GATHER = Op(
    "gather", ("x", "index", "dim"), tensors=("x",), kernel="take_along", forward=_gather, rules={"x": _gather_back}
)
SCATTER = Op(
    "scatter",
    ("x", "src", "index", "dim", "add"),
    tensors=("x", "src"),
    kernel="scatter_along",
    forward=_scatter_along,
    rules={"x": _scatter_x_rule, "src": _scatter_src_rule},
)
SCATTER_ADD = Op(
    "scatter_add",
    ("x", "src", "index", "dim", "add"),
    tensors=("x", "src"),
    kernel="scatter_along",
    rules={"x": _scatter_x_rule, "src": _scatter_src_rule},
)


def _checked_index(name: str, input: Tensor, dim: int, index: Tensor) -> tuple[Any, int]:
    if index._kind.dtype is not dt.int64:
        raise RuntimeError(f"{name}(): Expected dtype int64 for index")
    size, shape = shape_of(input), shape_of(index)
    dim = wrap_dim(dim, len(size))
    if len(size or (1,)) != len(shape or (1,)):
        what = (
            "Index tensor must have the same number of dimensions as "
            + ("input" if name == "gather" else "self")
            + " tensor"
        )
        raise RuntimeError(what)
    F = input._kind.F
    raw = array_of(index)
    if size and not F.backend.is_tracer(raw):
        values = host_array(index)
        if values.size and (int(values.min()) < 0 or int(values.max()) >= size[dim]):
            wrong = values[(values < 0) | (values >= size[dim])].flat[0]
            raise RuntimeError(f"index {wrong} is out of bounds for dimension {dim} with size {size[dim]}")
    return raw, dim


def _gather_samples(make: Any) -> Iterable[Sample]:
    index = np.array([[0, 2, 1], [1, 1, 0]])
    yield Sample(make(3, 4), 1, index)
    yield Sample(make(3, 4), 0, index)
    yield Sample(make(5), 0, np.array([4, 0, 0]))


@declare(op=GATHER, samples=_gather_samples)
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Tensor | None = None) -> Tensor:
    """Returns out[i][j] = input[index[i][j]][j] (for dim 0): one element per index, of the shape of `index`."""
    raw, dim = _checked_index("gather", input, dim, index)
    size, shape = shape_of(input), shape_of(index)
    for place, (have, want) in enumerate(zip(size, shape, strict=False)):
        if place != dim and want > have:
            raise RuntimeError(
                f"Size does not match at dimension {place} expected index {list(shape)} to be no larger than self {list(size)} apart "
                f"from dimension {dim}"
            )
    if not size:
        made = input.reshape(1).gather(0, index.reshape(-1)).reshape(shape)
    else:
        made = GATHER(input, raw, dim) if shape else GATHER(input, input._kind.F.reshape(raw, (1,)), dim).reshape(())
    if out is None:
        return made
    from torchplug._core.inplace import write_out

    return write_out(out, made, "gather")


def _scatter_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), 1, np.array([[0, 2], [1, 3], [3, 0]]), make(3, 2))
    yield Sample(make(3, 4), 0, np.array([[0, 2, 1, 0]]), make(1, 4))


def _scatter_checks(name: str, input: Tensor, dim: int, index: Tensor, src: Any) -> tuple[Any, int, Tensor]:
    raw, dim = _checked_index("scatter", input, dim, index)
    size, shape = shape_of(input), shape_of(index)
    if isinstance(src, Tensor):
        if src._kind.dtype is not input._kind.dtype:
            raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
        bad = any(want > have for place, (have, want) in enumerate(zip(size, shape, strict=True)) if place != dim)
        if bad or any(want > have for have, want in zip(shape_of(src), shape, strict=True)):
            raise RuntimeError(
                f"Expected index {list(shape)} to be no larger than self {list(size)} apart from dimension {dim} and to be no larger "
                f"size than src {list(shape_of(src))}"
            )
    else:
        src = TENSOR_SPACE.broadcast_to(_as_value(src, input), shape)
    return raw, dim, src


@declare(op=SCATTER, samples=_scatter_samples, inplace=True)
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Tensor:
    """Returns `input` with out[index[i][j]][j] = src[i][j] (for dim 0); `src` may be a number; reduce "add" or "multiply"."""
    source = src if src is not None else value
    raw, dim, source = _scatter_checks("scatter", input, dim, index, source)
    if reduce == "add":
        return SCATTER_ADD(input, source, raw, dim, True)
    if reduce is not None:
        return scatter_reduce(input, dim, index, source, {"multiply": "prod"}.get(reduce, reduce))
    return SCATTER(input, source, raw, dim, False)


@declare(op=SCATTER_ADD, samples=_scatter_samples, inplace=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Returns `input` with src[i][j] added at out[index[i][j]][j] (for dim 0)."""
    raw, dim, src = _scatter_checks("scatter_add", input, dim, index, src)
    return SCATTER_ADD(input, src, raw, dim, True)


@declare(inplace=True, samples=lambda make: [Sample(make(3, 4), 0, np.array([[0, 2, 1, 0]]), make(1, 4), "sum")])
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Returns `input` with src reduced ("sum", "prod", "mean", "amax", "amin") into the places the index names."""
    raw, dim, src = _scatter_checks("scatter_reduce", input, dim, index, src)
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    base = input
    if not include_self:
        start = {"sum": 0, "mean": 0, "prod": 1, "amax": -math.inf, "amin": math.inf}[reduce]
        base = scatter(input, dim, index, start)
    if reduce in ("sum", "mean"):
        total = SCATTER_ADD(base, src, raw, dim, True)
        if reduce == "sum":
            return total
        ones = src.new_ones(shape_of(src))
        count = SCATTER_ADD(
            input.new_ones(shape_of(input))
            if include_self
            else scatter(input.new_ones(shape_of(input)), dim, index, 0),
            ones,
            raw,
            dim,
            True,
        )
        return total / count
    return _reduce_by_rank(base, dim, index, src, reduce)


def _reduce_by_rank(base: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str) -> Tensor:
    """Reduces one entry of `index` along `dim` after the other: entries of one rank never collide."""
    combine = {"prod": "mul", "amax": "maximum", "amin": "minimum"}[reduce]
    for place in range(shape_of(index)[dim]):
        here = index.narrow(dim, place, 1)
        new = getattr(gather(base, dim, here), combine)(src.narrow(dim, place, 1))
        base = scatter(base, dim, here, new)
    return base


def _line(name: str, index: Tensor, input: Tensor, dim: int) -> Any:
    if index._kind.dtype not in (dt.int64, dt.int32):
        raise RuntimeError(f"{name}(): Expected dtype int32 or int64 for index but got: {index._kind.dtype}")
    if len(shape_of(index)) > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector, but got dim: {len(shape_of(index))}")
    size = shape_of(input)
    length = size[dim] if size else 1
    raw = array_of(index)
    if not input._kind.F.backend.is_tracer(raw):
        values = host_array(index)
        if values.size and (int(values.min()) < 0 or int(values.max()) >= length):
            raise IndexError("index out of range in self")
    return input._kind.F.reshape(input._kind.F.astype(raw, dt.int64), (index.numel(),))


SELECT_ROWS = Op(
    "index_select",
    ("x", "indices", "axis"),
    tensors=("x",),
    kernel="take",
    rules={"x": lambda F, g, x_shape, indices, axis: F.take_backward(g, indices, x_shape, axis)},
)


@declare(
    op=SELECT_ROWS,
    samples=lambda make: [Sample(make(3, 4), 1, np.array([0, 2, 2])), Sample(make(5), 0, np.array([4]))],
    dtypes=("float", "complex", "int"),
)
def index_select(input: Tensor, dim: int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the entries of one dimension named by an index vector."""
    size = shape_of(input)
    dim = wrap_dim(dim, len(size))
    rows = _line("index_select", index, input, dim)
    if not size:
        return input.reshape(1).index_select(0, index).reshape(())
    made = SELECT_ROWS(input, rows, dim)
    if out is None:
        return made
    from torchplug._core.inplace import write_out

    return write_out(out, made, "index_select")


def _along(input: Tensor, dim: int, index: Tensor, source: Tensor, accumulate: bool, name: str) -> Tensor:
    dim = wrap_dim(dim, len(shape_of(input)))
    rows = wrap(_line(name, index, input, dim), input._kind.to(dt.int64))
    if source._kind.dtype is not input._kind.dtype:
        raise RuntimeError(
            f"{name}(): self ({_type(input)}) and source ({_type(source)}) must have the same scalar type"
        )
    return PUT(input, source, array_of(rows), (dim,), accumulate)


_index_rows = np.array([0, 2])


@declare(
    inplace=True,
    samples=lambda make: [
        Sample(make(3, 4), 0, _index_rows, make(2, 4)),
        Sample(make(3, 4), 1, _index_rows, make(3, 2)),
    ],
)
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """Returns `input` with `alpha * source` added at the entries of one dimension that the index vector names."""
    return _along(input, dim, index, source if alpha == 1 else source * alpha, True, "index_add")


@declare(inplace=True, samples=lambda make: [Sample(make(3, 4), 0, _index_rows, make(2, 4))])
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """Returns `input` with the entries of one dimension that the index vector names taken from `source`."""
    return _along(input, dim, index, source, False, "index_copy")


@declare(inplace=True, samples=lambda make: [Sample(make(3, 4), 1, _index_rows, 2.5)])
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """Returns `input` with the entries of one dimension that the index vector names set to a number."""
    size = shape_of(input)
    dim = wrap_dim(dim, len(size))
    shape = (*size[:dim], index.numel(), *size[dim + 1 :])
    return _along(input, dim, index, TENSOR_SPACE.broadcast_to(_as_value(value, input), shape), False, "index_fill")


@declare(samples=lambda make: [Sample(make(3, 4), np.array([[0, 11], [5, 5]]))])
def take(input: Tensor, index: Tensor) -> Tensor:
    """Returns the elements at flat places, of the shape of `index`."""
    if index._kind.dtype is not dt.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {_type(index)}")
    return (
        gather_by(input.reshape(-1), [(0, index)])
        if shape_of(index)
        else gather_by(input.reshape(-1), [(0, index.reshape(1))]).reshape(())
    )


@declare(samples=lambda make: [Sample(make(3, 4), np.array([[0, 2, 1, 1]]), 0)])
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Returns elements along one dimension at indices broadcast against `input` (all of it flattened for dim None)."""
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    dim = wrap_dim(dim, len(shape_of(input)))
    size, shape = list(shape_of(input)), list(shape_of(indices))
    width, length = size[dim], shape[dim]
    size[dim] = shape[dim] = 1
    common = list(broadcast_shapes(tuple(size), tuple(shape)))
    return gather(
        input.expand(*common[:dim], width, *common[dim + 1 :]),
        dim,
        indices.expand(*common[:dim], length, *common[dim + 1 :]),
    )


@declare(differentiable=False)
def argwhere(input: Tensor) -> Tensor:
    """Returns the indices of non-zero elements, int64 of shape (n, ndim)."""
    return nonzero(input)
