"""Grids of images are torchvision's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torchvision_oracle import torchvision

import torchplug
from torchplug.vision.utils import make_grid, save_image

CASES: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "one row": ((3, 3, 4, 5), {}),
    "rows": ((7, 3, 4, 5), {"nrow": 3, "padding": 1, "pad_value": 0.5}),
    "gray": ((4, 1, 2, 2), {"nrow": 2}),
    "normalized": ((4, 3, 2, 2), {"normalize": True}),
    "each normalized": ((4, 3, 2, 2), {"normalize": True, "scale_each": True}),
    "range": ((4, 3, 2, 2), {"normalize": True, "value_range": (-1, 0.5)}),
    "single": ((3, 4, 5), {}),
    "flat": ((4, 5), {"normalize": True}),
    "batch of one": ((1, 3, 4, 5), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_grids_are_torchvisions(name: str) -> None:
    oracle, torch = torchvision(), pytest.importorskip("torch")
    shape, arguments = CASES[name]
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    ours = make_grid(torchplug.from_numpy(values.copy()), **arguments)
    theirs = oracle.utils.make_grid(torch.from_numpy(values.copy()), **arguments)
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)


def test_a_list_of_images_is_a_batch() -> None:
    images = [torchplug.zeros(3, 2, 2), torchplug.ones(3, 2, 2)]
    assert torchplug.equal(make_grid(images), make_grid(torchplug.stack(images)))
    with pytest.raises(TypeError, match="tensor or list of tensors expected"):
        make_grid("images")


def test_a_grid_is_written_as_an_image_file(tmp_path: Any) -> None:
    image = pytest.importorskip("PIL.Image")
    save_image(torchplug.ones(2, 1, 3, 3), tmp_path / "grid.png")
    with image.open(tmp_path / "grid.png") as written:
        assert written.size == (12, 7)
        assert written.getpixel((3, 3)) == (255, 255, 255)
