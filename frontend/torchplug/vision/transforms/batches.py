"""Whole batches through a transform at once: the same images, and the same draws, as one by one.

Every image of a batch has one size, so what a random transform draws for it is known before any image is touched: the
draws are made image by image, transform by transform, in the order of the loop; then each transform runs once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import torchplug as torch
from torchplug import Tensor
from torchplug._core.kind import engine_for
from torchplug._core.tensor import wrap
from torchplug.vision.transforms import draws
from torchplug.vision.transforms import functional as F
from torchplug.vision.transforms import transforms as T
from torchplug_spec import dtypes as dt

__all__ = ["transformed"]

Size = tuple[int, int]


class _Step(NamedTuple):
    """How a batch (N, C, H, W) takes a transform: the size it gives, its draw for one image, and the act itself."""

    act: Callable[[Any, Tensor, list[Any]], Tensor]
    size: Callable[[Any, Size], Size] = lambda transform, size: size
    draw: Callable[[Any, Size], Any] | None = None
    before: bool = True
    """Whether it takes images that are not tensors yet (before ToTensor)."""
    after: bool = True
    """Whether it takes tensors."""


def transformed(transform: Any, images: np.ndarray, pil: bool) -> Any:
    """Returns images (N, H, W) or (N, H, W, C), each transformed and all collated; NotImplemented where one by one is due.

    `pil` says that single images would be Pillow images.
    """
    if transform is None:
        return NotImplemented if pil else torch.from_numpy(images)
    transforms = _flat(transform)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not _all_known(transforms, pil):
        return NotImplemented
    planes = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    drawn = _draw_all(transforms, len(images), (planes.shape[2], planes.shape[3]))
    batch = wrap(planes, engine_for("numpy").kind(dt.uint8))
    for transform, choices in zip(transforms, drawn, strict=True):
        batch = _STEPS[type(transform)].act(transform, batch, choices)
    return batch


def _flat(transform: Any) -> list[Any]:
    if type(transform) is not T.Compose:
        return [transform]
    return [inner for part in transform.transforms for inner in _flat(part)]


def _all_known(transforms: list[Any], pil: bool) -> bool:
    """Whether every transform has a step, and ToTensor stands where it must."""
    is_tensor = False
    for transform in transforms:
        step = _STEPS.get(type(transform))
        if step is None or not (step.after if is_tensor else step.before):
            return False
        if pil and not is_tensor and isinstance(transform, T.Resize):
            return False  # Pillow rounds in its own way
        is_tensor = is_tensor or isinstance(transform, T.ToTensor)
    return is_tensor


def _draw_all(transforms: list[Any], count: int, size: Size) -> list[list[Any]]:
    drawn: list[list[Any]] = [[] for _ in transforms]
    plan = []
    for place, transform in enumerate(transforms):
        step = _STEPS[type(transform)]
        if step.draw is not None:
            plan.append((step.draw, transform, size, drawn[place]))
        size = step.size(transform, size)
    if len(plan) == 1 and type(plan[0][1]) in _FLIPS:
        _, flip, _, choices = plan[0]
        choices.extend(draws.chances(count, flip.p))
        return drawn
    for _ in range(count if plan else 0):
        for draw, transform, size, choices in plan:
            choices.append(draw(transform, size))
    return drawn


def _flip(along: int) -> Callable[[Any, Tensor, list[Any]], Tensor]:
    def act(transform: Any, batch: Tensor, choices: list[Any]) -> Tensor:
        chosen = torch.tensor(choices, device=batch.device).reshape(-1, 1, 1, 1)
        return torch.where(chosen, batch.flip(along), batch)

    return act


def _cut(transform: T.RandomCrop, batch: Tensor, choices: list[Any]) -> Tensor:
    padded = (
        batch if transform.padding is None else F.pad(batch, transform.padding, transform.fill, transform.padding_mode)
    )
    return torch.stack([F.crop(image, *box) for image, box in zip(padded, choices, strict=True)])


def _padded_size(padding: Any, size: Size) -> Size:
    from torchplug.vision.transforms.tensors import sides

    left, top, right, bottom = (0, 0, 0, 0) if padding is None else sides(padding)
    return size[0] + top + bottom, size[1] + left + right


def _draw_cut(transform: T.RandomCrop, size: Size) -> Any:
    height, width = _padded_size(transform.padding, size)
    return transform.get_params(np.broadcast_to(np.uint8(0), (height, width)), transform.size)


def _as_floats(transform: Any, batch: Tensor, choices: list[Any]) -> Tensor:
    images = torch.from_numpy(np.ascontiguousarray(batch.numpy()))
    return images.to(torch.get_default_dtype()).div(255)


def _itself(transform: Any, batch: Tensor, choices: list[Any]) -> Tensor:
    out: Tensor = transform(batch)
    return out


def _resized(transform: T.Resize, size: Size) -> Size:
    wanted = [transform.size] if isinstance(transform.size, int) else list(transform.size)
    return F.resized_size(*size, wanted, transform.max_size)


def _given(transform: Any, size: Size) -> Size:
    height, width = transform.size
    return height, width


_STEPS: dict[type, _Step] = {
    T.ToTensor: _Step(_as_floats, after=False),
    T.Normalize: _Step(_itself, before=False),
    T.ConvertImageDtype: _Step(_itself, before=False),
    T.Grayscale: _Step(_itself, before=False),
    T.Resize: _Step(_itself, _resized),
    T.CenterCrop: _Step(_itself, _given),
    T.Pad: _Step(_itself, lambda transform, size: _padded_size(transform.padding, size)),
    T.RandomCrop: _Step(_cut, _given, _draw_cut),
    T.RandomHorizontalFlip: _Step(_flip(-1), draw=lambda transform, size: draws.chance(transform.p)),
    T.RandomVerticalFlip: _Step(_flip(-2), draw=lambda transform, size: draws.chance(transform.p)),
}
_FLIPS = (T.RandomHorizontalFlip, T.RandomVerticalFlip)
