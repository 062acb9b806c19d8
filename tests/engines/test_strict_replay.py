"""The strict engine's compile records a run and makes its calls again, checking every result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from torchplug_strict import StrictArray, StrictBackend
from torchplug_strict.replay import Recording

backend = StrictBackend()


def put(*values: float) -> StrictArray:
    return backend.from_numpy(np.array(values, np.float32), "cpu")


def numbers(array: StrictArray) -> Any:
    return backend.to_numpy(array).tolist()


def test_a_replay_computes_with_the_new_arrays():
    runs = []

    def function(arrays: list[StrictArray]) -> list[StrictArray]:
        runs.append(1)
        x, y = arrays
        return [backend.add(x, backend.multiply(y, 2.0)), x[0:1, ...], y]

    run = backend.compile(function)
    for k in (1.0, 5.0):
        assert [numbers(out) for out in run([put(k, 2), put(3, k)])] == [[k + 6, 2 + 2 * k], [k], [3, k]]
    assert len(runs) == 1


def test_one_array_given_twice_is_two_inputs():
    run = backend.compile(lambda arrays: [backend.subtract(arrays[0], arrays[1])])
    x = put(4)
    assert numbers(run([x, x])[0]) == [0]
    assert numbers(run([x, put(1)])[0]) == [3]


def test_other_shapes_are_recorded_anew():
    run = backend.compile(lambda arrays: [backend.sum(arrays[0], 0, False)])
    assert [numbers(run([put(*values)])[0]) for values in ((1, 2), (1, 2, 3), (4, 5))] == [3, 6, 9]


def test_values_that_will_differ_cannot_be_read_while_recording():
    def peeks(arrays: list[StrictArray]) -> list[StrictArray]:
        assert backend.is_tracer(backend.exp(arrays[0]))
        assert not backend.is_tracer(put(1))
        backend.to_numpy(backend.exp(arrays[0]))
        return []

    with pytest.raises(TypeError, match="inside compile, which has no values yet"):
        backend.compile(peeks)([put(1)])
    assert not backend.is_tracer(put(1))


def test_a_replay_that_gives_other_values_than_the_recorded_run_is_refused():
    x = put(1)
    recording = Recording([x])
    recording.add("sin", lambda array: put(3), (x,), recorded := put(2))
    recording.results = [recorded]
    with pytest.raises(RuntimeError, match="differs from what it replays in result 0 of 1"):
        recording.check()


def test_a_replay_that_gives_another_shape_is_refused():
    x = put(1)
    recording = Recording([x])
    recording.add("sin", lambda array: put(3, 4), (x,), put(2))
    with pytest.raises(RuntimeError, match=r"the replay of sin got .*\(2,\).*expected .*\(1,\)"):
        recording.replay([x])
