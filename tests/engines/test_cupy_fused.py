"""The CuPy engine's fused kernels against the front end's compositions; the C++ text runs on the host."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import fake_cupy
import numpy as np
import pytest
from host_kernels import compiler

import torchplug  # noqa: F401  # declares the compositions
from torchplug._core.kernels import COMPOSITIONS
from torchplug._core.kind import Namespace
from torchplug_strict import StrictBackend

pytestmark = pytest.mark.skipif(compiler() is None, reason="unavailable: no C++ compiler to run the kernels with")

_ATTRIBUTES: dict[str, list[tuple[Any, ...]]] = {
    "threshold_backward": [(0,), (0.5,)],
    "leaky_relu": [(0.01,), (-0.5,)],
    "elu": [(1.0, 1.0, 1.0), (1.6732632423543772, 1.0507009873554805, 1.0), (1.0, 1.0, 2.0)],
    "hardtanh": [(-1.0, 1.0), (0.0, 6.0)],
    "softplus": [(1.0, 20.0), (2.0, 5.0)],
    "gelu": [("none",), ("tanh",)],
    "hardshrink": [(0.5,)],
    "shrink_backward": [(0.5,)],
    "softshrink": [(0.5,)],
    "addcmul": [(1,), (-0.5,)],
    "addcdiv": [(1,), (-0.5,)],
}
_SPECIAL = np.array([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 6.5, -7.5, 25.0, -25.0, 88.0, np.inf, -np.inf, np.nan])


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    with fake_cupy.installed(fake_cupy.module()):
        yield importlib.import_module("torchplug_cupy").build()


def _tables() -> Any:
    with fake_cupy.installed(fake_cupy.module()):
        return importlib.import_module("torchplug_cupy.fused")


def composed(name: str, *arguments: Any) -> Any:
    """Returns what the composition gives on the strict engine."""
    backend = StrictBackend()
    placed = [backend.from_numpy(each, "cpu") if isinstance(each, np.ndarray) else each for each in arguments]
    return backend.to_numpy(COMPOSITIONS[name](Namespace(backend, {}), *placed))


_NAMES = list(_tables().ELEMENTWISE)


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_fused_kernel_equals_its_composition(engine: Any, name: str, dtype: str) -> None:
    count = len(_tables().ELEMENTWISE[name][0].split())
    rng = np.random.default_rng(0)
    samples = [np.concatenate([_SPECIAL, rng.normal(size=200) * 3]).astype(dtype) for _ in range(count)]
    samples[1:] = [rng.permutation(each) for each in samples[1:]]
    for attributes in _ATTRIBUTES.get(name, _ATTRIBUTES.get(name.removesuffix("_backward"), [()])):
        got = getattr(engine, name)(*[engine.from_numpy(each, "cuda:0") for each in samples], *attributes)
        expected = composed(name, *samples, *attributes)
        assert got is not NotImplemented and got.dtype == dtype
        finite = np.isfinite(expected) & np.isfinite(np.asarray(got))
        tolerance = 2e-5 if dtype == "float32" else 1e-12  # differences of rounded terms: 1 - tanh(x) ** 2
        np.testing.assert_allclose(np.asarray(got)[finite], expected[finite], rtol=tolerance, atol=tolerance)
        ordinary = np.all([np.isfinite(each) & (abs(each) < 30) for each in samples], axis=0)
        assert finite[ordinary].all() or name == "addcdiv"


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "hardtanh", "hardshrink", "gelu", "silu", "threshold_backward"])
def test_nan_stays_nan(engine: Any, name: str) -> None:
    x = engine.from_numpy(np.full(3, np.nan, np.float32), "cuda:0")
    gradient = (x,) if name.endswith("backward") else ()
    assert np.isnan(np.asarray(getattr(engine, name)(*gradient, x, *_ATTRIBUTES.get(name, [()])[0]))).all()


def test_other_types_and_mixed_types_are_left_to_the_composition(engine: Any) -> None:
    integers = engine.from_numpy(np.array([1, -1]), "cuda:0")
    narrow, wide = (engine.from_numpy(np.ones(2, dtype), "cuda:0") for dtype in ("float32", "float64"))
    assert engine.relu(integers) is NotImplemented
    assert engine.addcmul(narrow, wide, wide, 1.0) is NotImplemented
    assert engine.leaky_relu(narrow, narrow) is NotImplemented


def test_arrays_broadcast(engine: Any) -> None:
    x, y = np.ones((3, 1), np.float32), np.arange(4, dtype=np.float32)
    got = engine.addcmul(*[engine.from_numpy(each, "cuda:0") for each in (x, y, x)], 2.0)
    np.testing.assert_allclose(np.asarray(got), x + 2 * y * x)


def _step(engine: Any, name: str, states: int, numbers: tuple[float, ...], options: tuple[bool, ...]) -> None:
    rng = np.random.default_rng(0)
    hosts = [[rng.random(shape, np.float32) for shape in ((3, 4), (5,))] for _ in range(2 + states)]
    placed = [[engine.from_numpy(each, "cuda:0") for each in kind] for kind in hosts]
    strict = StrictBackend()
    plain = [[strict.from_numpy(each, "cpu") for each in kind] for kind in hosts]
    got = getattr(engine, name)(placed[0], placed[1], [x for kind in placed[2:] for x in kind], numbers, options)
    assert got is not NotImplemented
    flat = [x for kind in plain[2:] for x in kind]
    expected = COMPOSITIONS[name](Namespace(strict, {}), plain[0], plain[1], flat, numbers, options)
    for ours, theirs in zip([*got[0], *got[1]], [*expected[0], *expected[1]], strict=True):
        np.testing.assert_allclose(np.asarray(ours), strict.to_numpy(theirs), rtol=2e-6)
    assert all(ours is given for ours, given in zip(got[0], placed[0], strict=True))


@pytest.mark.parametrize("states", [0, 1])
@pytest.mark.parametrize("options", [(False, True, False, False), (True, True, True, False), (True, True, False, True)])
def test_sgd_with_momentum_steps_in_place(engine: Any, states: int, options: tuple[bool, ...]) -> None:
    _step(engine, "sgd_step", states, (0.1, 0.9, 0.8, 0.01), options)


@pytest.mark.parametrize(
    "options", [(False, False, False, False), (True, False, False, True), (True, True, False, False)]
)
def test_adam_steps_in_place(engine: Any, options: tuple[bool, ...]) -> None:
    decay = 0.999 if options[1] else 0.01
    _step(engine, "adam_step", 2, (0.01, 0.5, 0.1, 0.999, 0.001, 1e-8, decay), options)


def test_steps_with_traced_numbers_or_amsgrad_are_left_to_the_composition(engine: Any) -> None:
    p = [engine.from_numpy(np.ones(2, np.float32), "cuda:0")]
    number = engine.from_numpy(np.float32(0.1), "cuda:0")
    assert engine.sgd_step(p, p, p, (number, 0.9, 1.0, 0.0), (False, True, False, False)) is NotImplemented
    assert engine.sgd_step(p, p, [], (0.1, 0.0, 1.0, 0.0), (False, False, False, False)) is NotImplemented
    assert engine.adam_step(p, p, p * 3, (0.1,) * 7, (False, False, True, False)) is NotImplemented
