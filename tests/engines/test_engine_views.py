"""Strided engines: views share memory, storages cover it, writes convert. Written for the capability `mutable`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from engines_under_test import ENGINES, Bench, bench_of, is_installed
from hypothesis import given, settings
from hypothesis import strategies as st

from torchplug_spec import dtypes as dt


@pytest.fixture(params=[name for name in ENGINES if is_installed(name) and name not in ("generic", "jax", "strict")])
def mutable(request: pytest.FixtureRequest) -> Bench:
    return bench_of(request.param)


@pytest.mark.parametrize("name", ENGINES)
def test_engines_say_whether_they_are_mutable(name: str) -> None:
    if not is_installed(name):
        pytest.skip(f"unavailable: {name}: its library is not installed")
    assert bench_of(name).has("mutable") == (name not in ("generic", "jax", "strict"))


def numbered(bench: Bench, *shape: int) -> Any:
    return bench.put(np.arange(math.prod(shape), dtype=np.float32).reshape(shape))


def _moves() -> st.SearchStrategy[list[tuple[str, int, int]]]:
    move = st.tuples(
        st.sampled_from(["slice", "reverse", "turn", "pick", "split", "real"]), st.integers(0, 7), st.integers(1, 3)
    )
    return st.lists(move, max_size=5)


def _moved(bench: Bench, x: Any, name: str, place: int, step: int) -> Any:
    axis = place % max(1, x.ndim)
    ahead = (slice(None),) * axis
    if name == "real":
        return bench.backend.real(x) if bench.get(x).dtype.kind == "c" else x
    if not x.ndim:
        return x
    if name == "slice":
        return x[(*ahead, slice(place % max(1, x.shape[axis]), None, step))]
    if name == "reverse":
        return x[(*ahead, slice(None, None, -step))]
    if name == "turn":
        return bench.backend.permute_dims(x, tuple(np.roll(range(x.ndim), step).tolist()))
    if name == "pick" and x.ndim > 1 and x.shape[axis]:
        return x[(*ahead, place % x.shape[axis])]
    return x[(*ahead, None)] if x.ndim < 5 else x


@settings(max_examples=60, deadline=None)
@given(moves=_moves(), fortran=st.booleans(), complex_numbers=st.booleans())
def test_storage_strides_and_offset_describe_any_view(moves: Any, fortran: bool, complex_numbers: bool) -> None:
    for name in ("numpy", "cupy-over-numpy"):
        bench = bench_of(name)
        host = np.asarray(np.arange(60).reshape(3, 4, 5), np.complex64 if complex_numbers else np.float32)
        x = bench.put(np.asfortranarray(host) if fortran else host)
        for move in moves:
            x = _moved(bench, x, *move)
        flat, offset = bench.backend.storage_of(x)
        assert flat.ndim == 1
        again = bench.backend.as_strided(flat, tuple(x.shape), bench.backend.strides_of(x), offset)
        np.testing.assert_array_equal(bench.get(again), bench.get(x))
        if x.size:
            bench.backend.assign(again, -7.0)
            assert (bench.get(x) == -7).all()


def test_a_whole_array_is_its_own_storage(mutable: Bench) -> None:
    x = numbered(mutable, 2, 3)
    flat, offset = mutable.backend.storage_of(x)
    assert (tuple(flat.shape), offset) == ((6,), 0)
    mutable.backend.assign(flat, 1.0)
    assert mutable.get(x).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_the_storage_of_a_view_is_that_of_its_base(mutable: Bench) -> None:
    x = numbered(mutable, 4, 5)
    flat, offset = mutable.backend.storage_of(x[1:, ::2][1])
    assert (tuple(flat.shape), offset) == ((20,), 10)


def test_strides_count_elements(mutable: Bench) -> None:
    x = numbered(mutable, 2, 3, 4)
    assert mutable.backend.strides_of(x) == (12, 4, 1)
    assert mutable.backend.strides_of(x[:, ::-1, ::2]) == (12, -4, 2)
    assert mutable.backend.strides_of(mutable.backend.broadcast_to(x[:1], (5, 3, 4)))[0] == 0


@pytest.mark.parametrize("view", ["slice", "permute", "reshape", "broadcast", "as_strided", "real", "imag"])
def test_a_write_through_a_view_reaches_its_base(mutable: Bench, view: str) -> None:
    backend = mutable.backend
    x = numbered(mutable, 2, 3) if view not in ("real", "imag") else mutable.put(np.zeros((2, 3), np.complex64))
    views = {
        "slice": lambda: x[1:, ::-1],
        "permute": lambda: backend.permute_dims(x, (1, 0)),
        "reshape": lambda: backend.reshape(x, (3, 2)),
        "broadcast": lambda: backend.broadcast_to(x, (1, 2, 3)),
        "as_strided": lambda: backend.as_strided(backend.reshape(x, (6,)), (2, 2), (3, 1), 1),
        "real": lambda: backend.real(x),
        "imag": lambda: backend.imag(x),
    }
    backend.assign(views[view](), 50.0)
    written = mutable.get(x)
    assert (written == (50j if view == "imag" else 50)).sum() == {"slice": 3, "as_strided": 4}.get(view, 6)


def test_a_broadcast_view_of_a_view_can_be_written(mutable: Bench) -> None:
    x = numbered(mutable, 4, 3)
    expanded = mutable.backend.broadcast_to(x[::2], (2, 2, 3))
    mutable.backend.assign(expanded[0], -1.0)
    assert mutable.get(x)[::2].tolist() == [[-1, -1, -1], [-1, -1, -1]]


@pytest.mark.parametrize(
    ("target", "value", "expected"),
    [
        (dt.int32, np.array([1.9, -1.9]), [1, -1]),
        (dt.float32, np.array([1, 2]), [1.0, 2.0]),
        (dt.float32, np.array([1 + 2j, 3j]), [1.0, 0.0]),
        (dt.bool_, np.array([0.5, 0.0]), [True, False]),
        (dt.bool_, np.array([1j, 0]), [True, False]),
        (dt.float16, np.array([1e6, 1.0], np.float32), [math.inf, 1.0]),
        (dt.complex64, np.array([1, 2]), [1 + 0j, 2 + 0j]),
        (dt.int64, 3, [3, 3]),
        (dt.float32, 1e39, [math.inf, math.inf]),
        (dt.int16, 2.7, [2, 2]),
        (dt.bool_, 2, [True, True]),
        (dt.complex64, 1j, [1j, 1j]),
        (dt.float32, 1 + 2j, [1.0, 1.0]),
    ],
    ids=repr,
)
def test_assign_converts_and_broadcasts(mutable: Bench, target: Any, value: Any, expected: list[Any]) -> None:
    x = mutable.backend.full((2,), 0, target, mutable.device)
    with mutable.warnings():
        mutable.backend.assign(x, mutable.put(value) if isinstance(value, np.ndarray) else value)
    assert mutable.get(x).dtype == target.numpy
    assert mutable.get(x).tolist() == expected


def test_assign_from_overlapping_memory_reads_before_it_writes(mutable: Bench) -> None:
    x = numbered(mutable, 6)
    mutable.backend.assign(x[1:], x[:-1])
    assert mutable.get(x).tolist() == [0, 0, 1, 2, 3, 4]


def test_a_cast_and_a_sum_over_nothing_are_new_memory(mutable: Bench) -> None:
    x = numbered(mutable, 3)
    for copy in (mutable.backend.astype(x, dt.float32), mutable.backend.sum(x, (), False)):
        mutable.backend.assign(copy, 9.0)
        assert mutable.get(x).tolist() == [0, 1, 2]
