"""Creation, transfer and casts keep the contract on every engine."""

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
def test_full_has_the_shape_type_and_value_asked_for(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    x = bench.backend.full((2, 3), 1, dtype, bench.device)
    assert (tuple(x.shape), x.ndim) == ((2, 3), 2)
    got = bench.get(x)
    assert got.dtype == dtype.numpy
    assert (got == np.ones((2, 3), dtype.numpy)).all()


@pytest.mark.parametrize("dtype", FLOATS, ids=repr)
@pytest.mark.parametrize("value", [0.0, -0.0, math.inf, -math.inf, math.nan, 0.5])
def test_full_keeps_signs_of_zero_infinities_and_nan(bench: Bench, dtype: DType, value: float) -> None:
    need(bench, dtype)
    got = float(bench.get(bench.backend.full((), value, dtype, bench.device)))
    assert math.copysign(1, got) == math.copysign(1, value) or math.isnan(value)
    assert got == value or math.isnan(got) and math.isnan(value)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1)])
def test_full_makes_empty_and_zero_dimensional_arrays(bench: Bench, shape: tuple[int, ...]) -> None:
    assert bench.get(bench.backend.full(shape, 0, dt.float32, bench.device)).shape == shape


def test_two_fills_are_two_arrays(bench: Bench) -> None:
    first = bench.backend.full((2,), 0, dt.float32, bench.device)
    second = bench.backend.full((2,), 0, dt.float32, bench.device)
    if bench.has("mutable"):
        bench.backend.assign(first, 1.0)
    assert bench.get(second).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("start", "stop", "step"), [(0, 5, 1), (2, 11, 3), (5, 0, -1), (3, 3, 1), (-4, 4, 2), (10, -10, -7)]
)
@pytest.mark.parametrize("dtype", [dt.int16, dt.int32, dt.int64, dt.float32], ids=repr)
def test_integer_ranges_are_python_s(bench: Bench, start: int, stop: int, step: int, dtype: DType) -> None:
    got = bench.get(bench.backend.arange(start, stop, step, dtype, bench.device))
    assert got.dtype == dtype.numpy
    assert got.tolist() == list(range(start, stop, step))


@pytest.mark.parametrize(("start", "stop", "step"), [(0.0, 1.0, 0.1), (1.0, -1.0, -0.3), (0.0, 1000.0, 0.7)])
def test_ranges_of_floats_round_each_element_once(bench: Bench, start: float, stop: float, step: float) -> None:
    if bench.name == "generic":
        pytest.skip("the standard leaves the rounding of arange to the library")
    count = math.ceil((stop - start) / step)
    expected = np.array([start + i * step for i in range(count)]).astype(np.float32)
    got = bench.get(bench.backend.arange(start, stop, step, dt.float32, bench.device))
    np.testing.assert_array_equal(got, expected)


@every_dtype
def test_values_survive_the_way_to_the_engine_and_back(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    host = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype.numpy)
    for layout in (host, host.T, host[:, ::-1], host[1:, 1:2]):
        got = bench.get(bench.put(layout))
        assert got.dtype == dtype.numpy
        assert (got == layout).all()


def test_only_a_mutable_host_engine_shares_memory(bench: Bench) -> None:
    for length in (4, 1 << 16):  # large arrays are aligned, and libraries look into aligned memory
        host = np.zeros(length, np.float32)
        x = bench.backend.from_numpy(host, bench.device)
        host[:] = 1.0
        shared = bench.has("mutable") and bench.device == "cpu"
        assert bench.get(x).sum() == (length if shared else 0)


def test_an_array_read_back_can_be_written(bench: Bench) -> None:
    got = bench.get(bench.put(np.zeros(3, np.float32)))
    got[0] = 1.0
    assert got[0] == 1.0


def test_float64_is_not_narrowed(bench: Bench) -> None:
    need(bench, dt.float64)
    assert bench.get(bench.put(np.array([1 + 1e-12])))[0] == 1 + 1e-12


def test_devices_are_spelled_as_pytorch_spells_them(bench: Bench) -> None:
    x = bench.put(np.zeros(2, np.float32))
    assert bench.backend.device_of(x) == bench.device
    for device in bench.backend.devices():
        kind, _, index = device.partition(":")
        assert kind in ("cpu", "cuda", "tpu") and (index.isdigit() or device == "cpu")
        moved = bench.backend.to_device(x, device)
        bench.backend.synchronize(device)
        assert bench.backend.device_of(moved) == device


def test_an_array_already_on_the_device_stays_itself(bench: Bench) -> None:
    x = bench.put(np.zeros(2, np.float32))
    assert bench.get(bench.backend.to_device(x, bench.device)).tolist() == [0, 0]


@pytest.mark.parametrize("source", dt.ALL, ids=repr)
@pytest.mark.parametrize("target", dt.ALL, ids=repr)
def test_casts_reach_every_type(bench: Bench, source: DType, target: DType) -> None:
    need(bench, source, target)
    x = bench.put([0, 1, 3], source)
    got = bench.get(bench.backend.astype(x, target))
    assert got.dtype == target.numpy
    expected = [0, 1, 1] if dt.bool_ in (source, target) else [0, 1, 3]
    assert [complex(each) for each in got] == expected


@pytest.mark.parametrize("target", [dt.int8, dt.int32, dt.int64], ids=repr)
def test_floats_truncate_towards_zero(bench: Bench, target: DType) -> None:
    got = bench.get(bench.backend.astype(bench.put(np.array([-1.9, -0.5, 0.5, 1.9], np.float32)), target))
    assert got.tolist() == [-1, 0, 0, 1]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (dt.uint8, [0, 255, 44, 0, 112]),
        (dt.int8, [0, -1, 44, 0, 112]),
        (dt.int16, [0, -1, 300, 0, 4464]),
        (dt.int32, [-(2**31), -1, 300, -(2**31), 70000]),
        (dt.int64, [-(2**63), -1, 300, -(2**63), 70000]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("source", [dt.float32, dt.float64], ids=repr)
def test_nan_and_numbers_that_do_not_fit_become_what_pytorch_makes_of_them(
    bench: Bench, source: DType, target: DType, expected: list[int]
) -> None:
    x = bench.put([math.nan, -1.0, 300.0, math.inf, 70000.0], source)
    with bench.warnings():
        assert bench.get(bench.backend.astype(x, target)).tolist() == expected


def test_complex_numbers_lose_their_imaginary_part_and_are_true_unless_zero(bench: Bench) -> None:
    need(bench, dt.complex64)
    x = bench.put([2 + 1j, 1j, 0], dt.complex64)
    assert bench.get(bench.backend.astype(x, dt.float32)).tolist() == [2.0, 0.0, 0.0]
    assert bench.get(bench.backend.astype(x, dt.int64)).tolist() == [2, 0, 0]
    assert bench.get(bench.backend.astype(x, dt.bool_)).tolist() == [True, True, False]


def test_nan_is_true(bench: Bench) -> None:
    assert bench.get(bench.backend.astype(bench.put([math.nan, 0.0], dt.float32), dt.bool_)).tolist() == [True, False]


@pytest.mark.parametrize("dtype", (*INTEGERS, *FLOATS), ids=repr)
def test_basic_indexing_gives_arrays(bench: Bench, dtype: DType) -> None:
    need(bench, dtype)
    host = np.arange(24).reshape(2, 3, 4).astype(dtype.numpy)
    x = bench.put(host)
    for key in [
        (0, ...),
        (slice(None), 1, slice(None)),
        (..., -1),
        (None, slice(0, 2), slice(2, 0, -1), ...),
        (1, 2, 3, ...),
        (0, slice(0, 0), ...),
    ]:
        assert tuple(x[key].shape) == host[key].shape
        assert (bench.get(x[key]) == host[key]).all()
