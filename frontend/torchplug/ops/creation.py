"""Tensors from nothing but a size and a rule: constants, ranges, lines, identity."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core import modes
from torchplug._core.declare import Sample, declare
from torchplug._core.device import DeviceLike, resolve
from torchplug._core.dims import as_shape
from torchplug._core.kind import Kind
from torchplug._core.layout import Layout, preserve_format
from torchplug._core.modes import default_dtype
from torchplug._core.numbers import stored
from torchplug._core.promotion import scalar_dtype
from torchplug._core.tensor import Tensor, laid_out, memory_order, shape_of, wrap
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = [
    "arange",
    "empty",
    "empty_like",
    "empty_strided",
    "eye",
    "finish",
    "full",
    "full_like",
    "kind_for",
    "kind_like",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "scalar_tensor",
    "size_argument",
    "tril_indices",
    "triu_indices",
    "zeros",
    "zeros_like",
]


def kind_for(dtype: DType | None, device: Any) -> Kind:
    """Returns the kind of a new tensor from the `dtype=` and `device=` of a factory function."""
    if dtype is not None and not isinstance(dtype, DType):
        dtype = _as_dtype(dtype)
    engine, native = resolve(device)
    return engine.kind(dtype or default_dtype(), native)


def _as_dtype(dtype: Any) -> DType:
    if dtype in (float, int, bool, complex):
        return {float: default_dtype(), int: dt.int64, bool: dt.bool_, complex: default_dtype().to_complex()}[dtype]
    raise TypeError(f"argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")


def finish(array: Any, kind: Kind, requires_grad: bool = False) -> Tensor:
    """Returns a fresh tensor, a leaf that requires grad if asked."""
    out = wrap(array, kind)
    if modes.inference.get():
        out._inference = True
    return as_leaf(out) if requires_grad else out


def as_leaf(made: Tensor) -> Tensor:
    """Returns a tensor just made, as a leaf that requires grad; RuntimeError for types without gradients."""
    if not (made._kind.dtype.is_floating_point or made._kind.dtype.is_complex):
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    return made.requires_grad_()


def size_argument(sizes: tuple, name: str = "") -> tuple[int, ...]:
    """Returns the size a factory function was asked for; RuntimeError for a negative one."""
    shape = as_shape(sizes)
    for size in shape:
        if size < 0:
            if name == "zeros":
                raise RuntimeError("zeros: Dimension size must be non-negative.")
            raise RuntimeError(f"Trying to create tensor with negative dimension {size}: {list(shape)}")
    return shape


_EVERY = ("float", "complex", "int", "bool")


def _size_samples(make: Any) -> Iterable[Sample]:
    yield Sample(2, 3, dtype=make.dtype)
    yield Sample((4,), dtype=make.dtype)
    yield Sample(dtype=make.dtype, size=())
    yield Sample(0, 3, dtype=make.dtype)
    yield Sample(2)


def _empty_samples(make: Any) -> Iterable[Sample]:
    """Of tensors whose values are nobody's business: those without any."""
    yield Sample(0, 3, dtype=make.dtype)
    yield Sample((2, 0), dtype=make.dtype)


def _factory(name: str, value: float, doc: str) -> Any:
    def function(
        *size: Any,
        out: Tensor | None = None,
        dtype: DType | None = None,
        layout: Layout | None = None,
        device: DeviceLike = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: Any = None,
        names: Any = None,
        **keywords: Any,
    ) -> Tensor:
        if "size" in keywords:
            size = (keywords.pop("size"),)
        if keywords:
            raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(keywords))}'")
        shape = size_argument(size, name)
        kind = kind_for(dtype, device)
        made = finish(kind.F.full(shape, value, kind.dtype, kind.native_device), kind, requires_grad)
        return made if out is None else _into(out, made, name)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__module__ = "torchplug"
    samples = _empty_samples if name == "empty" else _size_samples
    words = "zeros: Dimension size must be non-negative." if name == "zeros" else "negative dimension -1: [2, -1]"
    errors = [Sample(2, -1, error=(RuntimeError, words))]
    return declare(method=False, samples=samples, errors=lambda: errors, dtypes=_EVERY)(function)


def _into(out: Tensor, made: Tensor, name: str) -> Tensor:
    from torchplug._core.inplace import write_out

    return write_out(out, made, name)


zeros = _factory("zeros", 0, """Returns a new tensor of zeros of the given size.""")
ones = _factory("ones", 1, """Returns a new tensor of ones of the given size.""")
empty = _factory(
    "empty", 0, """Returns a new tensor of the given size whose values are not to be relied on (they are zeros)."""
)


def _full_samples(make: Any) -> Iterable[Sample]:
    yield Sample((2, 3), 1, dtype=make.dtype)
    yield Sample((), 2.5 if make.kind in ("float", "complex") else 3, dtype=make.dtype)
    yield Sample((2,), {"float": 0.5, "complex": 1 - 2j, "int": 7, "bool": True}[make.kind])


@declare(method=False, samples=_full_samples, dtypes=_EVERY)
def full(
    size: Any,
    fill_value: Any,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Layout | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    names: Any = None,
) -> Tensor:
    """Returns a new tensor filled with a number; its dtype follows the number unless given."""
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    kind = kind_for(dtype or scalar_dtype(fill_value), device)
    made = finish(_full(kind, size_argument((size,)), fill_value), kind, requires_grad)
    return made if out is None else _into(out, made, "full")


def _full(kind: Kind, shape: tuple[int, ...], value: Any) -> Any:
    return kind.F.full(shape, stored(value, kind.dtype), kind.dtype, kind.native_device)


def _like_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3))
    yield Sample(make())
    yield Sample(make(2, 3), dtype=dt.float64)


def _like_factory(name: str, value: float, doc: str) -> Any:
    def function(
        input: Tensor,
        *,
        dtype: DType | None = None,
        layout: Layout | None = None,
        device: DeviceLike = None,
        requires_grad: bool = False,
        memory_format: Any = None,
        pin_memory: bool = False,
    ) -> Tensor:
        kind = kind_like(input, dtype, device)
        return finish(_filled_like(input, kind, value, memory_format), kind, requires_grad)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__module__ = "torchplug"
    samples = (lambda make: [Sample(make(0, 3))]) if name == "empty_like" else _like_samples
    return declare(method=False, samples=samples, dtypes=_EVERY, differentiable=False)(function)


def _filled_like(input: Tensor, kind: Kind, value: Any, memory_format: Any) -> Any:
    """Returns the array of a number repeated over the size of `input`, its elements in the order of those in memory."""
    shape = shape_of(input)
    order = memory_order(input) if kind.mutable and memory_format in (None, preserve_format) else None
    if order is None:
        return _full(kind, shape, value)
    return laid_out(wrap(_full(kind, tuple(shape[dim] for dim in order), value), kind), order)._array


def kind_like(input: Tensor, dtype: DType | None, device: Any) -> Kind:
    """Returns the kind of a tensor made like another, unless dtype or device say otherwise."""
    if not isinstance(input, Tensor):
        raise TypeError(f"argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if device is not None:
        return kind_for(dtype or input._kind.dtype, device)
    return input._kind if dtype is None else input._kind.to(dtype)


zeros_like = _like_factory("zeros_like", 0, """Returns zeros of the size, dtype and device of `input`.""")
ones_like = _like_factory("ones_like", 1, """Returns ones of the size, dtype and device of `input`.""")
empty_like = _like_factory(
    "empty_like", 0, """Returns a tensor like `input` whose values are not to be relied on (zeros)."""
)


@declare(
    method=False,
    dtypes=_EVERY,
    differentiable=False,
    samples=lambda make: [Sample(make(2, 3), 1), Sample(make(), True), Sample(make(2), 3, dtype=dt.float64)],
)
def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: DType | None = None,
    layout: Layout | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Returns a number repeated over the size, dtype and device of `input`."""
    kind = kind_like(input, dtype, device)
    return finish(_filled_like(input, kind, fill_value, memory_format), kind, requires_grad)


@declare(method=False, samples=lambda make: [Sample((0, 3), (3, 1), dtype=make.dtype)], dtypes=_EVERY)
def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: DType | None = None,
    layout: Layout | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Returns a tensor with the given size and stride (in elements)."""
    size, stride = as_shape((size,)), as_shape((stride,))
    reach = 1 + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) if 0 not in size else 0
    view = zeros(reach, dtype=dtype, device=device).as_strided(size, stride)
    return as_leaf(view) if requires_grad else view


def _range_samples(make: Any) -> Iterable[Sample]:
    yield Sample(5)
    yield Sample(2, 9, 3, dtype=make.dtype)
    yield Sample(9, 2, -2)
    yield Sample(3, 3)
    if make.kind == "float":
        yield Sample(0.5, 3.0, 0.4, dtype=make.dtype)
        yield Sample(1, 2.5)
        yield Sample(start=-1.0, end=-2.0, step=-0.25)


def _range_errors() -> Iterable[Sample]:
    yield Sample(0, 3, 0, error=(RuntimeError, "step must be nonzero"))
    yield Sample(0, 3, -1, error=(RuntimeError, "upper bound and lower bound inconsistent with step sign"))


@declare(method=False, samples=_range_samples, errors=_range_errors, dtypes=("float", "int"))
def arange(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Layout | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Returns start, start + step, ... below end: ceil((end - start) / step) numbers, int64 if all arguments are ints."""
    start, end, step = (value.item() if isinstance(value, Tensor) else value for value in (start, end, step))
    if end is None:
        start, end = 0, start
    if dtype is None:
        whole = all(isinstance(value, (int, np.integer)) for value in (start, end, step))
        dtype = dt.int64 if whole else default_dtype()
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (step > 0 and start > end) or (step < 0 and start < end):
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    kind = kind_for(dtype, device)
    if kind.inexact:
        count = math.ceil((end - start) / step)
        # start + i * step in double, as PyTorch computes it, so that errors do not add up along the way.
        values = (start + np.arange(count, dtype=np.float64) * step).astype(kind.dtype.numpy)
        array = kind.F.from_numpy(values, kind.native_device)
    else:
        array = kind.F.arange(
            int(start),
            int(end) if float(end).is_integer() else math.ceil(end),
            int(step),
            kind.dtype,
            kind.native_device,
        )
    made = finish(array, kind, requires_grad)
    return made if out is None else _into(out, made, "arange")


def _line_samples(make: Any) -> Iterable[Sample]:
    yield Sample(-1, 2, 7, dtype=make.dtype)
    yield Sample(3.0, 1.0, 4, dtype=make.dtype)
    yield Sample(3, 5, 1, dtype=make.dtype)
    yield Sample(3, 5, 0, dtype=make.dtype)
    yield Sample(0, 1, steps=5)


@declare(
    method=False,
    samples=_line_samples,
    dtypes=("float", "int"),
    errors=lambda: [Sample(0, 1, -1, error=(RuntimeError, "number of steps must be non-negative"))],
)
def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Layout | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Returns `steps` evenly spaced numbers from start to end, both included."""
    start, end = (value.item() if isinstance(value, Tensor) else value for value in (start, end))
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    kind = kind_for(dtype, device)
    start, end = stored(start, kind.dtype), stored(end, kind.dtype)
    made = finish(kind.F.from_numpy(_line(start, end, int(steps), kind.dtype), kind.native_device), kind, requires_grad)
    return made if out is None else _into(out, made, "linspace")


def _line(start: Any, end: Any, steps: int, dtype: DType) -> np.ndarray:
    """Counts up from start in the first half and down from end in the second, in the dtype, as PyTorch does."""
    work = (
        np.dtype(np.float32)
        if dtype in (dt.float16, dt.bfloat16)
        else dtype.numpy
        if dtype.is_floating_point or dtype.is_complex
        else np.dtype(np.float64)
    )
    if steps == 1:
        return np.full(1, start).astype(dtype.numpy)
    if steps == 0:
        return np.empty(0, dtype.numpy)
    first, last = work.type(start), work.type(end)
    step = (last - first) / work.type(steps - 1)
    places = np.arange(steps)
    half = steps // 2
    low = first + step * places.astype(work)
    high = last - step * (steps - 1 - places).astype(work)
    return np.where(places < half, low, high).astype(dtype.numpy)


@declare(
    method=False,
    samples=lambda make: [Sample(-1, 2, 4, dtype=make.dtype), Sample(0, 3, 4, 2.0, dtype=make.dtype), Sample(0, 1, 1)],
)
def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Layout | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Returns base ** x for `steps` evenly spaced x from start to end."""
    kind = kind_for(dtype, device)
    exponents = _line(float(start), float(end), int(steps), dt.float64)
    made = finish(
        kind.F.from_numpy((base**exponents).astype(kind.dtype.numpy), kind.native_device), kind, requires_grad
    )
    return made if out is None else _into(out, made, "logspace")


@declare(
    method=False,
    dtypes=_EVERY,
    samples=lambda make: [Sample(3, dtype=make.dtype), Sample(2, 4, dtype=make.dtype), Sample(3, 0), Sample(2)],
    errors=lambda: [Sample(-1, error=(RuntimeError, "n must be greater or equal to 0, got -1"))],
)
def eye(
    n: int,
    m: int | None = None,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Layout | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Returns an n × m matrix with ones on the diagonal."""
    for size, name in ((n, "n"), (m, "m")):
        if size is not None and size < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {size}")
    kind = kind_for(dtype, device)
    made = finish(kind.F.from_numpy(np.eye(n, m, dtype=kind.dtype.numpy), kind.native_device), kind, requires_grad)
    return made if out is None else _into(out, made, "eye")


@declare(
    method=False,
    dtypes=_EVERY,
    samples=lambda make: [Sample(1, dtype=make.dtype), Sample(2), Sample(0.5)],
)
def scalar_tensor(
    value: Any,
    *,
    dtype: DType | None = None,
    layout: Layout | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Returns a 0-d tensor of a number, in the default dtype unless given."""
    return full((), value, dtype=dtype or default_dtype(), device=device, requires_grad=requires_grad)


def _indices(rows: int, columns: int, keep: Any, dtype: DType, device: Any) -> Tensor:
    kind = kind_for(dtype, device)
    found = np.nonzero(keep(np.arange(rows)[:, None], np.arange(columns)[None, :]))
    return finish(kind.F.from_numpy(np.stack(found).astype(kind.dtype.numpy), kind.native_device), kind)


def _triangle_samples(make: Any) -> Iterable[Sample]:
    yield Sample(3, 4)
    yield Sample(4, 2, 1)
    yield Sample(3, 3, -1)
    yield Sample(0, 2)


@declare(method=False, samples=_triangle_samples, dtypes=("int",))
def tril_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: DType = dt.int64,
    device: DeviceLike = None,
    layout: Layout | None = None,
) -> Tensor:
    """Returns the indices of the lower triangle of a row × col matrix, shape (2, n)."""
    return _indices(row, col, lambda i, j: j <= i + offset, dtype, device)


@declare(method=False, samples=_triangle_samples, dtypes=("int",))
def triu_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: DType = dt.int64,
    device: DeviceLike = None,
    layout: Layout | None = None,
) -> Tensor:
    """Returns the indices of the upper triangle of a row × col matrix, shape (2, n)."""
    return _indices(row, col, lambda i, j: j >= i + offset, dtype, device)
