"""Many images as one: grids to look at, and image files (with Pillow)."""

from __future__ import annotations

import math
from typing import Any

import torchplug as torch
from torchplug import Tensor
from torchplug.vision.transforms.functional import to_pil_image

__all__ = ["make_grid", "save_image"]


def make_grid(
    tensor: Any,
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Returns images (N, C, H, W), or a list of (C, H, W), side by side: (3, height, width), `nrow` to a row.

    `normalize` stretches values to 0 ... 1, from `value_range` or from what all images (with `scale_each`: each) have.
    """
    images = _as_batch(tensor)
    if normalize:
        groups = images if scale_each else images[None]
        images = torch.stack([_stretched(group, value_range) for group in groups]).reshape(images.shape)
    count, channels, height, width = images.shape
    if count == 1:
        return images.squeeze(0)
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    height, width = height + padding, width + padding
    grid = images.new_full((channels, height * rows + padding, width * columns + padding), pad_value)
    for place, image in enumerate(images):
        top, left = place // columns * height + padding, place % columns * width + padding
        grid[:, top : top + height - padding, left : left + width - padding] = image
    return grid


def _as_batch(tensor: Any) -> Tensor:
    if isinstance(tensor, list | tuple):
        tensor = torch.stack(list(tensor), 0)
    if not isinstance(tensor, Tensor):
        raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
    if tensor.ndim == 2:
        tensor = tensor.unsqueeze(0)
    if tensor.ndim == 3:
        tensor = tensor.unsqueeze(0)
    return torch.cat((tensor, tensor, tensor), 1) if tensor.shape[1] == 1 else tensor


def _stretched(images: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    low, high = value_range or (float(images.min()), float(images.max()))
    return images.clamp(low, high).sub(low).div(max(high - low, 1e-5))


def save_image(tensor: Any, fp: Any, format: str | None = None, **kwargs: Any) -> None:
    """Writes images as one grid to a file; see `make_grid` for the other arguments. Needs Pillow."""
    grid = make_grid(tensor, **kwargs)
    to_pil_image(grid.mul(255).add(0.5).clamp(0, 255).to(torch.uint8)).save(fp, format=format)
