"""Transforms give torchvision's images, draws, texts and errors, for tensors, arrays and Pillow images."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from torchvision_oracle import torchvision

import torchplug
from torchplug.vision import transforms as T
from torchplug.vision.transforms import functional as F


@pytest.fixture(scope="module")
def oracle() -> ModuleType:
    """torchvision."""
    return torchvision()


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


GRAY, RGB, WIDE = pixels(1, 7, 7), pixels(3, 9, 12, seed=1), pixels(3, 5, 11, seed=2)

IMAGES: dict[str, Callable[[Any], Any]] = {
    "gray": lambda lib: lib.from_numpy(GRAY),
    "rgb": lambda lib: lib.from_numpy(RGB),
    "wide floats": lambda lib: lib.from_numpy(WIDE).float() / 255,
    "batch of floats": lambda lib: lib.from_numpy(np.stack([RGB, RGB[::-1]])).float() / 255,
}

FIXED: dict[str, Callable[[Any], Any]] = {
    "hflip": lambda T: T.functional.hflip,
    "vflip": lambda T: T.functional.vflip,
    "crop": lambda T: lambda x: T.functional.crop(x, 1, 2, 3, 4),
    "crop over the edge": lambda T: lambda x: T.functional.crop(x, -2, 3, 6, 20),
    "crop outside": lambda T: lambda x: T.functional.crop(x, 30, 30, 2, 3),
    "center crop": lambda T: T.CenterCrop(4),
    "center crop of odd size": lambda T: T.CenterCrop((3, 5)),
    "center crop larger than the image": lambda T: T.CenterCrop((10, 20)),
    "pad": lambda T: T.Pad(2),
    "pad by side": lambda T: T.Pad((1, 2, 3, 0), fill=7),
    "pad by two": lambda T: T.Pad((1, 2), fill=1),
    "pad edge": lambda T: T.Pad((1, 2, 3, 4), padding_mode="edge"),
    "pad reflect": lambda T: T.Pad((1, 2, 3, 4), padding_mode="reflect"),
    "pad symmetric": lambda T: T.Pad((1, 2, 3, 4), padding_mode="symmetric"),
    "negative pad": lambda T: T.Pad((-1, 2, 0, -2)),
    "resize": lambda T: T.Resize((14, 13)),
    "resize shorter side": lambda T: T.Resize(4),
    "resize shorter side, at most": lambda T: T.Resize(6, max_size=7),
    "resize without antialias": lambda T: T.Resize((4, 5), antialias=False),
    "resize bicubic": lambda T: T.Resize((4, 15), T.InterpolationMode.BICUBIC),
    "resize nearest": lambda T: T.Resize((4, 15), T.InterpolationMode.NEAREST),
    "resize nearest-exact": lambda T: T.Resize((4, 15), T.InterpolationMode.NEAREST_EXACT),
    "resize by Pillow's number": lambda T: T.Resize((4, 15), 3),
    "rotate": lambda T: lambda x: T.functional.rotate(x, 30.0),
    "rotate by 90": lambda T: lambda x: T.functional.rotate(x, 90, expand=True),
    "rotate bilinear": lambda T: lambda x: T.functional.rotate(x, -17.0, T.InterpolationMode.BILINEAR, fill=[5.0]),
    "rotate with fill": lambda T: lambda x: T.functional.rotate(x, 45, expand=True, fill=3.0),
    "rotate around": lambda T: lambda x: T.functional.rotate(x, 21.0, center=[1, 2]),
    "affine": lambda T: lambda x: T.functional.affine(x, 20.0, [1, -2], 1.3, [5.0, -8.0]),
    "affine bilinear": lambda T: (
        lambda x: T.functional.affine(
            x, -40.0, [0, 1], 0.7, 12.0, T.InterpolationMode.BILINEAR, fill=[2.0], center=[3, 3]
        )
    ),
    "to float": lambda T: lambda x: T.functional.convert_image_dtype(x, lib_of(x).float64),
    "to uint8": lambda T: lambda x: T.functional.convert_image_dtype(x, lib_of(x).uint8),
    "to int16": lambda T: lambda x: T.functional.convert_image_dtype(x, lib_of(x).int16),
    "gray": lambda T: T.Grayscale(),
    "gray in three channels": lambda T: T.Grayscale(3),
    "brightness": lambda T: lambda x: T.functional.adjust_brightness(x, 1.4),
    "contrast": lambda T: lambda x: T.functional.adjust_contrast(x, 0.3),
    "saturation": lambda T: lambda x: T.functional.adjust_saturation(x, 2.0),
    "hue": lambda T: lambda x: T.functional.adjust_hue(x, 0.2),
    "hue backwards": lambda T: lambda x: T.functional.adjust_hue(x, -0.45),
    "gamma": lambda T: lambda x: T.functional.adjust_gamma(x, 1.7, 0.9),
    "invert": lambda T: T.functional.invert,
    "five crops": lambda T: T.FiveCrop(3),
    "ten crops": lambda T: T.TenCrop((3, 4), vertical_flip=True),
    "erase": lambda T: lambda x: T.functional.erase(x, 1, 2, 3, 2, lib_of(x).tensor(9, dtype=x.dtype)),
}


def lib_of(x: Any) -> Any:
    if isinstance(x, torchplug.Tensor):
        return torchplug
    return pytest.importorskip("torch")


def arrays(result: Any) -> list[np.ndarray]:
    return [np.asarray(part) for part in (result if isinstance(result, tuple) else (result,))]


def same(ours: Any, theirs: Any, slack: float = 1e-5) -> None:
    for mine, other in zip(arrays(ours), arrays(theirs), strict=True):
        assert (mine.dtype, mine.shape) == (other.dtype, other.shape)
        # A pixel on the very edge between two may round to either.
        tolerance = slack if mine.dtype.kind == "f" else 1
        wrong = np.abs(mine.astype(np.float64) - other.astype(np.float64)) > tolerance
        assert wrong.mean() <= 0.01, (mine, other)


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("name", FIXED)
def test_tensors_are_changed_as_torchvision_changes_them(oracle: ModuleType, name: str, image: str) -> None:
    torch = pytest.importorskip("torch")
    source = IMAGES[image](torch)
    try:
        theirs = FIXED[name](oracle.transforms)(source)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        with pytest.raises(type(error)):
            FIXED[name](T)(IMAGES[image](torchplug))
        return
    same(FIXED[name](T)(IMAGES[image](torchplug)), theirs)


@pytest.mark.parametrize("name", [name for name in FIXED if not name.startswith(("to ", "erase"))])
def test_arrays_are_changed_as_tensors_are(name: str) -> None:
    try:
        expected = FIXED[name](T)(torchplug.from_numpy(RGB))
    except (RuntimeError, TypeError, ValueError):
        return
    found = FIXED[name](T)(RGB.transpose(1, 2, 0))
    for mine, other in zip(arrays(found), arrays(expected), strict=True):
        np.testing.assert_array_equal(mine.transpose(2, 0, 1) if mine.ndim == 3 else mine[None], other)


def test_a_flat_array_stays_flat() -> None:
    assert F.hflip(GRAY[0]).shape == (7, 7)
    np.testing.assert_array_equal(F.hflip(GRAY[0]), GRAY[0, :, ::-1])
    assert F.resize(GRAY[0], [3, 4]).shape == (3, 4)


RANDOM: dict[str, Callable[[Any], Any]] = {
    "crop": lambda T: T.RandomCrop(4),
    "padded crop": lambda T: T.RandomCrop((5, 6), padding=2, fill=9),
    "crop of what must be padded": lambda T: T.RandomCrop((10, 13), pad_if_needed=True),
    "horizontal flip": lambda T: T.RandomHorizontalFlip(),
    "vertical flip": lambda T: T.RandomVerticalFlip(0.3),
    "rotation": lambda T: T.RandomRotation(30),
    "rotation in a range": lambda T: T.RandomRotation((10, 80), T.InterpolationMode.BILINEAR, True, fill=4),
    "affine": lambda T: T.RandomAffine(20, (0.2, 0.3), (0.7, 1.3), 10),
    "affine with two shears": lambda T: T.RandomAffine((5, 9), shear=(1, 2, 3, 4), fill=3),
    "resized crop": lambda T: T.RandomResizedCrop(6),
    "thin resized crop": lambda T: T.RandomResizedCrop((4, 8), (0.9, 1.0), (3.0, 4.0)),
    "color jitter": lambda T: T.ColorJitter(0.5, 0.4, (0.2, 1.5), 0.3),
    "brightness only": lambda T: T.ColorJitter(brightness=0.5),
    "erasing": lambda T: T.RandomErasing(0.8),
    "erasing with a color": lambda T: T.RandomErasing(1.0, (0.1, 0.2), (0.5, 2.0), value=[1]),
    "grayscale": lambda T: T.RandomGrayscale(0.5),
    "invert": lambda T: T.RandomInvert(),
    "apply": lambda T: T.RandomApply([T.RandomCrop(4), T.RandomHorizontalFlip()], 0.4),
    "order": lambda T: T.RandomOrder([T.RandomCrop(5), T.RandomVerticalFlip()]),
    "choice": lambda T: T.RandomChoice([T.RandomCrop(5), T.CenterCrop(3)], [1, 2]),
}


@pytest.mark.parametrize("name", RANDOM)
def test_draws_are_torchvisions(oracle: ModuleType, name: str) -> None:
    import random

    torch = pytest.importorskip("torch")
    results = []
    for lib, transforms in ((torchplug, T), (torch, oracle.transforms)):
        transform = RANDOM[name](transforms)
        lib.manual_seed(7)
        random.seed(7)
        images = tuple(transform(lib.from_numpy(RGB)) for _ in range(6))
        results.append((images, lib.rand(3).tolist()))
    assert results[0][1] == results[1][1]
    same(results[0][0], results[1][0])


def test_erasing_with_noise_draws_torchvisions_noise(oracle: ModuleType) -> None:
    torch = pytest.importorskip("torch")
    results = []
    for lib, transforms in ((torchplug, T), (torch, oracle.transforms)):
        lib.manual_seed(2)
        results.append(transforms.RandomErasing(1.0, value="random")(lib.from_numpy(RGB).float()))
    same(results[0], results[1])


TEXTS: dict[str, Callable[[Any], Any]] = {
    **{name: make for name, make in RANDOM.items()},
    "compose": lambda T: T.Compose([T.Resize(3), T.ToTensor(), T.Normalize((0.5,), [0.5])]),
    "pad": lambda T: T.Pad((1, 2), 3, "edge"),
    "center crop": lambda T: T.CenterCrop(3),
    "to image": lambda T: T.ToPILImage("L"),
    "five": lambda T: T.FiveCrop(3),
    "ten": lambda T: T.TenCrop(3),
    "gray": lambda T: T.Grayscale(3),
    "lambda": lambda T: T.Lambda(abs),
    "from image": lambda T: T.PILToTensor(),
    "dtype": lambda T: T.ConvertImageDtype(None),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_torchvisions(oracle: ModuleType, name: str) -> None:
    assert repr(TEXTS[name](T)) == repr(TEXTS[name](oracle.transforms))


WRONG: dict[str, Callable[[Any], Any]] = {
    "to_tensor of a list": lambda T: T.ToTensor()([1]),
    "to_tensor of four dimensions": lambda T: T.ToTensor()(np.zeros((1, 2, 3, 4))),
    "pil_to_tensor of an array": lambda T: T.PILToTensor()(GRAY),
    "normalize of a list": lambda T: T.Normalize(0.5, 0.5)([1]),
    "size of three": lambda T: T.Resize((1, 2, 3)),
    "size of text": lambda T: T.Resize(1.5),
    "crop of three": lambda T: T.CenterCrop((1, 2, 3)),
    "padding of three": lambda T: T.Pad((1, 2, 3)),
    "padding of text": lambda T: T.Pad("1"),
    "fill of None": lambda T: T.Pad(1, None),
    "padding mode": lambda T: T.Pad(1, padding_mode="mirror"),
    "lambda": lambda T: T.Lambda(3),
    "order": lambda T: T.RandomOrder(3),
    "negative degrees": lambda T: T.RandomRotation(-3),
    "three degrees": lambda T: T.RandomRotation([1, 2, 3]),
    "scale": lambda T: T.RandomResizedCrop(3, scale=0.5),
    "negative jitter": lambda T: T.ColorJitter(-1),
    "jitter text": lambda T: T.ColorJitter("1"),
    "hue": lambda T: T.ColorJitter(hue=0.7),
    "erasing value": lambda T: T.RandomErasing(value="black"),
    "erasing probability": lambda T: T.RandomErasing(1.5),
    "erasing scale": lambda T: T.RandomErasing(scale=(0.1, 1.5)),
    "translation": lambda T: T.RandomAffine(1, translate=(2, 0)),
    "scale of zero": lambda T: T.RandomAffine(1, scale=(0, 1)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_refused_in_torchvisions_words(oracle: ModuleType, name: str) -> None:
    messages = []
    for transforms in (T, oracle.transforms):
        with pytest.raises(Exception) as caught:
            WRONG[name](transforms)
        messages.append((type(caught.value), str(caught.value)))
    assert messages[0] == messages[1]


def test_a_crop_larger_than_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Required crop size \(20, 20\) is larger than input image size \(9, 12\)"):
        T.RandomCrop(20)(torchplug.from_numpy(RGB))


def test_to_tensor_scales_bytes_and_keeps_the_rest() -> None:
    scaled = T.ToTensor()(np.array([[0, 51], [102, 255]], np.uint8))
    assert scaled.tolist() == [[[0.0, 0.20000000298023224], [0.4000000059604645, 1.0]]]
    assert T.ToTensor()(np.ones((2, 3, 4), np.int32)).shape == (4, 2, 3)
    assert T.ToTensor()(np.ones((2, 3), np.float64)).dtype == torchplug.float64


def test_to_tensor_copies_the_image() -> None:
    image = np.zeros((2, 2), np.float32)
    T.ToTensor()(image).fill_(1)
    assert not image.any()


def test_normalize_subtracts_the_mean_and_divides_by_the_deviation() -> None:
    image = torchplug.tensor([[[1.0]], [[4.0]]])
    assert T.Normalize((1, 2), (2, 4))(image).flatten().tolist() == [0.0, 0.5]
    assert image.flatten().tolist() == [1.0, 4.0]
    assert T.Normalize(1, 2, inplace=True)(image) is image
    assert image.flatten().tolist() == [0.0, 1.5]
    with pytest.raises(ValueError, match="std evaluated to zero after conversion to torch.float32"):
        T.Normalize(0, 0)(image)
    with pytest.raises(TypeError, match="should be a float tensor. Got torch.uint8"):
        T.Normalize(0, 1)(torchplug.from_numpy(GRAY))


def test_transforms_are_modules() -> None:
    chain = torchplug.nn.Sequential(T.CenterCrop(5), T.ConvertImageDtype(torchplug.float32), T.Normalize(0.5, 0.5))
    assert chain(torchplug.from_numpy(RGB)).shape == (3, 5, 5)


@pytest.mark.skipif(importlib.util.find_spec("PIL") is None, reason="needs Pillow")
@pytest.mark.filterwarnings("ignore:Anti-alias option is always applied")
@pytest.mark.parametrize("name", [name for name in FIXED if not name.startswith(("to ", "erase"))])
def test_pillow_images_are_changed_as_torchvision_changes_them(oracle: ModuleType, name: str) -> None:
    image = oracle.transforms.ToPILImage()(RGB.transpose(1, 2, 0))
    try:
        theirs = FIXED[name](oracle.transforms)(image)
    except (RuntimeError, TypeError, ValueError):
        with pytest.raises((RuntimeError, TypeError, ValueError)):
            FIXED[name](T)(image)
        return
    for mine, other in zip(arrays(FIXED[name](T)(image)), arrays(theirs), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.skipif(importlib.util.find_spec("PIL") is None, reason="needs Pillow")
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "I", "F", "LA", "YCbCr"])
def test_pillow_images_of_every_mode_become_torchvisions_tensors(oracle: ModuleType, mode: str) -> None:
    from PIL import Image

    image = Image.fromarray(pixels(4, 5, 3)).convert("RGB" if mode in ("RGBA", "YCbCr") else "L").convert(mode)
    for name in ("ToTensor", "PILToTensor"):
        ours, theirs = getattr(T, name)()(image), getattr(oracle.transforms, name)()(image)
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.skipif(importlib.util.find_spec("PIL") is None, reason="needs Pillow")
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_tensors_become_torchvisions_pillow_images(oracle: ModuleType, channels: int) -> None:
    torch = pytest.importorskip("torch")
    for values in (pixels(channels, 4, 5), pixels(channels, 4, 5).astype(np.float32) / 255):
        ours = T.ToPILImage()(torchplug.from_numpy(values))
        theirs = oracle.transforms.ToPILImage()(torch.from_numpy(values))
        assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
