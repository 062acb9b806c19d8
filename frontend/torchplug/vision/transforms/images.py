"""What counts as an image: a tensor (..., C, H, W), an array (H, W) or (H, W, C), a Pillow image where Pillow is installed."""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import torchplug as torch
from torchplug import Tensor
from torchplug._core.kind import engine_for
from torchplug._core.tensor import wrap
from torchplug_spec import dtypes as dt

__all__ = [
    "InterpolationMode",
    "array_as_tensor",
    "by_kind",
    "get_dimensions",
    "get_image_num_channels",
    "get_image_size",
    "is_pil",
    "tensor_as_array",
]


class InterpolationMode(enum.Enum):
    """How pixels between pixels are found; the last three are Pillow's."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_BY_NUMBER = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")


def as_mode(interpolation: Any) -> InterpolationMode:
    """Returns an interpolation given as InterpolationMode or as Pillow's number. Raises TypeError for anything else."""
    if isinstance(interpolation, InterpolationMode):
        return interpolation
    if isinstance(interpolation, int) and 0 <= interpolation < len(_BY_NUMBER):
        return InterpolationMode(_BY_NUMBER[interpolation])
    raise TypeError("Argument interpolation should be a InterpolationMode or a corresponding Pillow integer constant")


def is_pil(image: Any) -> bool:
    """Says whether an object is a Pillow image; Pillow is not imported for it."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(image, pillow.Image)


def array_as_tensor(image: np.ndarray) -> Tensor:
    """Returns an array (H, W) or (H, W, C) as a tensor (C, H, W) of the numpy backend, on the same memory."""
    if image.ndim not in (2, 3):
        raise ValueError(f"pic should be 2/3 dimensional. Got {image.ndim} dimensions.")
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    kind = engine_for("numpy").kind(dt.from_numpy_dtype(planes.dtype))
    return wrap(planes, kind)


def tensor_as_array(image: Tensor, ndim: int) -> np.ndarray:
    """Returns a tensor (C, H, W) as an array (H, W, C), or (H, W) for ndim 2 and one channel."""
    planes = image.detach().cpu().numpy()
    return planes[0] if ndim == 2 and len(planes) == 1 else planes.transpose(1, 2, 0)


def by_kind(image: Any, on_tensor: Callable[[Tensor], Tensor], on_pil: Callable[[Any], Any]) -> Any:
    """Returns the image changed by the function for its kind; arrays go through the function for tensors and back.

    Raises TypeError for what is no image.
    """
    if isinstance(image, Tensor):
        if image.ndim < 2:
            raise TypeError("Tensor is not a torch image.")
        return on_tensor(image)
    if isinstance(image, np.ndarray):
        return tensor_as_array(on_tensor(array_as_tensor(image)), image.ndim)
    if is_pil(image):
        return on_pil(image)
    raise TypeError(f"got {type(image)}, expected a tensor, an array or a Pillow image")


def get_dimensions(image: Any) -> list[int]:
    """Returns [channels, height, width]."""
    if isinstance(image, Tensor):
        channels = 1 if image.ndim == 2 else image.shape[-3]
        return [channels, image.shape[-2], image.shape[-1]]
    if isinstance(image, np.ndarray):
        return [1 if image.ndim == 2 else image.shape[2], image.shape[0], image.shape[1]]
    if is_pil(image):
        return [len(image.getbands()), image.height, image.width]
    raise TypeError(f"Unexpected type {type(image)}")


def get_image_size(image: Any) -> list[int]:
    """Returns [width, height]."""
    _, height, width = get_dimensions(image)
    return [width, height]


def get_image_num_channels(image: Any) -> int:
    """Returns the number of channels."""
    return get_dimensions(image)[0]


def is_floating(dtype: Any) -> bool:
    """Says whether a dtype is one of numbers between 0 and 1, for an image."""
    return bool(dtype.is_floating_point)


def largest(dtype: Any) -> int:
    """Returns the value of white in an image of a dtype: 1 for floats, the largest number for integers."""
    return 1 if is_floating(dtype) or dtype is torch.bool else torch.iinfo(dtype).max
