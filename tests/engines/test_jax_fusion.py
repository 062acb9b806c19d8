"""Compositions of the JAX engine run as one program; slices and scatters do what NumPy's do."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="unavailable: jax: not installed")

import torchplug_jax  # noqa: E402
from torchplug_spec import dtypes as dt  # noqa: E402

backend = torchplug_jax.build()


def put(values: Any) -> Any:
    return backend.from_numpy(np.asarray(values, np.float32), "cpu")


class Counted:
    """A composition that counts how often Python runs it."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, x: Any, power: float, arrays: Any = ()) -> Any:
        self.runs += 1
        out = backend.multiply(backend.exp(x), power)
        for array in arrays:
            out = backend.add(out, array)
        return out


def test_python_runs_a_composition_once_per_shape_and_per_argument_that_is_no_array() -> None:
    composition = Counted()
    fused = backend.fuse(composition)
    for _ in range(3):
        assert backend.to_numpy(fused(put([0.0, 0.0]), 2.0)).tolist() == [2, 2]
    assert composition.runs == 1
    assert backend.to_numpy(fused(put([0.0]), 2.0)).tolist() == [2]
    assert backend.to_numpy(fused(put([0.0]), 3.0)).tolist() == [3]
    assert composition.runs == 3


def test_lists_of_arrays_are_inputs_not_constants() -> None:
    fused = backend.fuse(Counted())
    for value in (1.0, 5.0):
        assert backend.to_numpy(fused(put([0.0]), 1.0, [put([value]), put([value])])).tolist() == [1 + 2 * value]
    assert backend.to_numpy(fused(put([0.0]), 1.0, [put([7.0])])).tolist() == [8]


@pytest.mark.parametrize(("first", "second"), [(0.0, -0.0), (1, 1.0), (1, True)], ids=str)
def test_equal_numbers_of_another_type_or_sign_are_other_programs(first: Any, second: Any) -> None:
    fused = backend.fuse(lambda x, value: backend.full((), repr(value) == repr(first), dt.bool_, "cpu"))
    assert backend.to_numpy(fused(put([0.0]), first))
    assert not backend.to_numpy(fused(put([0.0]), second))


def test_a_composition_that_reads_a_value_runs_unfused() -> None:
    def reads(x: Any) -> Any:
        return backend.add(x, float(backend.to_numpy(backend.sum(x, None, False))))

    fused = backend.fuse(reads)
    for value in (1.0, 2.0):
        assert backend.to_numpy(fused(put([value]))).tolist() == [2 * value]


def test_a_composition_that_asks_whether_it_is_traced_still_checks_its_values() -> None:
    def checked(x: Any) -> Any:
        if not backend.is_tracer(x) and backend.to_numpy(x)[0] < 0:
            raise IndexError("negative")
        return backend.add(x, 1.0)

    fused = backend.fuse(checked)
    for _ in range(2):
        assert backend.to_numpy(fused(put([1.0]))).tolist() == [2]
        with pytest.raises(IndexError, match="negative"):
            fused(put([-1.0]))


def test_integer_division_by_zero_raises_inside_a_composition() -> None:
    fused = backend.fuse(lambda x, y: backend.add(backend.floor_divide(x, y), 1))
    ones, zeros = (backend.from_numpy(np.full(2, value), "cpu") for value in (1, 0))
    for _ in range(2):
        assert backend.to_numpy(fused(ones, ones)).tolist() == [2, 2]
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            fused(ones, zeros)


def test_integers_divide_by_zero_after_floats_were_fused() -> None:
    fused = backend.fuse(lambda x, y: backend.remainder(x, y))
    assert backend.to_numpy(fused(put([5.0]), put([3.0]))).tolist() == [2]
    seven, two, zero = (backend.from_numpy(np.array([value]), "cpu") for value in (7, 2, 0))
    for _ in range(2):
        assert backend.to_numpy(fused(seven, two)).tolist() == [1]
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            fused(seven, zero)


def test_a_composition_that_reads_values_of_some_shapes_alone_runs_unfused_for_those() -> None:
    def reads(x: Any) -> Any:
        return backend.add(x, float(backend.to_numpy(x)[0]) if x.shape[0] > 1 else 1.0)

    fused = backend.fuse(reads)
    for values in ([1.0], [3.0, 4.0], [5.0]):
        assert backend.to_numpy(fused(put(values))).tolist() == [
            v + (values[0] if len(values) > 1 else 1) for v in values
        ]


def test_an_error_comes_from_the_plain_call() -> None:
    def wrong(x: Any) -> Any:
        raise ValueError("wrong shape")

    fused = backend.fuse(wrong)
    for _ in range(2):
        with pytest.raises(ValueError, match="^wrong shape$"):
            fused(put([1.0]))


@pytest.mark.parametrize("result", [True, 3, "name", dt.float32, np.zeros(1)], ids=repr)
def test_results_that_are_no_arrays_stay_what_they_are(result: Any) -> None:
    fused = backend.fuse(lambda x: result)
    for _ in range(3):
        assert fused(put([1.0])) is result


def test_absent_results_and_nested_results_keep_their_structure() -> None:
    fused = backend.fuse(lambda x: (x, None, [backend.add(x, x)]))
    for _ in range(2):
        out, nothing, (double,) = fused(put([1.0]))
        assert nothing is None and backend.to_numpy(double).tolist() == [2] and backend.to_numpy(out).tolist() == [1]


def test_arguments_without_a_hash_run_unfused() -> None:
    composition = Counted()
    fused = backend.fuse(lambda x, table: composition(x, float(table[0])))
    for value in (1.0, 2.0):
        assert backend.to_numpy(fused(put([0.0]), np.array([value]))).tolist() == [value]
    assert composition.runs == 2


def test_too_many_variants_run_unfused() -> None:
    composition = Counted()
    fused = backend.fuse(composition)
    for number in range(40):
        assert backend.to_numpy(fused(put([0.0]), float(number))).tolist() == [number]
    before = composition.runs
    fused(put([0.0]), 39.0)
    assert composition.runs == before + 1
    fused(put([0.0]), 0.0)
    assert composition.runs == before + 1


def test_a_composition_inside_a_trace_is_part_of_it() -> None:
    fused = backend.fuse(Counted())
    text = str(jax.make_jaxpr(lambda x: fused(fused(x, 2.0), 3.0))(np.ones(2, np.float32)))
    assert text.count("exp ") == 2 and "pjit" not in text and "jit[" not in text


def test_threads_fuse_apart() -> None:
    fused = backend.fuse(Counted())
    results: list[float] = []

    def work() -> None:
        for _ in range(20):
            results.append(float(backend.to_numpy(fused(put([0.0]), 2.0))[0]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [2.0] * 80


# ---- memory kernels --------------------------------------------------------------------------------------------------

_WHOLE = (slice(0, 6, 1), slice(0, 5, 1), slice(0, 4, 1))
_KEYS = [
    (2, *_WHOLE[1:]),
    (slice(1, 6, 2), slice(0, 5, 3), 3),
    (None, _WHOLE[0], 2, None, slice(1, 3, 1), None),
    (slice(2, 2, 1), _WHOLE[1], 0),
    (1, 2, 3),
    (slice(5, 6, 1), slice(0, 5, 2), slice(3, 4, 1)),
    _WHOLE,
]


@pytest.mark.parametrize("key", _KEYS, ids=str)
@pytest.mark.parametrize("traced", [False, True])
def test_slices_are_read_written_and_embedded(key: tuple[Any, ...], traced: bool) -> None:
    host = np.random.default_rng(0).random((6, 5, 4), np.float32)
    value = -host[key]
    written, embedded = host.copy(), np.zeros_like(host)
    written[key] = embedded[key] = value

    def run(function: Any, *arrays: np.ndarray) -> np.ndarray:
        called = jax.jit(function) if traced else function
        return backend.to_numpy(called(*[backend.from_numpy(array, "cpu") for array in arrays]))

    np.testing.assert_array_equal(run(lambda x: backend.slice(x, key), host), host[key])
    np.testing.assert_array_equal(run(lambda x, v: backend.slice_update(x, v, key), host, value), written)
    np.testing.assert_array_equal(run(lambda g: backend.slice_embed(g, host.shape, key), value), embedded)


def test_a_loop_over_elements_compiles_one_program() -> None:
    from torchplug_jax.memory import _read_at

    x = put(np.arange(300.0).reshape(100, 3))
    before = _read_at._cache_size()
    for place in range(100):
        assert backend.to_numpy(backend.slice(x, (place, slice(0, 3, 1))))[0] == 3 * place
    assert _read_at._cache_size() == before + 1


def test_a_number_is_sliced_by_nothing() -> None:
    assert backend.slice(put(3.0), ()).shape == ()
    assert backend.slice(put(3.0), (None,)).shape == (1,)


def test_scatter_sets_places_and_take_backward_adds_them_up() -> None:
    index = backend.from_numpy(np.array([2, 0]), "cpu")
    assert backend.to_numpy(backend.scatter(put([1, 2, 3]), index, put([10, 20]))).tolist() == [20, 2, 10]
    g = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    rows = np.array([1, 1, 3])
    expected = np.zeros((2, 4, 2), np.float32)
    np.add.at(expected, (slice(None), rows), g)
    got = backend.take_backward(put(g), backend.from_numpy(rows, "cpu"), (2, 4, 2), 1)
    np.testing.assert_array_equal(backend.to_numpy(got), expected)


def test_unbroadcast_sums_what_broadcasting_repeated() -> None:
    g = np.random.default_rng(0).random((2, 3, 4), np.float32)
    for shape in [(2, 3, 4), (3, 4), (1, 4), (4,), (), (2, 1, 1), (1, 1, 4)]:
        lead = 3 - len(shape)
        axes = (*range(lead), *(lead + axis for axis, length in enumerate(shape) if length == 1))
        expected = g.sum(axes, keepdims=True).reshape(shape)
        np.testing.assert_allclose(backend.to_numpy(backend.unbroadcast(put(g), shape)), expected, rtol=1e-6)


def test_broadcast_like_spreads_the_gradient_of_a_reduction() -> None:
    g = np.random.default_rng(0).random((2, 4), np.float32)
    got = backend.to_numpy(backend.broadcast_like(put(g), (2, 3, 4), (1,), False))
    np.testing.assert_array_equal(got, np.broadcast_to(g[:, None], (2, 3, 4)))
    assert backend.to_numpy(backend.broadcast_like(put(2.0), (2, 3), None, False)).sum() == 12


def test_parts_and_bytes_of_numbers() -> None:
    x = np.array([1 + 2j, 3 - 4j], np.complex64)
    parts = backend.view_as_real(backend.from_numpy(x, "cpu"))
    np.testing.assert_array_equal(backend.to_numpy(parts), x.view(np.float32).reshape(2, 2))
    np.testing.assert_array_equal(backend.to_numpy(backend.view_as_complex(parts)), x)
    words = backend.reinterpret(put([[1.0, 2.0]]), dt.int32)
    np.testing.assert_array_equal(backend.to_numpy(words), np.array([[1.0, 2.0]], np.float32).view(np.int32))
