"""Where numbers lie among sorted ones, how many fall into bins, and which belong to a set."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import Number, convert, need_tensor, promote
from torchplug._core.inplace import write_out
from torchplug._core.kernels import composition
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.promotion import result_type
from torchplug._core.return_types import return_type
from torchplug._core.tensor import Tensor, shape_of, wrap
from torchplug_spec import dtypes as dt

__all__ = ["bincount", "bucketize", "histc", "histogram", "isin", "searchsorted"]

HISTOGRAM = return_type("histogram", "hist", "bin_edges")


# ---- kernels ---------------------------------------------------------------------------------------------------------


@composition
def searchsorted_(F: Any, line: Any, values: Any, side: str) -> Any:
    """Returns where values would go in a sorted one-dimensional array, before ("left") or after ("right") equal elements."""
    count = math.prod(values.shape)
    places = F.searchsorted_rows(F.reshape(line, (1, line.shape[0])), F.reshape(values, (1, count)), side)
    return F.reshape(places, tuple(values.shape))


@composition
def searchsorted_rows(F: Any, rows: Any, values: Any, side: str) -> Any:
    """Returns where each row of values would go in its sorted row: bisection of all together, log2(n) + 1 steps.

    A place moves right unless the element there is at least the value (beyond it, for "right"), so NaN goes last.
    """
    count, length = rows.shape
    flat = F.reshape(rows, (count * length,))
    offsets = F.host((np.arange(count) * length).reshape(-1, 1), rows)
    low = F.host(np.zeros(tuple(values.shape), np.int64), rows)
    high = F.host(np.full(tuple(values.shape), length, np.int64), rows)
    for _ in range(length.bit_length()):
        middle = F.floor_divide(F.add(low, high), 2)
        places = F.add(F.minimum(middle, length - 1), offsets)
        seen = F.reshape(F.take(flat, F.reshape(places, (math.prod(values.shape),)), 0), tuple(values.shape))
        stop = F.less(values, seen) if side == "right" else F.less_equal(values, seen)
        active = F.less(low, high)
        right = F.bitwise_and(active, F.bitwise_invert(stop))
        high = F.where(F.bitwise_and(active, stop), middle, high)
        low = F.where(right, F.add(middle, 1), low)
    return low


SEARCH = Op("searchsorted", ("line", "values", "side"), tensors=("line", "values"), differentiable_outputs=0)
SEARCH_ROWS = Op(
    "searchsorted",
    ("rows", "values", "side"),
    tensors=("rows", "values"),
    kernel="searchsorted_rows",
    differentiable_outputs=0,
)


# ---- searchsorted ----------------------------------------------------------------------------------------------------


def _search_samples(make: Any) -> Iterable[Sample]:
    line = np.sort(make(6))
    yield Sample(line, make(2, 3))
    yield Sample(line, line, right=True)
    yield Sample(line, line, side="right")
    yield Sample(np.sort(make(2, 5), -1), make(2, 3))
    yield Sample(line, 1)
    yield Sample(line, make(3), out_int32=True)
    shuffled = make(6)
    yield Sample(shuffled, make(3), sorter=np.argsort(shuffled))
    yield Sample(line[:0], make(2))


def _search_errors() -> Iterable[Sample]:
    x, wide = np.ones(3, np.float32), np.ones((2, 3), np.float32)
    yield Sample(
        x,
        x,
        right=True,
        side="left",
        error=(RuntimeError, "side and right can't be set to opposites, got side of left while"),
    )
    yield Sample(x, x, side="top", error=(RuntimeError, "side can only be 'left' or 'right' but got top"))
    yield Sample(
        wide,
        np.ones((3, 3), np.float32),
        error=(RuntimeError, "first N-1 dimensions of boundaries tensor and input value"),
    )
    yield Sample(np.ones((), np.float32), x, error=(RuntimeError, "boundaries tensor should have positive dimension"))


@declare(
    op=SEARCH,
    samples=_search_samples,
    errors=_search_errors,
    dtypes=("float", "int"),
    method=False,
    differentiable=False,
)
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    out: Tensor | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Returns the index at which each value would keep the last dimension of `sorted_sequence` sorted.

    Before equal elements, or after them with `right`; as int64, int32 with `out_int32`.
    """
    need_tensor("searchsorted", sorted_sequence, "sorted_sequence")
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
        )
    size = shape_of(sorted_sequence)
    if not size:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should have positive dimension, but got 0 dimension"
        )
    if sorter is not None:
        sorted_sequence = sorted_sequence.gather(-1, sorter)
    values = _as_values(sorted_sequence, input)
    wanted = shape_of(values)
    if len(size) > 1 and size[:-1] != wanted[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and "
            f"input value tensor must match, but we got boundaries tensor {list(size)} and input value tensor {list(wanted)}"
        )
    line, values = promote("searchsorted", sorted_sequence, values)
    which = "right" if right or side == "right" else "left"
    if len(size) == 1:
        result = SEARCH(line, values, which)
    else:
        count = math.prod(size[:-1])
        rows = TENSOR_SPACE.reshape(line, (count, size[-1])), TENSOR_SPACE.reshape(values, (count, wanted[-1]))
        result = TENSOR_SPACE.reshape(SEARCH_ROWS(*rows, which), wanted)
    result = convert(result, dt.int32 if out_int32 else dt.int64)
    return result if out is None else write_out(out, result, "searchsorted")


def _as_values(like: Tensor, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if not isinstance(value, Number):
        raise TypeError(f"argument 'input' must be Tensor or Number, not {type(value).__name__}")
    kind = like._kind.to(result_type(like, value))
    return wrap(kind.scalar(value), kind)


def _bucket_samples(make: Any) -> Iterable[Sample]:
    line = np.sort(make(5))
    yield Sample(make(3, 4), line)
    yield Sample(line, line, right=True)
    yield Sample(2, line)
    yield Sample(make(3), line, out_int32=True)


def _bucket_errors() -> Iterable[Sample]:
    x = np.ones((2, 3), np.float32)
    yield Sample(x, x, error=(RuntimeError, "boundaries tensor must be 1 dimension, but got dim(2)"))


@declare(samples=_bucket_samples, errors=_bucket_errors, dtypes=("float", "int"), method=False, differentiable=False)
def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False, out: Tensor | None = None
) -> Tensor:
    """Returns the index of the bucket between sorted `boundaries` that each value falls into."""
    need_tensor("bucketize", boundaries, "boundaries", 2)
    if len(shape_of(boundaries)) != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({len(shape_of(boundaries))})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


# ---- counts ----------------------------------------------------------------------------------------------------------


def _histc_samples(make: Any) -> Iterable[Sample]:
    x = make(20)
    yield Sample(x, 4)
    yield Sample(x, bins=5, min=-1, max=1)
    yield Sample(x * 0, bins=3)
    yield Sample(x.reshape(4, 5), 3, -2.0, 0.5)


def _histc_errors() -> Iterable[Sample]:
    x = np.ones(3, np.float32)
    yield Sample(x, 0, error=(RuntimeError, "bins must be > 0, but got 0"))
    yield Sample(x, 3, 2, 1, error=(RuntimeError, "torch.histc: max must be larger than min"))
    yield Sample(np.ones(3, np.int64), 3, error=(NotImplementedError, "not implemented for 'Long'"))


@declare(samples=_histc_samples, errors=_histc_errors, dtypes=("float",), differentiable=False)
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0, *, out: Tensor | None = None) -> Tensor:
    """Returns how many elements fall into each of `bins` equal bins from `min` to `max` (of the data if both are 0)."""
    need_tensor("histc", input)
    dtype = input._kind.dtype
    if not dtype.is_floating_point:
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{scalar_type_name(dtype)}'")
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    low, high = float(min), float(max)
    if low == high and 0 not in shape_of(input):
        low, high = float(input.min()), float(input.max())
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low:g}, {high:g}] is not finite")
    if low == high:
        low, high = low - 1, high + 1
    result = _counts(HISTC(input, bins, low, high), input, bins)
    return result if out is None else write_out(out, result, "histc")


def _bins(F: Any, x: Any, bins: int, low: float, high: float) -> Any:
    """Returns the bin of each element as int64, `bins` for those outside; the last bin has its upper edge."""
    flat = F.reshape(x, (math.prod(x.shape),))
    places = F.floor(F.divide(F.multiply(F.subtract(flat, low), bins), high - low))
    places = F.minimum(places, bins - 1)
    outside = F.bitwise_invert(F.bitwise_and(F.less_equal(low, flat), F.less_equal(flat, high)))
    return F.astype(F.where(outside, F.full_of(places, (), bins), places), dt.int64)


HISTC = Op(
    "histc", ("x", "bins", "low", "high"), tensors=("x",), kernel="bins_of", forward=_bins, differentiable_outputs=0
)


def _counts(places: Tensor, like: Tensor, bins: int, weight: Tensor | None = None) -> Tensor:
    """Returns how many of the places (or how much weight) fall on each of `bins` numbers."""
    from torchplug.ops.creation import ones, zeros

    dtype, device = like._kind.dtype, like.device
    values = weight if weight is not None else ones(shape_of(places), dtype=dtype, device=device)
    return TENSOR_SPACE.scatter_add(zeros(bins + 1, dtype=dtype, device=device), places, values)[:bins].clone()


def _histogram_samples(make: Any) -> Iterable[Sample]:
    x = make(20)
    if x.dtype in (np.float32, np.float64):
        yield Sample(x, 4)
        yield Sample(x, 5, range=(-1.0, 1.0))
        yield Sample(x, 5, range=(-1.0, 1.0), density=True)
        yield Sample(x, np.array([-1.0, 0.0, 0.5, 2.0], x.dtype))
        yield Sample(x, 3, weight=abs(make(20)))


@declare(samples=_histogram_samples, dtypes=("float",), differentiable=False)
def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: tuple[float, float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
    out: Any = None,
) -> Any:
    """Returns (hist, bin_edges): how many elements (how much weight) fall into each bin, a number of equal ones or between
    given edges; with `density` normalised to an integral of 1.
    """
    need_tensor("histogram", input)
    from torchplug.ops.creation import linspace
    from torchplug.ops.extremes import write_outs

    dtype, device = input._kind.dtype, input.device
    flat = input.detach().reshape(-1)
    if isinstance(bins, Tensor):
        edges = bins.clone()
    else:
        low, high = (
            range if range is not None else (float(flat.min()), float(flat.max())) if shape_of(flat)[0] else (0.0, 0.0)
        )
        low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
        edges = linspace(low, high, bins + 1, dtype=dtype, device=device)
    count = shape_of(edges)[0] - 1
    places = searchsorted(edges, flat, right=True) - 1
    places = places - (flat == edges[-1]).long()
    outside = (places < 0).bitwise_or(places >= count).bitwise_or(flat > edges[-1])
    hist = _counts(places.masked_fill(outside, count), input, count, None if weight is None else weight.reshape(-1))
    if density:
        hist = hist / (hist.sum() * (edges[1:] - edges[:-1]))
    result = HISTOGRAM((hist, edges))
    return result if out is None else write_outs(out, result, "histogram")


def _bincount_samples(make: Any) -> Iterable[Sample]:
    x = abs(make(10)) % 7
    yield Sample(x)
    yield Sample(x, minlength=12)
    yield Sample(x, np.linspace(0, 1, 10, dtype=np.float32))
    yield Sample(x, weights=np.linspace(0, 1, 10))
    yield Sample(x[:0])


def _bincount_errors() -> Iterable[Sample]:
    n = np.array([1, 2])
    yield Sample(-n, error=(RuntimeError, "bincount only supports 1-d non-negative integral inputs."))
    yield Sample(n.reshape(1, 2), error=(RuntimeError, "bincount only supports 1-d non-negative integral inputs."))
    yield Sample(np.ones(2, np.float32), error=(NotImplementedError, "\"bincount_cpu\" not implemented for 'Float'"))
    yield Sample(n, minlength=-1, error=(RuntimeError, "minlength should be >= 0"))


@declare(samples=_bincount_samples, errors=_bincount_errors, dtypes=("int",), differentiable=False)
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Returns how often each number from 0 to the largest occurs, or the sum of its `weights`."""
    need_tensor("bincount", input)
    from torchplug.ops.creation import ones, zeros

    dtype, shape = input._kind.dtype, shape_of(input)
    if dtype.is_floating_point or dtype.is_complex or dtype is dt.bool_:
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{scalar_type_name(dtype)}'")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if len(shape) != 1 or (shape[0] and int(input.min()) < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and shape_of(weights) != shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    length = max(int(input.max()) + 1 if shape[0] else 0, minlength)
    if weights is None:
        values = ones(shape, dtype=dt.int64, device=input.device)
    else:
        values = convert(weights.detach(), weights._kind.dtype if weights._kind.dtype is dt.float32 else dt.float64)
    empty = zeros(length, dtype=values._kind.dtype, device=input.device)
    return TENSOR_SPACE.scatter_add(empty, convert(input, dt.int64), values)


# ---- sets ------------------------------------------------------------------------------------------------------------


def _isin_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    yield Sample(x, x[0])
    yield Sample(x, x[1], invert=True)
    yield Sample(x, 2)
    yield Sample(x, make(0))


@declare(samples=_isin_samples, dtypes=("float", "int"), method=False, differentiable=False)
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False, out: Tensor | None = None
) -> Tensor:
    """Returns where elements are among `test_elements`, as bool."""
    from torchplug.ops.creation import zeros
    from torchplug.ops.ordering import sort

    if not isinstance(elements, Tensor):
        need_tensor("isin", test_elements, "test_elements", 2)
    for side in (elements, test_elements):
        if isinstance(side, bool) or (isinstance(side, Tensor) and side._kind.dtype is dt.bool_):
            raise RuntimeError("Unsupported input type encountered for isin(): Bool")
    elements = elements if isinstance(elements, Tensor) else _as_values(test_elements, elements)
    tests = (test_elements if isinstance(test_elements, Tensor) else _as_values(elements, test_elements)).reshape(-1)
    count = shape_of(tests)[0]
    if count == 0:
        found = zeros(shape_of(elements), dtype=dt.bool_, device=elements.device)
    else:
        x, line = promote("isin", elements, tests)
        line = sort(line)[0]
        places = searchsorted(line, x).clamp(max=count - 1)
        found = line[places] == x
    result = found.logical_not() if invert else found
    return result if out is None else write_out(out, result, "isin")
