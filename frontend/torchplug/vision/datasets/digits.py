"""Real handwritten digits that come with the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from torchplug import from_numpy
from torchplug.vision.datasets.vision import ImagesInMemory

__all__ = ["Digits"]

_FILE = Path(__file__).with_name("digits_data") / "digits.npz"

_INK = 16
"""The largest value in the file."""


class Digits(ImagesInMemory):
    """The UCI optical recognition digits: 1,797 gray images of 0 to 9, white on black.

    Every fifth image is kept for testing: 1,438 are for training, 359 for testing. A sample is an array (size, size) of
    uint8 and the digit as an int; `data` and `targets` hold them all as tensors. `size` above 8 interpolates (bilinear).

    Source: Alpaydin and Kaynak 1998, https://doi.org/10.24432/C50P49, CC BY 4.0; see digits_data/README.md.
    """

    classes = [str(digit) for digit in range(10)]

    def __init__(
        self,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        *,
        size: int = 8,
    ) -> None:
        super().__init__(None, None, transform, target_transform)
        self.train = train
        self.size = size
        with np.load(_FILE, allow_pickle=False) as file:
            images, labels = file["images"], file["labels"]
        mine = (np.arange(len(images)) % 5 == 4) != train
        self.data = from_numpy(_enlarged(images[mine], size))
        self.targets = from_numpy(labels[mine].astype(np.int64))

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}\nSize: {self.size} x {self.size}"


def _enlarged(images: np.ndarray, size: int) -> np.ndarray:
    """Returns images of side `size` from 0 to 255. In whole numbers, so that every machine gets the same pixels."""
    side = images.shape[1]
    if size < side:
        raise ValueError(f"got size {size}, expected at least {side}, the size the images were taken at")
    weights = _weights(side, size).astype(np.float64)  # whole numbers still, and few enough digits to add exactly
    ink = (weights @ images @ weights.T).astype(np.int64)
    white = _INK * (2 * size) ** 2
    return ((2 * 255 * ink + white) // (2 * white)).astype(np.uint8)


def _weights(side: int, size: int) -> np.ndarray:
    """Returns (size, side): what each old place weighs in each new one, in parts of 2 * size.

    A new pixel's middle, (i + 1/2) * side / size - 1/2 in old pixels, lies between two old ones; the edge repeats.
    """
    unit = 2 * size
    middle = (2 * np.arange(size) + 1) * side - size
    weights = np.zeros((size, side), np.int64)
    for row, place in enumerate(middle):
        low, rest = divmod(int(place), unit)
        weights[row, max(low, 0)] += unit - rest
        weights[row, min(low + 1, side - 1)] += rest
    return weights
