"""MNIST and the data sets in its file format."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from torchplug import Tensor, from_numpy
from torchplug.vision.datasets.vision import ImagesInMemory

__all__ = ["MNIST", "FashionMNIST", "KMNIST", "read_idx"]

_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Returns the array in an IDX file, plain or gzipped, in the machine's byte order.

    Raises ValueError for a file that is none, or whose length does not fit its header.
    """
    with open(path, "rb") as file:
        content = file.read()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES:
        raise ValueError(f"got a file that does not begin as IDX files do, expected one: {path}")
    layout, ndim = np.dtype(_TYPES[content[2]]), content[3]
    if len(content) < 4 + 4 * ndim:
        raise ValueError(f"got {len(content)} bytes, expected a header of {4 + 4 * ndim}: {path}")
    shape = tuple(int(length) for length in np.frombuffer(content, ">u4", ndim, 4))
    expected = 4 + 4 * ndim + layout.itemsize * int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise ValueError(f"got {len(content)} bytes, expected {expected} for an array of shape {shape}: {path}")
    values = np.frombuffer(content, layout, offset=4 + 4 * ndim).reshape(shape)
    return values.astype(layout.newbyteorder("="))


class MNIST(ImagesInMemory):
    """Handwritten digits of 28x28 pixels: 60,000 for training, 10,000 for testing.

    The four IDX files, plain or gzipped, lie in `root/MNIST/raw`. `download` fetches what is missing and checks it. A
    sample is a Pillow image, as torchvision's is, or where Pillow is not installed an array (28, 28) of uint8, and a label.

    Raises: RuntimeError when files are missing, or a download is not what was expected.
    """

    mirrors: ClassVar[list[str]] = ["https://ossci-datasets.s3.amazonaws.com/mnist/"]
    resources: ClassVar[list[tuple[str, str]]] = [
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ]
    classes = [
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four",
        "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine",
    ]  # fmt: skip
    root: Path

    def __init__(
        self,
        root: str | Path,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(Path(root).expanduser(), None, transform, target_transform)
        self.train = train
        self.pillow = importlib.util.find_spec("PIL") is not None
        if download:
            self.download()
        if any(self._file(name) is None for name, _ in self.resources):
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        self.data, self.targets = self._load()

    @property
    def raw_folder(self) -> str:
        """The folder the files lie in."""
        return os.path.join(self.root, type(self).__name__, "raw")

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The label of each class by its name."""
        return {name: place for place, name in enumerate(self.classes)}

    def _file(self, name: str) -> str | None:
        plain = os.path.join(self.raw_folder, name.removesuffix(".gz"))
        return next((path for path in (plain, f"{plain}.gz") if os.path.isfile(path)), None)

    def _load(self) -> tuple[Tensor, Tensor]:
        images, labels = (read_idx(self._file(name) or "") for name, _ in self.resources[0 if self.train else 2 :][:2])
        if images.ndim != 3 or images.dtype != np.uint8 or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(
                f"got images of shape {images.shape} and {images.dtype} and labels of shape {labels.shape}, "
                "expected uint8 (count, height, width) and (count,)"
            )
        return from_numpy(images), from_numpy(labels.astype(np.int64))

    def download(self) -> None:
        """Fetches the files that are missing, each checked before it appears under its name."""
        os.makedirs(self.raw_folder, exist_ok=True)
        for name, digest in self.resources:
            if self._file(name) is None:
                self._fetch(name, digest)

    def _fetch(self, name: str, digest: str) -> None:
        reasons = []
        for mirror in self.mirrors:
            try:
                with urllib.request.urlopen(mirror + name, timeout=60) as answer:
                    content: bytes = answer.read()
            except OSError as error:
                reasons.append(f"{mirror}{name}: {error}")
                continue
            if hashlib.md5(content, usedforsecurity=False).hexdigest() == digest:
                self._store(name, content)
                return
            reasons.append(f"{mirror}{name}: the file has another checksum than {digest}")
        raise RuntimeError(f"Error downloading {name}: {'; '.join(reasons)}")

    def _store(self, name: str, content: bytes) -> None:
        path = os.path.join(self.raw_folder, name)
        with open(f"{path}.part", "wb") as file:
            file.write(content)
        os.replace(f"{path}.part", path)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class FashionMNIST(MNIST):
    """Photographs of clothes of ten kinds (Zalando Research), in MNIST's format and sizes."""

    mirrors: ClassVar[list[str]] = ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"]
    resources: ClassVar[list[tuple[str, str]]] = [
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ]
    classes = [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ]  # fmt: skip


class KMNIST(MNIST):
    """Handwritten Kuzushiji characters of ten kinds, in MNIST's format and sizes."""

    mirrors: ClassVar[list[str]] = ["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"]
    resources: ClassVar[list[tuple[str, str]]] = [
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    ]
    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
