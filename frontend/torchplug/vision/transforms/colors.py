"""Transforms of the colors of tensor images (..., C, H, W) with one or three channels."""

from __future__ import annotations

from collections.abc import Sequence

import torchplug as torch
from torchplug import Tensor
from torchplug.vision.transforms.images import get_dimensions, largest
from torchplug.vision.transforms.tensors import convert_image_dtype

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "invert",
    "to_gray",
]


def _check_channels(image: Tensor, permitted: Sequence[int] = (1, 3)) -> int:
    channels = get_dimensions(image)[0]
    if channels not in permitted:
        raise TypeError(f"Input image tensor permitted channel values are {list(permitted)}, but found {channels}")
    return channels


def _check_factor(value: float, name: str) -> None:
    if value < 0:
        raise ValueError(f"{name} ({value}) is not non-negative.")


def to_gray(image: Tensor, num_output_channels: int = 1) -> Tensor:
    """Returns the luma of an image (ITU-R 601-2), in one channel or, for an image of three, in three equal ones."""
    if image.ndim < 3:
        raise TypeError(f"Input image tensor should have at least 3 dimensions, but found {image.ndim}")
    channels = _check_channels(image)
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    gray = image.clone()
    if channels == 3:
        red, green, blue = image.unbind(-3)
        gray = (0.2989 * red + 0.587 * green + 0.114 * blue).to(image.dtype).unsqueeze(-3)
    return gray.expand(image.shape) if num_output_channels == 3 else gray


def _blend(image: Tensor, other: Tensor, ratio: float) -> Tensor:
    return (ratio * image + (1.0 - ratio) * other).clamp(0, largest(image.dtype)).to(image.dtype)


def adjust_brightness(image: Tensor, factor: float) -> Tensor:
    _check_factor(factor, "brightness_factor")
    _check_channels(image)
    return _blend(image, torch.zeros_like(image), float(factor))


def adjust_contrast(image: Tensor, factor: float) -> Tensor:
    _check_factor(factor, "contrast_factor")
    gray = to_gray(image) if _check_channels(image) == 3 else image
    mean = gray.to(image.dtype if image.is_floating_point() else torch.float32).mean((-3, -2, -1), keepdim=True)
    return _blend(image, mean, float(factor))


def adjust_saturation(image: Tensor, factor: float) -> Tensor:
    _check_factor(factor, "saturation_factor")
    return image if _check_channels(image) == 1 else _blend(image, to_gray(image), float(factor))


def adjust_gamma(image: Tensor, gamma: float, gain: float = 1) -> Tensor:
    _check_channels(image)
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    values = image if image.is_floating_point() else convert_image_dtype(image, torch.float32)
    return convert_image_dtype((gain * values.pow(gamma)).clamp(0, 1), image.dtype)


def invert(image: Tensor) -> Tensor:
    _check_channels(image)
    return largest(image.dtype) - image


def adjust_hue(image: Tensor, factor: float) -> Tensor:
    if not -0.5 <= factor <= 0.5:
        raise ValueError(f"hue_factor ({factor}) is not in [-0.5, 0.5].")
    if _check_channels(image) == 1:
        return image
    hue, saturation, value = _to_hsv(convert_image_dtype(image, torch.float32))
    return convert_image_dtype(_from_hsv((hue + factor) % 1.0, saturation, value), image.dtype)


def _to_hsv(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue, saturation and value, each from 0 to 1 (Smith 1978)."""
    red, green, blue = image.unbind(-3)
    high, low = image.amax(-3), image.amin(-3)
    gray = high == low
    spread = torch.where(gray, torch.ones_like(high), high - low)
    saturation = (high - low) / torch.where(gray, torch.ones_like(high), high)
    to_red, to_green, to_blue = ((high - color) / spread for color in (red, green, blue))
    sector = torch.where(
        high == red,
        to_blue - to_green,
        torch.where(high == green, 2.0 + to_red - to_blue, 4.0 + to_green - to_red),
    )
    return torch.fmod(sector / 6.0 + 1.0, 1.0), saturation, high


def _from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    sector = torch.floor(hue * 6.0)
    rest = hue * 6.0 - sector
    sector = sector.to(torch.int64) % 6
    low = (value * (1.0 - saturation)).clamp(0.0, 1.0)
    falling = (value * (1.0 - saturation * rest)).clamp(0.0, 1.0)
    rising = (value * (1.0 - saturation * (1.0 - rest))).clamp(0.0, 1.0)
    columns = (
        (value, falling, low, low, rising, value),
        (rising, value, value, falling, low, low),
        (low, low, rising, value, value, falling),
    )
    chosen = [torch.stack(column, -1).gather(-1, sector.unsqueeze(-1)).squeeze(-1) for column in columns]
    return torch.stack(chosen, -3)
