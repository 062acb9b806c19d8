"""grid_sample: images and volumes read at arbitrary points."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare_functional
from torchplug._core.elementwise import argument_error
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import dtypes as dt

__all__ = ["grid_sample"]

Shape = tuple[int, ...]


def _unscaled(F: Any, points: Any, length: int, align_corners: bool) -> Any:
    """Returns coordinates of [-1, 1] as places: the ends are centers of the outer elements, or their edges."""
    if align_corners:
        return F.multiply(F.add(points, 1.0), (length - 1) / 2)
    return F.divide(F.subtract(F.multiply(F.add(points, 1.0), float(length)), 1.0), 2.0)


def _reflected(F: Any, places: Any, low: float, high: float) -> Any:
    """Returns places mirrored at low and high until they lie between."""
    span = high - low
    if span == 0:
        return F.multiply(places, 0.0)
    distance = F.abs(F.subtract(places, low))
    turns = F.floor(F.divide(distance, span))
    extra = F.subtract(distance, F.multiply(turns, span))
    odd = F.equal(F.subtract(turns, F.multiply(F.floor(F.divide(turns, 2.0)), 2.0)), 1)
    return F.where(odd, F.subtract(high, extra), F.add(extra, low))


def _clipped(F: Any, places: Any, length: int) -> Any:
    return F.minimum(F.maximum(places, 0.0), float(length - 1))


def _mapped(F: Any, places: Any, length: int, padding_mode: str, align_corners: bool) -> Any:
    if padding_mode == "reflection":
        low, high = (0.0, length - 1.0) if align_corners else (-0.5, length - 0.5)
        places = _reflected(F, places, low, high)
    return places if padding_mode == "zeros" else _clipped(F, places, length)


def _spots(F: Any, size: Sequence[int], places: Sequence[Any]) -> tuple[Any, Any]:
    """Returns which whole places (N, points) are inside, and where the nearest inside lie in a flat (N, *size)."""
    inside: Any = None
    flat: Any = None
    for place, length in zip(places, size, strict=True):
        fits = F.bitwise_and(F.less_equal(0, place), F.less_equal(place, length - 1))
        inside = fits if inside is None else F.bitwise_and(inside, fits)
        spot = F.astype(_clipped(F, place, length), dt.int64)
        flat = spot if flat is None else F.add(F.multiply(flat, length), spot)
    starts = np.arange(flat.shape[0], dtype=np.int64).reshape(-1, 1) * math.prod(size)
    return inside, F.reshape(F.add(flat, F.host(starts, flat)), (math.prod(flat.shape),))


def _read(F: Any, x: Any, places: Sequence[Any]) -> Any:
    """Returns x (N, C, *size) at whole places (N, points) per dimension, 0 outside: (N, C, points)."""
    count, channels, *size = x.shape
    points, area = places[0].shape[1], math.prod(size)
    inside, spots = _spots(F, size, places)
    rows = F.reshape(F.permute_dims(F.reshape(x, (count, channels, area)), (0, 2, 1)), (count * area, channels))
    seen = F.reshape(F.take(rows, spots, 0), (count, points, channels))
    kept = F.where(F.reshape(inside, (count, points, 1)), seen, F.zeros_of(seen, ()))
    return F.permute_dims(kept, (0, 2, 1))


def _unread(F: Any, g: Any, size: Sequence[int], places: Sequence[Any]) -> Any:
    """Returns (N, C, *size) with g (N, C, points) added where `_read` reads."""
    count, channels, points = g.shape
    inside, spots = _spots(F, size, places)
    kept = F.where(F.reshape(inside, (count, points, 1)), F.permute_dims(g, (0, 2, 1)), F.zeros_of(g, ()))
    area = math.prod(size)
    rows = F.take_backward(F.reshape(kept, (count * points, channels)), spots, (count * area, channels), 0)
    return F.reshape(F.permute_dims(F.reshape(rows, (count, area, channels)), (0, 2, 1)), (count, channels, *size))


def _linear(F: Any, x: Any, places: Sequence[Any]) -> Any:
    floors = [F.floor(place) for place in places]
    total: Any = None
    for corner in itertools.product((0, 1), repeat=len(places)):
        weight: Any = None
        spots = []
        for place, floor, side in zip(places, floors, corner, strict=True):
            share = F.subtract(place, floor)
            share = share if side else F.subtract(1.0, share)
            weight = share if weight is None else F.multiply(weight, share)
            spots.append(F.add(floor, float(side)))
        part = F.multiply(_read(F, x, spots), F.reshape(weight, (weight.shape[0], 1, weight.shape[1])))
        total = part if total is None else F.add(total, part)
    return total


def _cubic_shares(F: Any, t: Any) -> list[Any]:
    """Returns the weights of the places -1, 0, 1, 2 around t in [0, 1). Source: Keys 1981, equation 15, a = -0.75."""
    a = -0.75

    def near(x: Any) -> Any:
        return F.add(F.multiply(F.multiply(F.subtract(F.multiply(x, a + 2), a + 3), x), x), 1.0)

    def far(x: Any) -> Any:
        return F.subtract(F.multiply(F.add(F.multiply(F.subtract(F.multiply(x, a), 5 * a), x), 8 * a), x), 4 * a)

    back = F.subtract(1.0, t)
    return [far(F.add(t, 1.0)), near(t), near(back), far(F.add(back, 1.0))]


def _cubic(F: Any, x: Any, places: Sequence[Any], padding_mode: str, align_corners: bool) -> Any:
    floors = [F.floor(place) for place in places]
    shares = [_cubic_shares(F, F.subtract(place, floor)) for place, floor in zip(places, floors, strict=True)]
    total = None
    for row, column in itertools.product(range(4), repeat=2):
        spots = [
            _mapped(F, F.add(floor, float(offset - 1)), length, padding_mode, align_corners)
            for floor, offset, length in zip(floors, (row, column), x.shape[2:], strict=True)
        ]
        weight = F.multiply(shares[0][row], shares[1][column])
        part = F.multiply(_read(F, x, spots), F.reshape(weight, (weight.shape[0], 1, weight.shape[1])))
        total = part if total is None else F.add(total, part)
    return total


def _places(F: Any, grid: Any, size: Shape, align_corners: bool) -> list[Any]:
    """Returns the places (N, points) that a grid names, one array per dimension; the grid has x first, the image last."""
    count, points = grid.shape[0], math.prod(grid.shape[1:-1])
    flat = F.reshape(grid, (count, points, len(size)))
    whole = (slice(0, count, 1), slice(0, points, 1))
    return [
        _unscaled(F, F.slice(flat, (*whole, len(size) - 1 - dim)), size[dim], align_corners) for dim in range(len(size))
    ]


def _mapped_places(F: Any, grid: Any, size: Shape, padding_mode: str, align_corners: bool) -> list[Any]:
    places = _places(F, grid, size, align_corners)
    return [_mapped(F, place, length, padding_mode, align_corners) for place, length in zip(places, size, strict=True)]


def _grid_sample(F: Any, x: Any, grid: Any, mode: str, padding_mode: str, align_corners: bool) -> Any:
    size = tuple(x.shape[2:])
    if mode == "bicubic":
        seen = _cubic(F, x, _places(F, grid, size, align_corners), padding_mode, align_corners)
    else:
        seen = _linear(F, x, _mapped_places(F, grid, size, padding_mode, align_corners))
    return F.reshape(seen, (*x.shape[:2], *grid.shape[1:-1]))


def _rounded(F: Any, grid: Any, size: Shape, padding_mode: str, align_corners: bool) -> list[Any]:
    return [F.round(place) for place in _mapped_places(F, grid, size, padding_mode, align_corners)]


def _grid_nearest(F: Any, x: Any, grid: Any, padding_mode: str, align_corners: bool) -> Any:
    seen = _read(F, x, _rounded(F, grid, tuple(x.shape[2:]), padding_mode, align_corners))
    return F.reshape(seen, (*x.shape[:2], *grid.shape[1:-1]))


def _grid_nearest_backward(F: Any, g: Any, grid: Any, size: Shape, padding_mode: str, align_corners: bool) -> Any:
    flat = F.reshape(g, (*g.shape[:2], math.prod(g.shape[2:])))
    return _unread(F, flat, size, _rounded(F, grid, size, padding_mode, align_corners))


def _nearest_rule(F: Any, g: Any, grid: Any, input_shape: Shape, padding_mode: str, align_corners: bool) -> Any:
    return F.grid_nearest_backward(g, grid, tuple(input_shape[2:]), padding_mode, align_corners)


_PADDED = ("padding_mode", "align_corners")
GRID_SAMPLE = {
    count: Op("grid_sample", ("input", "grid", "mode", *_PADDED), tensors=("input", "grid"), forward=_grid_sample,
              node=f"GridSampler{count}DBackward0")
    for count in (2, 3)
}  # fmt: skip
GRID_NEAREST = {
    count: Op("grid_nearest", ("input", "grid", *_PADDED), tensors=("input", "grid"), forward=_grid_nearest,
              node=f"GridSampler{count}DBackward0", rules={
                  "input": _nearest_rule, "grid": lambda F, g, grid_shape: F.zeros_of(g, tuple(grid_shape)),
              })
    for count in (2, 3)
}  # fmt: skip
Op("grid_nearest_backward", ("g", "grid", "size", *_PADDED), tensors=("g", "grid"), forward=_grid_nearest_backward, rules={
    "g": lambda F, g, grid, padding_mode, align_corners: F.grid_nearest(g, grid, padding_mode, align_corners),
})  # fmt: skip


def _samples(make: Any) -> Iterable[Sample]:
    for padding in ("zeros", "border", "reflection"):
        for mode in ("bilinear", "nearest", "bicubic"):
            yield Sample(make(2, 3, 4, 5), make(2, 3, 2, 2), mode, padding, padding == "border")
    yield Sample(make(1, 2, 3, 4, 5), make(1, 2, 2, 3, 3), align_corners=True)
    yield Sample(make(1, 2, 3, 4, 5), make(1, 2, 2, 3, 3), padding_mode="reflection", align_corners=False)


def _errors() -> Iterable[Sample]:
    x, grid = np.ones((1, 2, 4, 4), np.float32), np.ones((1, 3, 3, 2), np.float32)
    yield Sample(
        x, grid, "cubic", error=(ValueError, "expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: 'cubic'")
    )
    yield Sample(
        x,
        grid,
        padding_mode="wrap",
        error=(ValueError, "expected padding_mode to be 'zeros', 'border', or 'reflection'"),
    )


@declare_functional(op=GRID_SAMPLE[2], samples=_samples, errors=_errors)
def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """Returns the input (N, C, H, W) read at the points of `grid` (N, H', W', 2), x first, in [-1, 1]: (N, C, H', W').

    Volumes alike with grid (N, D', H', W', 3). Outside: zeros, the border, or the reflection. `align_corners` says whether
    -1 and 1 are the centers of the outer elements or their edges.
    """
    for name, x in (("input", input), ("grid", grid)):
        if not isinstance(x, Tensor):
            raise argument_error("grid_sampler", name, "Tensor", x)
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'"
        )
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
            "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details.",
            stacklevel=2,
        )
    size, points = shape_of(input), shape_of(grid)
    if len(size) not in (4, 5) or len(points) != len(size):
        raise RuntimeError(
            f"grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input with sizes {list(size)} "
            f"and grid with sizes {list(points)}"
        )
    if size[0] != points[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with sizes "
            f"{list(size)} and grid with sizes {list(points)}"
        )
    if points[-1] != len(size) - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {len(size) - 2} in last dimension, but got grid with sizes {list(points)}"
        )
    if mode == "bicubic" and len(size) == 5:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if mode == "nearest":
        return GRID_NEAREST[len(size) - 2](input, grid, padding_mode, bool(align_corners))
    return GRID_SAMPLE[len(size) - 2](input, grid, mode, padding_mode, bool(align_corners))
