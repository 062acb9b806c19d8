"""Shapes, joins, gathers, sorts and scatters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from engines_under_test import FLOATS, INTEGERS, Bench

from torchplug_spec import DType
from torchplug_spec import dtypes as dt

every_dtype = pytest.mark.parametrize("dtype", dt.ALL, ids=repr)


def need(bench: Bench, *dtypes: DType) -> None:
    for dtype in dtypes:
        if not bench.holds(dtype):
            pytest.skip(f"{bench.name} does not declare {dtype}")


@every_dtype
def test_reshape_reads_and_writes_in_c_order(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    x = np.arange(6).reshape(2, 3).astype(dtype.numpy)
    assert (bench.run("reshape", x, (3, 2)) == x.reshape(3, 2)).all()
    turned = bench.backend.permute_dims(bench.put(x), (1, 0))
    assert (bench.get(bench.backend.reshape(turned, (6,))) == x.T.reshape(6)).all()


@pytest.mark.parametrize(("old", "new"), [((), (1, 1)), ((1,), ()), ((0, 3), (3, 0, 2)), ((4,), (2, 2))], ids=str)
def test_reshape_of_odd_shapes(bench: Bench, old: tuple[int, ...], new: tuple[int, ...]) -> None:
    assert bench.run("reshape", np.ones(old, np.float32), new).shape == new


@every_dtype
def test_permute_dims_reorders_axes(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    x = np.arange(24).reshape(2, 3, 4).astype(dtype.numpy)
    assert (bench.run("permute_dims", x, (2, 0, 1)) == x.transpose(2, 0, 1)).all()


@every_dtype
@pytest.mark.parametrize("shape", [(2, 3), (4, 2, 3), (2, 2, 2, 3)], ids=str)
def test_broadcast_to_repeats_axes_of_length_one(bench: Bench, dtype: DType, shape: tuple[int, ...]) -> None:
    need(bench, dtype)
    x = np.array([[0], [1]]).astype(dtype.numpy)
    for source in (x, np.array([[1, 0]]).astype(dtype.numpy).T):
        array = bench.put(source)
        assert (bench.get(bench.backend.broadcast_to(array, shape)) == np.broadcast_to(source, shape)).all()


def test_broadcast_to_an_impossible_shape_raises(bench: Bench) -> None:
    with pytest.raises((ValueError, TypeError)):
        bench.run("broadcast_to", np.ones((2, 3), np.float32), (2, 4))


def test_a_number_broadcasts_to_every_shape(bench: Bench) -> None:
    assert bench.run("broadcast_to", np.array(2.0, np.float32), (2, 0, 3)).shape == (2, 0, 3)


@every_dtype
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat_joins_along_an_axis(bench: Bench, dtype: DType, axis: int) -> None:
    need(bench, dtype)
    x = np.arange(6).reshape(2, 3).astype(dtype.numpy)
    pieces = [x, x[:, ::-1].copy(), x[:0] if axis == 0 else x[:, :0]]
    got = bench.run("concat", pieces, axis)
    assert got.dtype == dtype.numpy
    assert (got == np.concatenate(pieces, axis)).all()


@every_dtype
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_take_gathers_slices(bench: Bench, dtype: DType, axis: int) -> None:
    need(bench, dtype)
    x = np.arange(12).reshape(3, 4).astype(dtype.numpy)
    indices = np.array([2, 0, 2, 1])
    got = bench.run("take", x, indices, axis)
    assert got.dtype == dtype.numpy
    assert (got == x.take(indices, axis)).all()


def test_take_of_nothing_is_empty(bench: Bench) -> None:
    assert bench.run("take", np.ones((3, 2), np.float32), np.zeros(0, np.int64), 0).shape == (0, 2)


@pytest.mark.parametrize("dtype", [dt.bool_, *INTEGERS, *FLOATS], ids=repr)
@pytest.mark.parametrize("descending", [False, True])
def test_argsort_is_stable_both_ways(bench: Bench, dtype: DType, descending: bool) -> None:
    need(bench, dtype)
    x = np.random.default_rng(0).integers(0, 2 if dtype is dt.bool_ else 5, (3, 40)).astype(dtype.numpy)
    for axis in (0, 1, -1):
        got = bench.run("argsort", x, axis, descending)
        expected = np.argsort(-x.astype(np.int64) if descending else x.astype(np.int64), axis, kind="stable")
        assert got.dtype == np.int64
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", FLOATS, ids=repr)
@pytest.mark.parametrize(("descending", "expected"), [(False, [3, 1, 4, 5, 0, 2]), (True, [0, 2, 1, 4, 5, 3])])
def test_nan_sorts_as_the_greatest(bench: Bench, dtype: DType, descending: bool, expected: list[int]) -> None:
    need(bench, dtype)
    x = np.array([math.nan, 1.0, math.nan, -math.inf, 1.0, 1.0]).astype(dtype.numpy)
    assert bench.run("argsort", x, 0, descending).tolist() == expected


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS, dt.complex64, dt.complex128], ids=repr)
def test_scatter_add_accumulates_repeated_indices(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    x = np.array([10, 20, 30]).astype(dtype.numpy)
    got = bench.run("scatter_add", x, np.array([2, 0, 2, 2]), np.array([1, 2, 3, 4]).astype(dtype.numpy))
    assert got.dtype == dtype.numpy
    assert got.astype(complex).tolist() == [12, 20, 38]
    assert x.astype(complex).tolist() == [10, 20, 30]


def test_scatter_add_sums_every_run_of_any_length(bench: Bench) -> None:
    rng = np.random.default_rng(0)
    for count in (0, 1, 2, 3, 100, 1000):
        indices, values = rng.integers(0, 17, count), rng.integers(-9, 9, count).astype(np.float32)
        expected = np.bincount(indices, values, 17).astype(np.float32)
        np.testing.assert_array_equal(bench.run("scatter_add", np.zeros(17, np.float32), indices, values), expected)
