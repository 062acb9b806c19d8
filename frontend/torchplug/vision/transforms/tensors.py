"""Transforms of tensor images (..., C, H, W): torchvision's results, any number of leading dimensions where it allows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import torchplug as torch
import torchplug.nn.functional as F
from torchplug import Tensor
from torchplug.vision.transforms.images import get_dimensions, largest

__all__ = ["affine", "convert_image_dtype", "crop", "hflip", "normalize", "pad", "resize", "rotate", "vflip"]


def hflip(image: Tensor) -> Tensor:
    return image.flip(-1)


def vflip(image: Tensor) -> Tensor:
    return image.flip(-2)


def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    _, have_height, have_width = get_dimensions(image)
    bottom, right = top + height, left + width
    inside = image[..., max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if left >= 0 and top >= 0 and right <= have_width and bottom <= have_height:
        return inside
    # What lies outside of the image is black.
    before = (max(min(right, 0) - left, 0), max(min(bottom, 0) - top, 0))
    after = (max(right - max(have_width, left), 0), max(bottom - max(have_height, top), 0))
    return pad(inside, (*before, *after))


def sides(padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """Returns (left, top, right, bottom) of a padding given as one, two (horizontal, vertical) or four numbers."""
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if not isinstance(padding, list | tuple):
        raise TypeError("Got inappropriate padding arg")
    if len(padding) not in (1, 2, 4):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple")
    return tuple(padding) * (4 // len(padding))  # four numbers by the line above


def pad(image: Tensor, padding: int | Sequence[int], fill: float | None = 0, padding_mode: str = "constant") -> Tensor:
    left, top, right, bottom = sides(padding)
    if not isinstance(fill, int | float | None):
        raise TypeError("Got inappropriate fill arg")
    if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    if padding_mode == "constant":
        return F.pad(image, (left, right, top, bottom), value=float(fill or 0))
    _, height, width = get_dimensions(image)
    rows, columns = _mirrored(height, top, bottom, padding_mode), _mirrored(width, left, right, padding_mode)
    return image.index_select(-2, rows.to(image.device)).index_select(-1, columns.to(image.device))


def _mirrored(length: int, before: int, after: int, mode: str) -> Tensor:
    """The indices along one dimension of an image padded with itself; a negative padding cuts off."""
    if mode == "reflect" and max(before, after) >= length:
        raise RuntimeError(
            "Padding size should be less than the corresponding input dimension, "
            f"but got: padding ({before}, {after}) at a dimension of size {length}"
        )
    names = {"edge": "edge", "reflect": "reflect", "symmetric": "symmetric"}
    places = np.pad(np.arange(length), (max(before, 0), max(after, 0)), mode=names[mode])  # type: ignore[call-overload]
    return torch.from_numpy(places[max(-before, 0) : len(places) - max(-after, 0)].copy())


def resize(
    image: Tensor, size: Sequence[int], interpolation: str = "bilinear", antialias: bool | None = True
) -> Tensor:
    smooth = interpolation in ("bilinear", "bicubic")
    if not smooth and interpolation not in ("nearest", "nearest-exact"):
        raise ValueError(f"This interpolation mode is unsupported with Tensor input: {interpolation}")
    values, shape = _as_batch(image, (torch.float32, torch.float64))
    values = F.interpolate(
        values,
        size=tuple(size),
        mode=interpolation,
        align_corners=False if smooth else None,
        antialias=bool(antialias) and smooth,
    )
    if interpolation == "bicubic" and image.dtype is torch.uint8:
        values = values.clamp(0, 255)
    return _from_batch(values, shape, image.dtype)


def _as_batch(image: Tensor, dtypes: Sequence[Any]) -> tuple[Tensor, tuple[int, ...]]:
    """The image as (N, C, H, W) in one of the dtypes, the first unless it is in another; and its leading dimensions."""
    _, height, width = get_dimensions(image)
    lead = tuple(image.shape[:-2])
    channels = lead[-1] if lead else 1
    values = image.reshape(-1, channels, height, width)
    return (values if image.dtype in dtypes else values.to(dtypes[0])), lead


def _from_batch(values: Tensor, lead: tuple[int, ...], dtype: Any) -> Tensor:
    values = values.reshape(*lead, *values.shape[-2:])
    if values.dtype is dtype:
        return values
    return (values if dtype.is_floating_point else values.round()).to(dtype)


def rotate(image: Tensor, matrix: Sequence[float], interpolation: str, expand: bool, fill: Any) -> Tensor:
    _, height, width = get_dimensions(image)
    size = _bounds(matrix, height, width) if expand else (height, width)
    return affine(image, matrix, interpolation, fill, size)


def _bounds(matrix: Sequence[float], height: int, width: int) -> tuple[int, int]:
    """The (height, width) that holds all of a turned image."""
    corners = np.array([[x * width, y * height, 1.0] for x in (-0.5, 0.5) for y in (-0.5, 0.5)], np.float32)
    turned = corners @ np.array(matrix, np.float32).reshape(2, 3).T + np.array([width, height], np.float32) * 0.5
    # Places within 1e-4 of a pixel's edge are on it.
    low, high = (np.trunc(edge / 1e-4) * 1e-4 for edge in (turned.min(0), turned.max(0)))
    columns, rows = np.ceil(high) - np.floor(low)
    return int(rows), int(columns)


def affine(
    image: Tensor, matrix: Sequence[float], interpolation: str, fill: Any, size: tuple[int, int] | None = None
) -> Tensor:
    """Returns the image read at `matrix` (2 x 3, around the middle, in pixels) times the places of the result."""
    if interpolation not in ("nearest", "bilinear"):
        raise ValueError(f"Resampling mode '{interpolation}' is unsupported with Tensor input")
    values, lead = _as_batch(image, (image.dtype if image.is_floating_point() else torch.float32,))
    grid = _grid(matrix, size or tuple(image.shape[-2:]), tuple(image.shape[-2:]), values)
    if fill is None:
        values = F.grid_sample(values, grid, interpolation, "zeros", align_corners=False)
        return _from_batch(values, lead, image.dtype)
    # A channel of ones tells afterwards how much of each pixel came from inside of the image.
    values = F.grid_sample(torch.cat((values, torch.ones_like(values[:, :1])), 1), grid, interpolation, "zeros", False)
    inside, values = values[:, -1:], values[:, :-1]
    outside = torch.tensor(
        list(fill) if isinstance(fill, list | tuple) else [fill], dtype=values.dtype, device=image.device
    )
    outside = outside.reshape(1, -1, 1, 1)
    if interpolation == "nearest":
        values = torch.where(inside < 0.5, outside, values)
    else:
        values = values * inside + (1.0 - inside) * outside
    return _from_batch(values, lead, image.dtype)


def _grid(matrix: Sequence[float], size: tuple[int, ...], source: tuple[int, ...], like: Tensor) -> Tensor:
    """The places grid_sample reads, from -1 to 1 over the source, for a result of the given size; (N, H, W, 2)."""
    height, width = size
    on: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
    x = torch.linspace(-width * 0.5 + 0.5, width * 0.5 - 0.5, width, **on).expand(height, width)
    y = torch.linspace(-height * 0.5 + 0.5, height * 0.5 - 0.5, height, **on)[:, None].expand(height, width)
    theta = torch.tensor(list(matrix), **on).reshape(2, 3).t() / torch.tensor([0.5 * source[1], 0.5 * source[0]], **on)
    places = torch.stack((x, y, torch.ones(size, **on)), -1).reshape(-1, 3)
    return (places @ theta).reshape(1, height, width, 2).expand(like.shape[0], height, width, 2)


def convert_image_dtype(image: Tensor, dtype: Any = torch.float32) -> Tensor:
    """Returns the image in another dtype, white staying white. Raises RuntimeError where a float cannot count that far."""
    if image.dtype is dtype:
        return image
    if image.is_floating_point():
        if dtype.is_floating_point:
            return image.to(dtype)
        if (image.dtype, dtype) in _UNSAFE:
            raise RuntimeError(f"The cast from {image.dtype} to {dtype} cannot be performed safely.")
        # Just short of max + 1: every integer gets an equal share of the numbers between 0 and 1.
        return image.mul(largest(dtype) + 1.0 - 1e-3).to(dtype)
    if dtype.is_floating_point:
        return image.to(dtype) / float(largest(image.dtype))
    have, want = largest(image.dtype) + 1, largest(dtype) + 1
    if have > want:
        return torch.div(image, have // want, rounding_mode="floor").to(dtype)
    return image.to(dtype) * (want // have)


_UNSAFE = (
    (torch.float32, torch.int32),
    (torch.float32, torch.int64),
    (torch.float64, torch.int64),
)


def normalize(image: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """Returns (image - mean) / std per channel."""
    if not image.is_floating_point():
        raise TypeError(f"Input tensor should be a float tensor. Got {image.dtype}.")
    if image.ndim < 3:
        raise ValueError(
            f"Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {image.size()}"
        )
    mean, std = (torch.as_tensor(value, dtype=image.dtype, device=image.device) for value in (mean, std))
    if (std == 0).any():
        raise ValueError(f"std evaluated to zero after conversion to {image.dtype}, leading to division by zero.")
    mean, std = (value.reshape(-1, 1, 1) if value.ndim == 1 else value for value in (mean, std))
    return image.sub_(mean).div_(std) if inplace else image.sub(mean).div_(std)


def inverse_affine_matrix(
    center: Sequence[float], angle: float, translate: Sequence[float], scale: float, shear: Sequence[float]
) -> list[float]:
    """Returns, row by row, the matrix that takes a place of the result to the place of the source it shows.

    The source is sheared, scaled and turned by `angle` (degrees) around `center`, then moved.
    """
    turn, shear_x, shear_y = (math.radians(degrees) for degrees in (angle, *shear))
    (center_x, center_y), (move_x, move_y) = center, translate
    a = math.cos(turn - shear_y) / math.cos(shear_y)
    b = -a * math.tan(shear_x) - math.sin(turn)
    c = math.sin(turn - shear_y) / math.cos(shear_y)
    d = -c * math.tan(shear_x) + math.cos(turn)
    # The inverse of [[a, b], [c, d]], whose determinant is 1.
    a, b, c, d = d / scale, -b / scale, -c / scale, a / scale
    x, y = -center_x - move_x, -center_y - move_y
    return [a, b, a * x + b * y + center_x, c, d, c * x + d * y + center_y]
