"""What is the CuPy engine's own, as far as it can be seen without a GPU: reasons, spellings, guards, memory queries."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import fake_cupy
import numpy as np
import pytest

from torchplug_spec import BackendUnavailableError
from torchplug_spec import dtypes as dt


@pytest.fixture
def engine() -> Iterator[Any]:
    with fake_cupy.installed(fake_cupy.module()):
        yield importlib.import_module("torchplug_cupy").build()


def failure(fake: Any) -> BackendUnavailableError:
    with fake_cupy.installed(fake), pytest.raises(BackendUnavailableError) as caught:
        importlib.import_module("torchplug_cupy").build()
    return caught.value


def test_a_missing_cupy_is_explained() -> None:
    error = failure(None)
    assert "cupy cannot be imported" in str(error)
    assert "torchplug[cupy-cuda12]" in error.remedy and "torchplug[cupy-cuda13]" in error.remedy


def test_a_missing_driver_is_explained() -> None:
    reason = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
    error = failure(fake_cupy.module(failure=RuntimeError(reason)))
    assert str(error) == f"cupy 13.4.0 cannot use a GPU: {reason}"
    assert "nvidia-smi" in error.remedy


def test_a_machine_without_visible_gpus_is_explained() -> None:
    error = failure(fake_cupy.module(devices=0))
    assert "sees no GPU" in str(error)
    assert "CUDA_VISIBLE_DEVICES" in error.remedy


def test_capabilities_follow_the_version_of_cupy(engine: Any) -> None:
    assert {"mutable", "complex", "float64", "float16", "devices", "streams"} == engine.capabilities
    newer = fake_cupy.module()
    newer.__version__ = "14.0.1"
    with fake_cupy.installed(newer):
        assert "bfloat16" in importlib.import_module("torchplug_cupy").build().capabilities


def test_calls_are_guarded_only_where_there_are_several_gpus(engine: Any) -> None:
    assert not hasattr(engine.sum, "__wrapped__")
    with fake_cupy.installed(fake_cupy.module(devices=2)):
        several = importlib.import_module("torchplug_cupy").build()
        assert several.devices() == ["cuda:0", "cuda:1"]
        assert all(
            hasattr(getattr(several, name), "__wrapped__") for name in ("add", "sum", "concat", "assign", "tanh")
        )
        x = several.from_numpy(np.ones((2, 2), np.float32), "cuda:0")
        assert several.to_numpy(several.concat([several.add(x, x), x], 0)).sum() == 12.0


def test_a_device_is_a_gpu_with_a_number(engine: Any) -> None:
    assert engine.devices() == ["cuda:0"]
    assert engine.device_of(engine.full((2,), 0, dt.float32, "cuda")) == "cuda:0"
    for wrong in ("cpu", "cuda:x", "gpu:0"):
        with pytest.raises(ValueError, match="expected 'cuda:0'"):
            engine.full((2,), 0, dt.float32, wrong)


def test_integer_division_by_zero_does_not_wait_for_the_gpu(engine: Any) -> None:
    x = engine.from_numpy(np.array([1, 2]), "cuda:0")
    with np.errstate(all="ignore"):
        engine.floor_divide(x, engine.from_numpy(np.array([0, 1]), "cuda:0"))


def test_memory_queries_answer_in_bytes(engine: Any) -> None:
    assert (engine.memory_allocated("cuda:0"), engine.memory_reserved("cuda:0")) == (512, 1024)
    assert engine.memory_info("cuda:0") == (3 << 30, 4 << 30)
    engine.empty_cache("cuda:0")
    assert engine.device_properties("cuda:0") == {
        "name": "NVIDIA Paper", "total_memory": 4 << 30, "major": 9, "minor": 0, "multi_processor_count": 2,
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int64", "complex64", "complex128"])
def test_scatter_add_works_for_types_that_cuda_cannot_add_atomically(engine: Any, dtype: str) -> None:
    x = engine.from_numpy(np.array([0, 1, 1]).astype(dtype), "cuda:0")
    indices = engine.from_numpy(np.array([0, 0, 2]), "cuda:0")
    values = engine.from_numpy(np.array([1, 1, 1]).astype(dtype), "cuda:0")
    out = engine.to_numpy(engine.scatter_add(x, indices, values))
    assert out.dtype == dtype
    assert out.astype(complex).tolist() == ([1, 1, 1] if dtype == "bool" else [2, 1, 2])
