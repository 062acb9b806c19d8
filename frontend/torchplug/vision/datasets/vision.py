"""What the data sets of images share: transforms of images and labels, and a text that says what one holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from torchplug import Tensor, from_numpy
from torchplug._core.host import host_array
from torchplug.utils.data import Dataset
from torchplug.utils.data._utils.rows import as_places
from torchplug.vision.transforms import batches
from torchplug.vision.transforms import functional as F

__all__ = ["ImagesInMemory", "StandardTransform", "VisionDataset"]

Transform = Callable[[Any], Any]


class StandardTransform:
    """A transform of the image and one of the label, as one of both."""

    def __init__(self, transform: Transform | None = None, target_transform: Transform | None = None) -> None:
        self.transform = transform
        self.target_transform = target_transform

    def __call__(self, input: Any, target: Any) -> tuple[Any, Any]:
        if self.transform is not None:
            input = self.transform(input)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return input, target

    def __repr__(self) -> str:
        lines = [type(self).__name__]
        for head, transform in (("Transform: ", self.transform), ("Target transform: ", self.target_transform)):
            if transform is not None:
                lines.append(head + f"\n{' ' * len(head)}".join(repr(transform).splitlines()))
        return "\n".join(lines)


class VisionDataset(Dataset[tuple[Any, Any]]):
    """A map from indices to (image, label).

    `transforms` takes both at once; it excludes the other two. Raises ValueError when both kinds are given.
    """

    _repr_indent = 4

    def __init__(
        self,
        root: str | Path | None = None,
        transforms: Callable[[Any, Any], Any] | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        if transforms is not None and (transform is not None or target_transform is not None):
            raise ValueError("Only transforms or transform/target_transform can be passed as argument")
        self.root = root
        self.transform = transform
        self.target_transform = target_transform
        if transforms is None and (transform is not None or target_transform is not None):
            transforms = StandardTransform(transform, target_transform)
        self.transforms = transforms

    def __len__(self) -> int:
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Returns one more line for the text."""
        return ""

    def __repr__(self) -> str:
        body = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            body.append(f"Root location: {self.root}")
        body += self.extra_repr().splitlines()
        if self.transforms is not None:
            body += [repr(self.transforms)]
        indented = [" " * self._repr_indent + line for line in body]
        return "\n".join([f"Dataset {type(self).__name__}", *indented])


class ImagesInMemory(VisionDataset):
    """Images that lie in memory: `data` uint8 (count, height, width) and `targets` int64 (count,), both tensors.

    A sample's image is a Pillow image where `pillow` is set, else an array (height, width).
    """

    data: Tensor
    targets: Tensor
    pillow = False

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        image, target = self._host("data")[index], int(self._host("targets")[index])
        if self.pillow:
            image = F.to_pil_image(image)
        return (image, target) if self.transforms is None else self.transforms(image, target)

    def __getbatch__(self, indices: Any) -> Any:
        plain = self.transforms is None or type(self.transforms) is StandardTransform
        places = as_places(indices, len(self))
        if not plain or places is None or self.target_transform is not None:
            return NotImplemented
        images = batches.transformed(self.transform, self._host("data")[places], self.pillow)
        return images if images is NotImplemented else [images, from_numpy(self._host("targets")[places])]

    def _host(self, name: str) -> np.ndarray:
        """The values of a tensor attribute, read from its device once until it is written or replaced."""
        source = getattr(self, name)
        kept = self.__dict__.get("_kept", {}).get(name)
        if kept is None or kept[0] is not source or kept[1] != source._version:
            kept = (source, source._version, host_array(source))
            self.__dict__.setdefault("_kept", {})[name] = kept
        values: np.ndarray = kept[2]
        return values

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}
