"""Images read at other places: interpolate to another size, grid_sample at given points, grids of affine maps."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare_functional
from torchplug._core.elementwise import argument_error
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.adaptive_pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, along

__all__ = ["affine_grid", "interpolate", "upsample"]

Shape = tuple[int, ...]


# ---- weights: how much each place of the input counts for each place of the output -----------------------------------


def _step(length: int, out: int, factor: float | None, align_corners: bool) -> float:
    """Returns how far the input moves for one step of the output."""
    if align_corners:
        return (length - 1) / (out - 1) if out > 1 else 0.0
    return 1.0 / factor if factor else length / out


def _centers(length: int, out: int, factor: float | None, align_corners: bool) -> np.ndarray:
    step = _step(length, out, factor, align_corners)
    spots = np.arange(out, dtype=np.float64)
    return spots * step if align_corners else (spots + 0.5) * step - 0.5


def _nearest(length: int, out: int, factor: float | None, exact: bool) -> np.ndarray:
    """Returns the place each output reads, computed in float32 as PyTorch does."""
    step = np.float32(1.0 / factor) if factor else np.float32(length) / np.float32(out)
    spots = np.arange(out, dtype=np.float32)
    return np.minimum(np.floor((spots + np.float32(0.5 if exact else 0)) * step).astype(np.int64), length - 1)


def _linear(length: int, out: int, factor: float | None, align_corners: bool) -> np.ndarray:
    spots = np.maximum(_centers(length, out, factor, align_corners), 0)
    low = np.minimum(np.floor(spots).astype(np.int64), length - 1)
    high = np.minimum(low + 1, length - 1)
    share = np.clip(spots - low, 0, 1)
    matrix = np.zeros((length, out))
    np.add.at(matrix, (low, np.arange(out)), 1 - share)
    np.add.at(matrix, (high, np.arange(out)), share)
    return matrix


def _cubic_weight(distance: np.ndarray, a: float) -> np.ndarray:
    """Returns the cubic convolution kernel. Source: Keys 1981, equation 15."""
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _cubic(length: int, out: int, factor: float | None, align_corners: bool) -> np.ndarray:
    spots = _centers(length, out, factor, align_corners)
    base = np.floor(spots)
    matrix = np.zeros((length, out))
    for offset in (-1, 0, 1, 2):
        places = np.clip(base + offset, 0, length - 1).astype(np.int64)
        np.add.at(matrix, (places, np.arange(out)), _cubic_weight(spots - base - offset, -0.75))
    return matrix


def _smooth(length: int, out: int, factor: float | None, align_corners: bool, cubic: bool) -> np.ndarray:
    """Returns weights of a filter that widens where the image shrinks, so that no place is skipped (antialias)."""
    step = _step(length, out, factor, align_corners)
    widen = max(step, 1.0)
    support = (2.0 if cubic else 1.0) * widen
    matrix = np.zeros((length, out))
    for spot in range(out):
        center = step * (spot + 0.5)
        first, last = max(int(center - support + 0.5), 0), min(int(center + support + 0.5), length)
        distance = (np.arange(first, last) - center + 0.5) / widen
        weights = _cubic_weight(distance, -0.5) if cubic else np.maximum(1 - np.abs(distance), 0)
        matrix[first:last, spot] = weights / weights.sum()
    return matrix


@functools.lru_cache(maxsize=64)
def _weights(
    mode: str, length: int, out: int, factor: float | None, align_corners: bool, antialias: bool
) -> np.ndarray:
    if antialias:
        return _smooth(length, out, factor, align_corners, mode == "cubic")
    return (_cubic if mode == "cubic" else _linear)(length, out, factor, align_corners)


# ---- kernels ---------------------------------------------------------------------------------------------------------

Factors = tuple[float | None, ...]


def _upsample(
    F: Any, x: Any, out_size: Shape, mode: str, align_corners: bool, factors: Factors, antialias: bool
) -> Any:
    for axis, (out, factor) in enumerate(zip(out_size, factors, strict=True), 2):
        length = x.shape[axis]
        if mode.startswith("nearest"):
            places = _nearest(length, out, factor, mode == "nearest-exact")
            x = F.take(x, F.host(places, x), axis)
        elif length != out or factor not in (None, 1.0):
            x = along(F, x, axis, _weights(mode, length, out, factor, align_corners, antialias))
    return x


def _upsample_backward(
    F: Any, g: Any, size: Shape, mode: str, align_corners: bool, factors: Factors, antialias: bool
) -> Any:
    for axis, (length, factor) in enumerate(zip(size, factors, strict=True), 2):
        out = g.shape[axis]
        if mode.startswith("nearest"):
            places = _nearest(length, out, factor, mode == "nearest-exact")
            g = F.take_backward(g, F.host(places, g), (*g.shape[:axis], length, *g.shape[axis + 1 :]), axis)
        elif length != out or factor not in (None, 1.0):
            matrix = _weights(mode, length, out, factor, align_corners, antialias)
            g = along(F, g, axis, np.ascontiguousarray(matrix.T))
    return g


def _upsample_rule(
    F: Any, g: Any, input_shape: Shape, mode: str, align_corners: bool, factors: Factors, antialias: bool
) -> Any:
    return F.upsample_backward(g, tuple(input_shape[2:]), mode, align_corners, factors, antialias)


def _upsample_again(
    F: Any, g: Any, g_shape: Shape, mode: str, align_corners: bool, factors: Factors, antialias: bool
) -> Any:
    return F.upsample(g, tuple(g_shape[2:]), mode, align_corners, factors, antialias)


_HOW = ("mode", "align_corners", "factors", "antialias")
_NODES = {
    ("nearest", 3): "UpsampleNearest1D", ("nearest", 4): "UpsampleNearest2D", ("nearest", 5): "UpsampleNearest3D",
    ("nearest-exact", 3): "UpsampleNearestExact1D", ("nearest-exact", 4): "UpsampleNearestExact2D",
    ("nearest-exact", 5): "UpsampleNearestExact3D", ("linear", 3): "UpsampleLinear1D", ("bilinear", 4): "UpsampleBilinear2D",
    ("trilinear", 5): "UpsampleTrilinear3D", ("bicubic", 4): "UpsampleBicubic2D",
}  # fmt: skip
UPSAMPLE = {
    (*key, smooth): Op("upsample", ("input", "out_size", *_HOW), tensors=("input",), forward=_upsample,
                       rules={"input": _upsample_rule}, node=f"{name}{'Aa' if smooth else ''}Backward0")
    for key, name in _NODES.items() for smooth in ((False, True) if key[0].startswith("bi") else (False,))
}  # fmt: skip
Op("upsample_backward", ("g", "size", *_HOW), tensors=("g",), forward=_upsample_backward, rules={"g": _upsample_again})


# ---- interpolate -----------------------------------------------------------------------------------------------------

_MODES = "nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact"


def _samples(make: Any) -> Iterable[Sample]:
    for mode, size in (("nearest", (5,)), ("linear", (5,)), ("nearest", (5, 4)), ("nearest-exact", (5, 4)), ("bilinear", (5, 4)),
                       ("bicubic", (5, 4)), ("nearest", (3, 4, 2)), ("trilinear", (3, 4, 2)), ("area", (5, 4))):  # fmt: skip
        yield Sample(make(2, 2, *size), scale_factor=2, mode=mode)
        yield Sample(make(2, 2, *size), (7, 3, 4)[: len(size)], mode=mode)
    for mode in ("bilinear", "bicubic"):
        yield Sample(make(2, 2, 5, 4), (8, 3), mode=mode, align_corners=True)
        yield Sample(make(2, 2, 5, 4), (3, 6), mode=mode, antialias=True)
    yield Sample(make(2, 2, 5, 4), scale_factor=(1.3, 0.6), mode="bilinear")
    yield Sample(make(2, 2, 5, 4), scale_factor=1.7, mode="bilinear", recompute_scale_factor=True)


def _errors() -> Iterable[Sample]:
    x = np.ones((1, 2, 4, 4), np.float32)
    yield Sample(x, error=(ValueError, "either size or scale_factor should be defined"))
    yield Sample(x, 3, 2, error=(ValueError, "only one of size or scale_factor should be defined"))
    yield Sample(
        x,
        (3, 3, 3),
        error=(ValueError, "Input and output must have the same number of spatial dimensions, but got input"),
    )
    yield Sample(
        x[0, 0, 0], 3, error=(NotImplementedError, "Only 3D, 4D and 5D input Tensors supported (got 1D) for the modes")
    )
    yield Sample(
        x, 3, mode="nearest", align_corners=True, error=(ValueError, "align_corners option can only be set with the")
    )
    yield Sample(
        x[0], 3, mode="bilinear", error=(NotImplementedError, "Got 3D input, but bilinear mode needs 4D input")
    )


def _sizes(spatial: Shape, size: Any, scale_factor: Any, recompute_scale_factor: bool | None) -> tuple[Shape, Factors]:
    """Returns the output size and the factors to compute places with (None where sizes alone count)."""
    count = len(spatial)
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        if not isinstance(size, int) and len(size) != count:
            raise ValueError(
                "Input and output must have the same number of spatial dimensions, but got input with spatial dimensions of "
                f"{list(spatial)} and output size of {size}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and output "
                "size in (o1, o2, ...,oK) format."
            )
        if recompute_scale_factor:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return (size,) * count if isinstance(size, int) else tuple(int(length) for length in size), (None,) * count
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if isinstance(scale_factor, (list, tuple)) and len(scale_factor) != count:
        raise ValueError(
            "Input and scale_factor must have the same number of spatial dimensions, but got input with spatial dimensions of "
            f"{list(spatial)} and scale_factor of shape {scale_factor}. Please provide input tensor in (N, C, d1, d2, ...,dK) format "
            "and scale_factor in (s1, s2, ...,sK) format."
        )
    factors = tuple(scale_factor) if isinstance(scale_factor, (list, tuple)) else (scale_factor,) * count
    out = tuple(math.floor(length * factor) for length, factor in zip(spatial, factors, strict=True))
    return out, (None,) * count if recompute_scale_factor else tuple(float(factor) for factor in factors)


@declare_functional(op=UPSAMPLE["nearest", 4, False], samples=_samples, errors=_errors)
def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Returns (N, C, *space) resized to `size`, or by `scale_factor`.

    `mode`: "nearest", "nearest-exact", "linear" (3D), "bilinear", "bicubic" (4D), "trilinear" (5D), "area".
    """
    if not isinstance(input, Tensor):
        raise argument_error("interpolate", "input", "Tensor", input, 1)
    if mode in ("nearest", "area", "nearest-exact"):
        if align_corners is not None:
            raise ValueError(
                "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
            )
    shape = shape_of(input)
    out, factors = _sizes(shape[2:], size, scale_factor, recompute_scale_factor)
    _check_mode(mode, len(shape), antialias)
    if mode == "area":
        return {3: adaptive_avg_pool1d, 4: adaptive_avg_pool2d, 5: adaptive_avg_pool3d}[len(shape)](input, out)
    if min(out) <= 0 or min(shape[2:]) <= 0:
        names = ("D", "H", "W")[-len(out) :]
        have, want = (
            ", ".join(f"{name}: {length}" for name, length in zip(names, each, strict=True))
            for each in (shape[2:], out)
        )
        raise RuntimeError(f"Input and output sizes should be greater than 0, but got input ({have}) output ({want})")
    kind = "cubic" if mode == "bicubic" else mode if mode.startswith("nearest") else "linear"
    if CASTING and (cast := casting("upsample")) is not None:
        return cast(UPSAMPLE[mode, len(shape), antialias], input, out, kind, bool(align_corners), factors, antialias)
    return UPSAMPLE[mode, len(shape), antialias](input, out, kind, bool(align_corners), factors, antialias)


def _check_mode(mode: str, ndim: int, antialias: bool) -> None:
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and ndim == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
        )
    if mode == "area" and ndim in (3, 4, 5) or (mode, ndim) in _NODES:
        return
    needed = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}.get(mode)
    if needed is not None and ndim in (3, 4, 5) and mode != "bicubic":
        raise NotImplementedError(f"Got {ndim}D input, but {mode} mode needs {needed}D input")
    raise NotImplementedError(
        f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {ndim}D) for the modes: {_MODES} (got {mode})"
    )


def upsample(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Tensor:
    """Returns `interpolate(...)`, under its old name."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


# ---- affine grids ----------------------------------------------------------------------------------------------------


def _base_points(size: Shape, align_corners: bool) -> np.ndarray:
    """Returns homogeneous coordinates in [-1, 1] of every place, x first: (places, dimensions + 1)."""
    lines = []
    for length in size:
        line = np.linspace(-1, 1, length) if length > 1 else np.zeros(1)
        lines.append(line if align_corners else line * (length - 1) / length)
    mesh = np.meshgrid(*lines, indexing="ij")
    return np.stack([*(axis.reshape(-1) for axis in reversed(mesh)), np.ones(math.prod(size))], 1)


def _affine_grid(F: Any, theta: Any, size: Shape, align_corners: bool) -> Any:
    points = F.astype(F.host(_base_points(size, align_corners), theta), F.dtype_of(theta))
    return F.reshape(F.matmul(points, F.permute_dims(theta, (0, 2, 1))), (theta.shape[0], *size, len(size)))


AFFINE_GRID = Op("affine_grid_generator", ("theta", "size", "align_corners"), tensors=("theta",), forward=_affine_grid)


def _grid_errors() -> Iterable[Sample]:
    yield Sample(
        np.ones((1, 2, 4)), (1, 1, 2, 2), error=(ValueError, "Expected a batch of 2D affine matrices of shape Nx2x3")
    )


@declare_functional(
    op=AFFINE_GRID,
    errors=_grid_errors,
    samples=lambda make: [
        Sample(make(2, 2, 3), (2, 3, 4, 5)),
        Sample(make(2, 2, 3), (2, 3, 4, 5), True),
        Sample(make(1, 3, 4), (1, 2, 2, 3, 4), False),
    ],
)
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Returns the points that the affine maps `theta` (N, 2, 3) send an (N, C, H, W) grid to: (N, H, W, 2), x first.

    Three dimensions alike: theta (N, 3, 4), size (N, C, D, H, W).
    """
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
            "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details.",
            stacklevel=2,
        )
    if not theta._kind.dtype.is_floating_point:
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    shape, spatial = shape_of(theta), len(size) - 2
    if len(size) not in (4, 5):
        raise NotImplementedError(
            f"affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got size {size}."
        )
    if len(shape) != 3 or shape[1:] != (spatial, spatial + 1):
        raise ValueError(
            f"Expected a batch of {spatial}D affine matrices of shape Nx{spatial}x{spatial + 1} for size {size}. Got {theta.shape}."
        )
    return AFFINE_GRID(theta, tuple(int(length) for length in size[2:]), bool(align_corners))
