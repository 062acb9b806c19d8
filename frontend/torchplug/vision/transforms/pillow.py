"""Transforms of Pillow images, by Pillow itself; imported only where there is such an image."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from torchplug.vision.transforms.images import InterpolationMode, as_mode
from torchplug.vision.transforms.tensors import sides

__all__ = ["adjust_hue", "affine", "crop", "enhance", "hflip", "pad", "resize", "rotate", "to_gray", "vflip"]

_RESAMPLING = {
    InterpolationMode.NEAREST: Image.Resampling.NEAREST,
    InterpolationMode.NEAREST_EXACT: Image.Resampling.NEAREST,
    InterpolationMode.BILINEAR: Image.Resampling.BILINEAR,
    InterpolationMode.BICUBIC: Image.Resampling.BICUBIC,
    InterpolationMode.BOX: Image.Resampling.BOX,
    InterpolationMode.HAMMING: Image.Resampling.HAMMING,
    InterpolationMode.LANCZOS: Image.Resampling.LANCZOS,
}


def hflip(image: Any) -> Any:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def vflip(image: Any) -> Any:
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)


def crop(image: Any, top: int, left: int, height: int, width: int) -> Any:
    return image.crop((left, top, left + width, top + height))


def resize(image: Any, size: Sequence[int], interpolation: Any, antialias: bool | None = True) -> Any:
    if antialias is False:
        warnings.warn(
            "Anti-alias option is always applied for PIL Image input. Argument antialias is ignored.", stacklevel=4
        )
    return image.resize((size[1], size[0]), _RESAMPLING[as_mode(interpolation)])


def pad(image: Any, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant") -> Any:
    left, top, right, bottom = sides(padding)
    if padding_mode == "constant":
        return ImageOps.expand(image, (left, top, right, bottom), fill=_band_values(image, fill) if fill else 0)
    if padding_mode not in ("edge", "reflect", "symmetric"):
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    values = np.asarray(image)
    widths = ((top, bottom), (left, right), (0, 0))[: values.ndim]
    return Image.fromarray(np.pad(values, widths, mode=padding_mode))  # type: ignore[call-overload]  # a mode of NumPy's


def _band_values(image: Any, fill: Any) -> Any:
    """A fill color with one number per band, as Pillow wants it."""
    bands = len(image.getbands())
    values = (fill,) if isinstance(fill, numbers.Number) else tuple(fill)
    if image.mode != "F":
        values = tuple(int(value) for value in values)
    if len(values) == 1:
        values *= bands
    if len(values) != bands:
        raise ValueError(
            "The number of elements in 'fill' does not match the number of channels of the image "
            f"({len(values)} != {bands})"
        )
    return values if bands > 1 else values[0]


def rotate(image: Any, angle: float, interpolation: Any, expand: bool, center: Any, fill: Any) -> Any:
    color = None if fill is None else _band_values(image, fill)
    return image.rotate(angle, _RESAMPLING[as_mode(interpolation)], expand, center, fillcolor=color)


def affine(image: Any, matrix: Sequence[float], interpolation: Any, fill: Any) -> Any:
    color = None if fill is None else _band_values(image, fill)
    resampling = _RESAMPLING[as_mode(interpolation)]
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resampling, fillcolor=color)


def to_gray(image: Any, num_output_channels: int = 1) -> Any:
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    gray = image.convert("L")
    return gray if num_output_channels == 1 else Image.merge("RGB", (gray, gray, gray))


def enhance(image: Any, what: str, factor: float) -> Any:
    """Returns the image with "Brightness", "Contrast" or "Color" (saturation) times a factor."""
    return getattr(ImageEnhance, what)(image).enhance(factor)


def adjust_hue(image: Any, factor: float) -> Any:
    if not -0.5 <= factor <= 0.5:
        raise ValueError(f"hue_factor ({factor}) is not in [-0.5, 0.5].")
    if image.mode in ("L", "1", "I", "F"):
        return image
    hue, saturation, value = image.convert("HSV").split()
    turned = (np.asarray(hue).astype(np.int32) + int(factor * 255)).astype(np.uint8)  # wraps round at 256
    return Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert(image.mode)


def invert(image: Any) -> Any:
    return ImageOps.invert(image)


def gamma(image: Any, exponent: float, gain: float) -> Any:
    table = [int((255 + 1 - 1e-3) * gain * (value / 255.0) ** exponent) for value in range(256)]
    return image.convert("RGB" if image.mode == "RGBA" else image.mode).point(table * len(image.getbands()))
