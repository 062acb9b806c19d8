"""Data sets of images: the digits of the package, MNIST's files, and batches that equal their samples."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import torchplug
from torchplug.utils.data import DataLoader, Subset, default_collate
from torchplug.vision import transforms as T
from torchplug.vision.datasets import KMNIST, MNIST, Digits, FashionMNIST
from torchplug.vision.datasets.mnist import read_idx

HAS_PILLOW = importlib.util.find_spec("PIL") is not None


def test_the_digits_are_all_there_and_split() -> None:
    train, test = Digits(train=True), Digits(train=False)
    assert (len(train), len(test)) == (1438, 359)
    assert train.data.shape == (1438, 8, 8) and train.data.dtype == torchplug.uint8
    counts = torchplug.bincount(torchplug.cat((train.targets, test.targets)))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_the_digits_are_scikit_learns() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    source = datasets.load_digits()
    for train in (True, False):
        digits = Digits(train=train)
        chosen = (np.arange(1797) % 5 == 4) != train
        expected = np.floor(source.images[chosen] * 255 / 16 + 0.5)
        np.testing.assert_array_equal(digits.data.numpy(), expected)
        np.testing.assert_array_equal(digits.targets.numpy(), source.target[chosen])


@pytest.mark.parametrize("size", [16, 28, 29])
def test_larger_digits_are_interpolated(size: int) -> None:
    small, large = Digits(train=False), Digits(train=False, size=size)
    ink = small.data[:40, None].double()
    expected = torchplug.nn.functional.interpolate(ink, (size, size), mode="bilinear")[:, 0]
    # Both round: the small image to 1/255 before, the large one after.
    assert (large.data[:40].double() - expected).abs().max().item() <= 1.0
    with pytest.raises(ValueError, match="got size 7, expected at least 8"):
        Digits(size=7)


def test_a_sample_is_an_image_and_its_label() -> None:
    image, label = Digits(train=False)[3]
    assert isinstance(image, np.ndarray) and image.shape == (8, 8) and image.dtype == np.uint8
    assert type(label) is int
    changed = Digits(train=False, transform=T.ToTensor(), target_transform=lambda y: -y)[3]
    assert changed[0].shape == (1, 8, 8) and changed[1] == -label
    with pytest.raises(IndexError):
        Digits()[1438]


def test_the_text_of_a_data_set_says_what_it_holds() -> None:
    assert repr(Digits(transform=T.ToTensor())) == (
        "Dataset Digits\n    Number of datapoints: 1438\n    Split: Train\n    Size: 8 x 8\n"
        "    StandardTransform\nTransform: ToTensor()"
    )


TRANSFORMS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "tensors": lambda: T.ToTensor(),
    "normalized": lambda: T.Compose([T.ToTensor(), T.Normalize((0.1307,), (0.3081,))]),
    "flipped": lambda: T.Compose([T.RandomHorizontalFlip(), T.ToTensor()]),
    "cropped and flipped": lambda: T.Compose(
        [
            T.RandomCrop(8, padding=2),
            T.RandomHorizontalFlip(0.3),
            T.RandomVerticalFlip(),
            T.ToTensor(),
            T.Normalize(0, 2),
        ]
    ),
    "afterwards": lambda: T.Compose(
        [T.Pad(1), T.ToTensor(), T.RandomCrop(7), T.Compose([T.Resize(12), T.CenterCrop(9)]), T.RandomVerticalFlip(0.9)]
    ),
    "resized before": lambda: T.Compose([T.Resize((5, 12)), T.RandomCrop(4), T.ToTensor()]),
    "dtype": lambda: T.Compose([T.ToTensor(), T.ConvertImageDtype(torchplug.float64), T.Grayscale(1)]),
    "rotated": lambda: T.Compose([T.RandomRotation(9), T.ToTensor()]),
    "a function": lambda: T.Compose([T.ToTensor(), T.Lambda(lambda x: x + 1)]),
    "normalized bytes": lambda: T.Compose([T.Normalize(0, 1), T.ToTensor()]),
    "not tensors": lambda: T.RandomHorizontalFlip(),
}

AT_ONCE = ["none", "tensors", "normalized", "flipped", "cropped and flipped", "afterwards", "resized before", "dtype"]


@pytest.mark.parametrize("backend", ["numpy", "strict"])
@pytest.mark.parametrize("name", [name for name in TRANSFORMS if name != "normalized bytes"])
def test_a_batch_equals_its_collated_samples(name: str, backend: str) -> None:
    with torchplug.use_backend(backend):
        digits = Subset(Digits(train=False, transform=TRANSFORMS[name]()), range(40))
        results = []
        for arguments in ({}, {"collate_fn": lambda samples: default_collate(samples)}):
            torchplug.manual_seed(3)
            batches = list(DataLoader(digits, 16, shuffle=True, **arguments))
            results.append((batches, torchplug.rand(2).tolist()))
        assert results[0][1] == results[1][1]
        for ours, expected in zip(results[0][0], results[1][0], strict=True):
            for mine, other in zip(ours, expected, strict=True):
                assert (mine.dtype, mine.shape, mine._kind.engine.name) == (other.dtype, other.shape, backend)
                np.testing.assert_allclose(np.asarray(mine), np.asarray(other), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_known_transforms_run_on_the_whole_batch(name: str) -> None:
    digits = Digits(train=False, transform=TRANSFORMS[name]())
    assert (digits.__getbatch__([0, 3]) is not NotImplemented) == (name in AT_ONCE)


def test_a_changed_transform_is_not_taken_for_the_one_it_changes() -> None:
    class Negative(T.ToTensor):
        def __call__(self, pic: Any) -> Any:
            return -super().__call__(pic)

    assert Digits(transform=Negative()).__getbatch__([0]) is NotImplemented


def test_written_and_replaced_data_are_seen() -> None:
    digits = Digits(train=False)
    before = digits[0][0].copy()
    digits.data[0] = 9
    assert not (before == 9).all() and (digits[0][0] == 9).all()
    digits.data, digits.targets = digits.data[5:7], digits.targets[5:7]
    assert len(digits) == 2 and digits[1][1] == digits.targets[1].item()


def test_data_sets_can_be_sent_to_workers() -> None:
    digits = Digits(train=False, transform=T.ToTensor())
    alone = [batch[0].sum().item() for batch in DataLoader(digits, 100)]
    assert [batch[0].sum().item() for batch in DataLoader(digits, 100, num_workers=2)] == alone
    digits[0]
    assert len(pickle.loads(pickle.dumps(digits))) == 359


def idx(values: np.ndarray) -> bytes:
    codes = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
    header = bytes([0, 0, codes[values.dtype.name], values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_idx_files_are_read(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(name)
    (tmp_path / "file").write_bytes(pack(idx(values)))
    found = read_idx(tmp_path / "file")
    np.testing.assert_array_equal(found, values)
    assert found.dtype == values.dtype and found.dtype.isnative and found.flags.writeable


@pytest.mark.parametrize(
    "content",
    [b"", b"\1\0\x08\1", b"\0\0\7\1", b"\0\0\x08\3\0\0", idx(np.zeros(4, np.uint8))[:-1], b"\0\0\x08\4" + b"\xff" * 16],
    ids=["empty", "beginning", "type", "short header", "short data", "huge"],
)
def test_what_is_no_idx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="got .* expected"):
        read_idx(tmp_path / "file")


def write_mnist(folder: Path, name: str = "MNIST", pack: Callable[[bytes], bytes] = bytes, suffix: str = "") -> None:
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    for split, count in (("train", 6), ("t10k", 3)):
        images = (np.arange(count * 28 * 28) % 251).astype(np.uint8).reshape(count, 28, 28)
        (raw / f"{split}-images-idx3-ubyte{suffix}").write_bytes(pack(idx(images)))
        (raw / f"{split}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(np.arange(count, dtype=np.uint8))))


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST, KMNIST])
def test_mnist_files_are_read(tmp_path: Path, kind: type[MNIST]) -> None:
    write_mnist(tmp_path, kind.__name__, gzip.compress, ".gz")
    data = kind(tmp_path, train=False, transform=T.ToTensor(), download=True)
    assert len(data) == 3 and data.targets.tolist() == [0, 1, 2] and data.data.shape == (3, 28, 28)
    image, label = data[1]
    assert image.shape == (1, 28, 28) and label == 1
    assert [batch[1].tolist() for batch in DataLoader(data, 2)] == [[0, 1], [2]]
    assert len(data.classes) == len(data.class_to_idx) == 10


def test_a_sample_without_a_transform_is_a_pillow_image_where_there_is_pillow(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    image, _ = MNIST(str(tmp_path))[0]
    assert type(image).__module__ == ("PIL.Image" if HAS_PILLOW else "numpy")
    assert np.asarray(image)[0, :3].tolist() == [0, 1, 2]


def test_missing_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Dataset not found. You can use download=True to download it"):
        MNIST(tmp_path)


def test_a_download_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path / "source")
    files = {path.name + ".gz": gzip.compress(path.read_bytes()) for path in (tmp_path / "source/MNIST/raw").iterdir()}
    asked: list[str] = []

    def answer(url: str, timeout: float) -> Any:
        asked.append(url)
        return io.BytesIO(files[url.rpartition("/")[2]])

    monkeypatch.setattr("torchplug.vision.datasets.mnist.urllib.request.urlopen", answer)
    with pytest.raises(RuntimeError, match="Error downloading train-images.*has another checksum than f68b3c2d"):
        MNIST(tmp_path, download=True)
    digests = [(name, hashlib.md5(files[name]).hexdigest()) for name, _ in MNIST.resources]
    monkeypatch.setattr(MNIST, "resources", digests)
    assert len(MNIST(tmp_path, download=True)) == 6
    assert len(asked) == 5
    assert len(MNIST(tmp_path, download=True)) == 6
    assert len(asked) == 5


def test_two_kinds_of_transform_exclude_each_other() -> None:
    from torchplug.vision.datasets import VisionDataset

    with pytest.raises(ValueError, match="Only transforms or transform/target_transform can be passed as argument"):
        VisionDataset(transforms=lambda x, y: (x, y), transform=abs)
