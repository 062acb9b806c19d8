"""Transforms as functions, for tensors (..., C, H, W), arrays (H, W[, C]) and Pillow images; random choices are yours."""

from __future__ import annotations

import importlib
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

import torchplug as torch
from torchplug import Tensor
from torchplug.vision.transforms import colors, tensors
from torchplug.vision.transforms.images import (
    InterpolationMode,
    as_mode,
    by_kind,
    get_dimensions,
    get_image_num_channels,
    get_image_size,
    is_pil,
)

__all__ = [
    "InterpolationMode", "adjust_brightness", "adjust_contrast", "adjust_gamma", "adjust_hue", "adjust_saturation", "affine",
    "center_crop", "convert_image_dtype", "crop", "erase", "five_crop", "get_dimensions", "get_image_num_channels",
    "get_image_size", "hflip", "invert", "normalize", "pad", "pil_to_tensor", "resize", "resized_crop", "rgb_to_grayscale",
    "rotate", "ten_crop", "to_grayscale", "to_pil_image", "to_tensor", "vflip",
]  # fmt: skip


def _pillow() -> Any:
    return importlib.import_module("torchplug.vision.transforms.pillow")


# ---- from one kind of image to another -------------------------------------------------------------------------------


def to_tensor(pic: Any) -> Tensor:
    """Returns a Pillow image or an array (H, W[, C]) as a tensor (C, H, W); uint8 becomes floats from 0 to 1."""
    if is_pil(pic):
        pic = _pixels(pic)
    elif not isinstance(pic, np.ndarray):
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    if pic.ndim not in (2, 3):
        raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
    planes = pic[None] if pic.ndim == 2 else pic.transpose(2, 0, 1)
    image = torch.from_numpy(np.array(planes, order="C"))
    return image.to(torch.get_default_dtype()).div(255) if image.dtype is torch.uint8 else image


_PIXEL_TYPES = {"I": np.int32, "I;16": np.int16, "I;16B": np.int16, "F": np.float32}


def _pixels(image: Any) -> np.ndarray:
    values = np.array(image, _PIXEL_TYPES.get(image.mode, np.uint8))
    return 255 * values if image.mode == "1" else values


def pil_to_tensor(pic: Any) -> Tensor:
    """Returns a Pillow image as a tensor (C, H, W) of its own element type."""
    if not is_pil(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    values = np.array(pic)
    return torch.from_numpy(np.array(values[None] if values.ndim == 2 else values.transpose(2, 0, 1), order="C"))


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """Returns a tensor (C, H, W) or array (H, W[, C]) as a Pillow image; needs Pillow. Floats are taken from 0 to 1."""
    if isinstance(pic, Tensor):
        pic = pic.permute(1, 2, 0).numpy(force=True) if pic.ndim == 3 else pic.numpy(force=True)
    elif not isinstance(pic, np.ndarray):
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    if pic.ndim not in (2, 3):
        raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
    channels = 1 if pic.ndim == 2 else pic.shape[2]
    if channels > 4:
        raise ValueError(f"pic should not have > 4 channels. Got {channels} channels.")
    if np.issubdtype(pic.dtype, np.floating) and mode != "F":
        pic = (pic * 255).astype(np.uint8)
    if channels == 1:
        pic = pic.reshape(pic.shape[:2])
    image = importlib.import_module("PIL.Image").fromarray(np.ascontiguousarray(pic))
    return image if mode in (None, image.mode) else _relabelled(image, mode, channels)


_MODES = {1: (), 2: ("LA",), 3: ("RGB", "YCbCr", "HSV"), 4: ("RGBA", "CMYK", "RGBX")}


def _relabelled(image: Any, mode: str | None, channels: int) -> Any:
    if mode not in _MODES[channels]:
        raise ValueError(
            f"Only modes {list(_MODES[channels]) or [image.mode]} are supported for inputs of {channels} channels"
        )
    return importlib.import_module("PIL.Image").merge(mode, image.split())


def convert_image_dtype(image: Tensor, dtype: Any = torch.float32) -> Tensor:
    """Returns a tensor image in another dtype, scaled so that white stays white."""
    if not isinstance(image, Tensor):
        raise TypeError("Input img should be Tensor Image")
    return tensors.convert_image_dtype(image, dtype)


def normalize(tensor: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """Returns (tensor - mean) / std, channel by channel, of a float image (..., C, H, W)."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    return tensors.normalize(tensor, mean, std, inplace)


# ---- geometry --------------------------------------------------------------------------------------------------------


def hflip(img: Any) -> Any:
    """Returns the image mirrored left to right."""
    return by_kind(img, tensors.hflip, lambda image: _pillow().hflip(image))


def vflip(img: Any) -> Any:
    """Returns the image mirrored top to bottom."""
    return by_kind(img, tensors.vflip, lambda image: _pillow().vflip(image))


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """Returns a rectangle of the image; what of it lies outside is black."""
    box = (top, left, height, width)
    return by_kind(img, lambda image: tensors.crop(image, *box), lambda image: _pillow().crop(image, *box))


def pad(img: Any, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant") -> Any:
    """Returns the image with a border: one width, (left and right, top and bottom) or (left, top, right, bottom).

    `padding_mode`: "constant" (`fill`), "edge", "reflect" (without the edge) or "symmetric" (with it).
    """
    rest = (padding, fill, padding_mode)
    return by_kind(img, lambda image: tensors.pad(image, *rest), lambda image: _pillow().pad(image, *rest))


def center_crop(img: Any, output_size: Any) -> Any:
    """Returns the middle of the image, (height, width) or a square; a smaller image gets a black border."""
    height, width = _pair(output_size)
    _, have_height, have_width = get_dimensions(img)
    more_height, more_width = max(height - have_height, 0), max(width - have_width, 0)
    if more_height or more_width:
        img = pad(img, [more_width // 2, more_height // 2, (more_width + 1) // 2, (more_height + 1) // 2])
        _, have_height, have_width = get_dimensions(img)
        if (have_height, have_width) == (height, width):
            return img
    return crop(img, round((have_height - height) / 2), round((have_width - width) / 2), height, width)


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, numbers.Real):
        return int(size), int(size)  # type: ignore[call-overload]
    return (size[0], size[0]) if len(size) == 1 else (size[0], size[1])


def resized_size(height: int, width: int, size: Sequence[int], max_size: int | None = None) -> tuple[int, int]:
    """Returns the (height, width) that `resize` gives an image: `size` itself, or the shorter side `size[0]` long."""
    if len(size) == 2:
        return size[0], size[1]
    short, long = min(height, width), max(height, width)
    new_short, new_long = size[0], int(size[0] * long / short)
    if max_size is not None:
        if max_size <= size[0]:
            raise ValueError(
                f"max_size = {max_size} must be strictly greater than the requested "
                f"size for the smaller edge size = {list(size)}"
            )
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if width <= height else (new_short, new_long)


def resize(
    img: Any,
    size: int | Sequence[int],
    interpolation: Any = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """Returns the image at another size: (height, width), or the length of its shorter side.

    With `antialias`, bilinear and bicubic shrinking averages over all pixels that become one.
    """
    mode = as_mode(interpolation)
    wanted = [size] if isinstance(size, int) else list(size)
    if len(wanted) not in (1, 2):
        raise ValueError(f"Size must be an int or a 1 or 2 element tuple/list, not a {len(wanted)} element tuple/list")
    if max_size is not None and len(wanted) != 1:
        raise ValueError("max_size should only be passed if size specifies the length of the smaller edge.")
    _, height, width = get_dimensions(img)
    target = resized_size(height, width, wanted, max_size)
    if target == (height, width):
        return img
    return by_kind(
        img,
        lambda image: tensors.resize(image, target, mode.value, antialias),
        lambda image: _pillow().resize(image, target, mode, antialias),
    )


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """Returns a rectangle of the image at another size."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def five_crop(img: Any, size: Any) -> tuple[Any, ...]:
    """Returns the four corners (top left, top right, bottom left, bottom right) and the middle of the image."""
    height, width = _pair(size)
    _, have_height, have_width = get_dimensions(img)
    if height > have_height or width > have_width:
        raise ValueError(f"Requested crop size {(height, width)} is bigger than input size {(have_height, have_width)}")
    bottom, right = have_height - height, have_width - width
    corners = [crop(img, top, left, height, width) for top in (0, bottom) for left in (0, right)]
    return (*corners, center_crop(img, (height, width)))


def ten_crop(img: Any, size: Any, vertical_flip: bool = False) -> tuple[Any, ...]:
    """Returns `five_crop` of the image and of its mirror image."""
    return five_crop(img, size) + five_crop((vflip if vertical_flip else hflip)(img), size)


def rotate(
    img: Any,
    angle: float,
    interpolation: Any = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[int] | None = None,
    fill: Any = None,
) -> Any:
    """Returns the image turned counter-clockwise by an angle in degrees; corners without a pixel are `fill`, or black."""
    mode = as_mode(interpolation)
    if not isinstance(angle, int | float):
        raise TypeError("Argument angle should be int or float")
    if center is not None and not isinstance(center, list | tuple):
        raise TypeError("Argument center should be a sequence")
    matrix = tensors.inverse_affine_matrix(_from_middle(img, center), -angle, (0.0, 0.0), 1.0, (0.0, 0.0))
    return by_kind(
        img,
        lambda image: tensors.rotate(image, matrix, mode.value, expand, fill),
        lambda image: _pillow().rotate(image, angle, mode, expand, center, fill),
    )


def _from_middle(img: Any, center: Sequence[float] | None) -> list[float]:
    if center is None:
        return [0.0, 0.0]
    return [place - size * 0.5 for place, size in zip(center, get_image_size(img), strict=True)]


def affine(
    img: Any,
    angle: float,
    translate: Sequence[int],
    scale: float,
    shear: float | Sequence[float],
    interpolation: Any = InterpolationMode.NEAREST,
    fill: Any = None,
    center: Sequence[int] | None = None,
) -> Any:
    """Returns the image sheared (degrees), scaled, turned clockwise (degrees) and moved (pixels)."""
    mode = as_mode(interpolation)
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    bent = [shear, 0.0] if isinstance(shear, int | float) else [shear[0], shear[1] if len(shear) > 1 else 0.0]
    width, height = get_image_size(img)
    middle = [0.5 * width, 0.5 * height] if center is None else list(center)
    return by_kind(
        img,
        lambda image: tensors.affine(
            image,
            tensors.inverse_affine_matrix(_from_middle(img, center), angle, translate, scale, bent),
            mode.value,
            fill,
        ),
        lambda image: _pillow().affine(
            image, tensors.inverse_affine_matrix(middle, angle, translate, scale, bent), mode, fill
        ),
    )


def erase(img: Any, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Any:
    """Returns the image with `v` in the rectangle of height h and width w whose top left corner is (i, j)."""

    def on_tensor(image: Tensor) -> Tensor:
        out = image if inplace else image.clone()
        out[..., i : i + h, j : j + w] = v
        return out

    if is_pil(img):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
    return by_kind(img, on_tensor, lambda image: image)


# ---- colors ----------------------------------------------------------------------------------------------------------


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """Returns the image in gray, in one channel or three equal ones."""
    return by_kind(
        img,
        lambda image: colors.to_gray(image, num_output_channels),
        lambda image: _pillow().to_gray(image, num_output_channels),
    )


def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """Returns a Pillow image in gray, in one channel or three equal ones."""
    if not is_pil(img):
        raise TypeError("Input should be PIL Image")
    return _pillow().to_gray(img, num_output_channels)


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """Returns the image with its brightness times a factor."""
    return _adjusted(img, colors.adjust_brightness, "Brightness", brightness_factor)


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """Returns the image with the distance of its pixels from mean gray times a factor."""
    return _adjusted(img, colors.adjust_contrast, "Contrast", contrast_factor)


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """Returns the image with the distance of its colors from gray times a factor."""
    return _adjusted(img, colors.adjust_saturation, "Color", saturation_factor)


def _adjusted(img: Any, on_tensor: Any, enhancer: str, factor: float) -> Any:
    return by_kind(
        img, lambda image: on_tensor(image, factor), lambda image: _pillow().enhance(image, enhancer, factor)
    )


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """Returns the image with its hues turned by a part of the circle, from -0.5 to 0.5."""
    return by_kind(
        img, lambda image: colors.adjust_hue(image, hue_factor), lambda image: _pillow().adjust_hue(image, hue_factor)
    )


def adjust_gamma(img: Any, gamma: float, gain: float = 1) -> Any:
    """Returns gain * image ** gamma, on the scale from 0 to 1."""
    return by_kind(
        img, lambda image: colors.adjust_gamma(image, gamma, gain), lambda image: _pillow().gamma(image, gamma, gain)
    )


def invert(img: Any) -> Any:
    """Returns the negative of the image."""
    return by_kind(img, colors.invert, lambda image: _pillow().invert(image))
