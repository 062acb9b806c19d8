"""NumPy's kernels for choices: every element type and broadcast of `where`, and ties in `topk`."""

from __future__ import annotations

import numpy as np
import pytest

import torchplug
from torchplug._core.kernels import COMPOSITIONS

ENGINE = "numpy"


@pytest.fixture
def F():
    with torchplug.use_backend(ENGINE):
        return torchplug.zeros(1)._kind.F


TYPES = ("?", "u1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16")
SHAPES = (
    ((64, 100), (64, 100), (64, 100)),
    ((64, 100), (100,), ()),
    ((64, 1), (100,), (64, 100)),
    ((3000,), (3, 3000), (1,)),
    ((64, 100), (64, 1), (1, 100)),
)


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("name", TYPES)
def test_where_chooses_what_numpy_chooses(F, name, shapes):
    random = np.random.default_rng(0)
    condition = random.random(shapes[0]) > 0.5
    x, y = (np.asarray(random.standard_normal(shape) * 3).astype(name) for shape in shapes[1:])
    for first, second in ((x, y), (x, np.zeros((), name)), (np.zeros((), name), y), (x[..., ::-1], y)):
        found, expected = F.where(condition, first, second), np.where(condition, first, second)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_where_keeps_the_sign_of_zero_and_the_payload_of_nan(F):
    condition = np.zeros(4096, bool)
    assert np.signbit(F.where(condition, np.ones(4096, "f4"), np.array(-0.0, "f4"))).all()
    strange = np.full(4096, 0x7FC0BEEF, "u4").view("f4")
    assert (F.where(~condition, strange, np.zeros(4096, "f4")).view("u4") == 0x7FC0BEEF).all()


def test_where_leaves_its_operands_alone(F):
    condition, x, y = np.arange(4096) % 3 == 0, np.ones(4096, "f4"), np.zeros(4096, "f4")
    F.where(condition, x, y)
    assert condition.sum() == 1366
    assert (x == 1).all()
    assert (y == 0).all()


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["f4", "f8", "i8"])
def test_topk_breaks_ties_as_its_composition_does(F, name, axis, largest):
    x = np.random.default_rng(0).integers(0, 30, (50, 80)).astype(name)
    found, expected = F.topk(x, 7, axis, largest), COMPOSITIONS["topk"](F, x, 7, axis, largest)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_topk_counts_nan_as_largest(F):
    x = np.random.default_rng(0).standard_normal((4, 40)).astype("f4")
    x[1, 3] = x[2, 7] = np.nan
    values, places, _ = F.topk(x, 3, 1, True)
    assert places[1, 0] == 3
    assert np.isnan(values[2, 0])
