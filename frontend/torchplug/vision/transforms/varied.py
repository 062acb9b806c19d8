"""Transforms that vary an image: where it is cut, how it is turned, its colors, what is erased."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torchplug as torch
from torchplug import Tensor, nn
from torchplug.vision.transforms import draws
from torchplug.vision.transforms import functional as F
from torchplug.vision.transforms.basic import as_size
from torchplug.vision.transforms.images import InterpolationMode, as_mode

__all__ = ["ColorJitter", "RandomAffine", "RandomCrop", "RandomErasing", "RandomResizedCrop", "RandomRotation"]

Box = tuple[int, int, int, int]


class RandomCrop(nn.Module):
    """A part of the image of a given size, anywhere in it; the image gets `padding` first.

    Raises ValueError for an image that is too small, unless `pad_if_needed`.
    """

    def __init__(
        self,
        size: Any,
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        super().__init__()
        self.size = as_size(size)
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int]) -> Box:
        """Returns (top, left, height, width) of a random part."""
        _, have_height, have_width = F.get_dimensions(img)
        height, width = output_size
        if have_height < height or have_width < width:
            raise ValueError(
                f"Required crop size {(height, width)} is larger than input image size {(have_height, have_width)}"
            )
        if (have_height, have_width) == (height, width):
            return 0, 0, height, width
        return draws.integer(have_height - height + 1), draws.integer(have_width - width + 1), height, width

    def forward(self, img: Any) -> Any:
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        if self.pad_if_needed:
            _, height, width = F.get_dimensions(img)
            missing = [max(self.size[1] - width, 0), max(self.size[0] - height, 0)]
            img = F.pad(img, missing, self.fill, self.padding_mode) if any(missing) else img
        return F.crop(img, *self.get_params(img, self.size))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, padding={self.padding})"


class RandomResizedCrop(nn.Module):
    """A part of the image of random area and aspect ratio, at a given size."""

    def __init__(
        self,
        size: Any,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        _check_ranges(scale, ratio)
        self.size = as_size(size)
        self.interpolation = as_mode(interpolation)
        self.antialias = antialias
        self.scale = scale
        self.ratio = ratio

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float]) -> Box:
        """Returns (top, left, height, width) of a random part, after ten misses that of the middle."""
        _, have_height, have_width = F.get_dimensions(img)
        for _ in range(10):
            width, height = map(round, draws.box_of_area(have_height * have_width, scale, ratio))
            if 0 < width <= have_width and 0 < height <= have_height:
                top = draws.integer(have_height - height + 1)
                return top, draws.integer(have_width - width + 1), height, width
        height, width = have_height, have_width
        if have_width / have_height < min(ratio):
            height = round(width / min(ratio))
        elif have_width / have_height > max(ratio):
            width = round(height * max(ratio))
        return (have_height - height) // 2, (have_width - width) // 2, height, width

    def forward(self, img: Any) -> Any:
        box = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *box, self.size, self.interpolation, self.antialias)

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(value, 4) for value in values) for values in (self.scale, self.ratio))
        return (
            f"{type(self).__name__}(size={self.size}, scale={scale}, ratio={ratio}, "
            f"interpolation={self.interpolation.value}, antialias={self.antialias})"
        )


def _check_ranges(scale: Any, ratio: Any) -> None:
    for name, value in (("Scale", scale), ("Ratio", ratio)):
        if not isinstance(value, Sequence):
            raise TypeError(f"{name} should be a sequence")
    if scale[0] > scale[1] or ratio[0] > ratio[1]:
        warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=3)


class RandomRotation(nn.Module):
    """The image turned by a random angle, from -degrees to degrees or between the two given."""

    def __init__(
        self,
        degrees: Any,
        interpolation: Any = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[int] | None = None,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.degrees = _as_range(degrees, "degrees")
        if center is not None:
            _check_pair(center, "center")
        if not isinstance(fill, int | float | Sequence | None):
            raise TypeError("Fill should be either a sequence or a number.")
        self.center = center
        self.interpolation = as_mode(interpolation)
        self.expand = expand
        self.fill = 0 if fill is None else fill

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """Returns a random angle."""
        return draws.uniform(degrees[0], degrees[1])

    def forward(self, img: Any) -> Any:
        angle = self.get_params(self.degrees)
        fill = _fill_for(img, self.fill)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, fill)

    def __repr__(self) -> str:
        center = "" if self.center is None else f", center={self.center}"
        return (
            f"{type(self).__name__}(degrees={self.degrees}, interpolation={self.interpolation.value}, "
            f"expand={self.expand}{center}, fill={self.fill})"
        )


def _fill_for(img: Any, fill: Any) -> Any:
    if not isinstance(img, Tensor):
        return fill
    return [float(fill)] * F.get_image_num_channels(img) if isinstance(fill, int | float) else list(map(float, fill))


def _as_range(value: Any, name: str) -> list[float]:
    if isinstance(value, int | float):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return [-float(value), float(value)]
    _check_pair(value, name)
    return [float(value[0]), float(value[1])]


def _check_pair(value: Any, name: str) -> None:
    if not isinstance(value, Sequence):
        raise TypeError(f"{name} should be a sequence of length 2.")
    if len(value) != 2:
        raise ValueError(f"{name} should be a sequence of length 2.")


class RandomAffine(nn.Module):
    """The image turned, moved (parts of its size), scaled and sheared (degrees) at random."""

    def __init__(
        self,
        degrees: Any,
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: Any = None,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.degrees = _as_range(degrees, "degrees")
        if translate is not None:
            _check_pair(translate, "translate")
            if not all(0.0 <= part <= 1.0 for part in translate):
                raise ValueError("translation values should be between 0 and 1")
        if scale is not None:
            _check_pair(scale, "scale")
            if min(scale) <= 0:
                raise ValueError("scale values should be positive")
        self.translate = translate
        self.scale = scale
        four = isinstance(shear, Sequence) and len(shear) == 4
        self.shear = None if shear is None else list(map(float, shear)) if four else _as_range(shear, "shear")
        self.interpolation = as_mode(interpolation)
        self.fill = 0 if fill is None else fill
        self.center = center

    def forward(self, img: Any) -> Any:
        _, height, width = F.get_dimensions(img)
        angle = draws.uniform(*self.degrees)
        moves = [0, 0]
        if self.translate is not None:
            reaches = [part * size for part, size in zip(self.translate, (width, height), strict=True)]
            moves = [round(draws.uniform(-reach, reach)) for reach in reaches]
        scale = 1.0 if self.scale is None else draws.uniform(*self.scale)
        bends = [0.0, 0.0]
        if self.shear is not None:
            bends[0] = draws.uniform(self.shear[0], self.shear[1])
            bends[1] = draws.uniform(self.shear[2], self.shear[3]) if len(self.shear) == 4 else 0.0
        fill = _fill_for(img, self.fill)
        return F.affine(img, angle, moves, scale, bends, self.interpolation, fill, self.center)

    def __repr__(self) -> str:
        parts = [f"degrees={self.degrees}"]
        for name in ("translate", "scale", "shear"):
            if getattr(self, name) is not None:
                parts.append(f"{name}={getattr(self, name)}")
        if self.interpolation is not InterpolationMode.NEAREST:
            parts.append(f"interpolation={self.interpolation.value}")
        if self.fill != 0:
            parts.append(f"fill={self.fill}")
        if self.center is not None:
            parts.append(f"center={self.center}")
        return f"{type(self).__name__}({', '.join(parts)})"


class ColorJitter(nn.Module):
    """The image with its brightness, contrast, saturation and hue changed at random, in random order.

    Each is a number, the largest change, or the range of the factor (of the turn, for hue).
    """

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0) -> None:
        super().__init__()
        self.brightness = _factor_range(brightness, "brightness")
        self.contrast = _factor_range(contrast, "contrast")
        self.saturation = _factor_range(saturation, "saturation")
        self.hue = _factor_range(hue, "hue", 0.0, (-0.5, 0.5))

    def forward(self, img: Any) -> Any:
        order = draws.order(4)
        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        factors = [None if bounds is None else draws.uniform(*bounds) for bounds in ranges]
        adjust = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for place in order:
            factor = factors[place]
            if factor is not None:
                img = adjust[place](img, factor)
        return img

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(brightness={self.brightness}, contrast={self.contrast}, "
            f"saturation={self.saturation}, hue={self.hue})"
        )


def _factor_range(
    value: Any, name: str, center: float = 1.0, bounds: tuple[float, float] = (0.0, float("inf"))
) -> tuple[float, float] | None:
    if isinstance(value, int | float):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be non negative.")
        low, high = center - float(value), center + float(value)
        low = max(low, 0.0) if center else low
    elif isinstance(value, list | tuple) and len(value) == 2:
        low, high = float(value[0]), float(value[1])
    else:
        raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
    if not bounds[0] <= low <= high <= bounds[1]:
        raise ValueError(f"{name} values should be between {bounds}, but got {[low, high]}.")
    return None if low == high == center else (low, high)


class RandomErasing(nn.Module):
    """A tensor image with a rectangle of random place, area and ratio filled, with probability p.

    `value`: a number, one per channel, or "random" for normal noise.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(value, int | float | str | tuple | list):
            raise TypeError("Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        _check_ranges(scale, ratio)
        if scale[0] < 0 or scale[1] > 1:
            raise ValueError("Scale should be between 0 and 1")
        if p < 0 or p > 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.value = value
        self.inplace = inplace

    def forward(self, img: Tensor) -> Tensor:
        if not draws.chance(self.p):
            return img
        channels, have_height, have_width = img.shape[-3:]
        values = [self.value] if isinstance(self.value, int | float) else self.value
        if not isinstance(values, str) and len(values) not in (1, channels):
            raise ValueError(
                f"If value is a sequence, it should have either a single value or {channels} (number of input channels)"
            )
        for _ in range(10):
            height, width = map(round, draws.box_of_area(have_height * have_width, self.scale, self.ratio))
            if height < have_height and width < have_width:
                filling = _filling(values, (channels, height, width), img)
                top = draws.integer(have_height - height + 1)
                left = draws.integer(have_width - width + 1)
                return F.erase(img, top, left, height, width, filling, self.inplace)
        return img

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(p={self.p}, scale={self.scale}, ratio={self.ratio}, "
            f"value={self.value}, inplace={self.inplace})"
        )


def _filling(values: Any, shape: tuple[int, ...], image: Tensor) -> Tensor:
    if isinstance(values, str):
        return torch.empty(shape, dtype=torch.float32, device=image.device).normal_()
    return torch.tensor([float(value) for value in values], device=image.device)[:, None, None]
