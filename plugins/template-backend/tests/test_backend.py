"""The backend keeps the contract where NumPy's own behaviour or the toy library's would not."""

from __future__ import annotations

import numpy as np
import pytest
from torchplug_spec import Backend, dtypes, registry, required_functions
from torchplug_spec.backend import CAPABILITIES
from torchplug_spec.smoke import smoke_fault

from torchplug_template import TemplateBackend
from torchplug_template.toy import Array


@pytest.fixture
def backend() -> Backend:
    return TemplateBackend()


def put(backend: Backend, values: object, dtype: str = "float32") -> Array:
    return backend.from_numpy(np.array(values, dtype), "cpu")


def values(backend: Backend, x: Array) -> list[object]:
    return backend.to_numpy(x).tolist()


def test_the_installed_plugin_is_found_by_its_name() -> None:
    assert "template" in registry.names()
    assert isinstance(registry.get("template"), TemplateBackend)


def test_its_status_names_distribution_devices_and_capabilities() -> None:
    status = registry.status("template")
    assert status.state == "available"
    assert status.distribution == "torchplug-template"
    assert status.devices == ("cpu",)
    assert status.capabilities == ("complex", "float16", "float64")


def test_every_required_function_is_its_own() -> None:
    assert all(name in vars(TemplateBackend) for name in required_functions())


def test_capabilities_are_words_of_the_contract() -> None:
    assert TemplateBackend.capabilities <= set(CAPABILITIES)


def test_the_smoke_computation_is_right(backend: Backend) -> None:
    assert smoke_fault(backend) == ""


def test_arrays_hide_numpy_from_the_front_end(backend: Backend) -> None:
    x = put(backend, [1.0, 2.0])
    assert not hasattr(x, "__array__")
    assert not hasattr(x, "__add__")


def test_an_array_does_not_follow_its_source_or_its_copy(backend: Backend) -> None:
    source = np.zeros(2, np.float32)
    x = backend.from_numpy(source, "cpu")
    source[0] = 1.0
    backend.to_numpy(x)[1] = 1.0
    assert values(backend, x) == [0.0, 0.0]


@pytest.mark.parametrize("dtype", [d for d in dtypes.ALL if d is not dtypes.bfloat16], ids=repr)
def test_full_has_the_element_type_asked_for(backend: Backend, dtype: dtypes.DType) -> None:
    x = backend.full((2, 3), 1, dtype, "cpu")
    assert (x.shape, x.ndim, backend.to_numpy(x).dtype) == ((2, 3), 2, dtype.numpy)


def test_indexing_with_ints_gives_an_array_of_no_dimensions(backend: Backend) -> None:
    x = put(backend, [[1.0, 2.0], [3.0, 4.0]])
    assert x[1, 0].shape == ()
    assert values(backend, x[None, ..., ::-1]) == [[[2.0, 1.0], [4.0, 3.0]]]


def test_floats_truncate_towards_zero(backend: Backend) -> None:
    assert values(backend, backend.astype(put(backend, [-1.9, 1.9]), dtypes.int32)) == [-1, 1]


def test_conversion_from_complex_keeps_the_real_part_and_is_true_when_not_zero(backend: Backend) -> None:
    x = put(backend, [2 + 1j, 1j], "complex64")
    assert values(backend, backend.astype(x, dtypes.float32)) == [2.0, 0.0]
    assert values(backend, backend.astype(x, dtypes.bool_)) == [True, True]


def test_parts_of_a_complex_number_stay_apart_when_one_is_infinite(backend: Backend) -> None:
    x = backend.complex(put(backend, [1.0]), put(backend, [np.inf]))
    assert (values(backend, backend.real(x)), values(backend, backend.imag(x))) == ([1.0], [np.inf])
    assert x.dtype == "complex64"


def test_division_by_zero_gives_infinity_without_a_warning(backend: Backend) -> None:
    x = backend.divide(put(backend, [1.0, 0.0]), put(backend, [0.0, 0.0]))
    assert str(values(backend, x)) == "[inf, nan]"


@pytest.mark.parametrize("reduce", ["sum", "prod", "max"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float16"])
def test_reductions_keep_the_element_type(backend: Backend, reduce: str, dtype: str) -> None:
    assert getattr(backend, reduce)(put(backend, [[1, 0]], dtype), 1, True).dtype == dtype


def test_a_negative_integer_power_truncates_towards_zero(backend: Backend) -> None:
    powers = backend.pow(put(backend, [2, 1, -1, -1], "int64"), put(backend, [-1, -3, -3, -2], "int64"))
    assert values(backend, powers) == [0, 1, -1, 1]


def test_argmax_takes_the_first_and_counts_nan_as_the_greatest(backend: Backend) -> None:
    x = put(backend, [[1.0, 3.0, 3.0], [1.0, np.nan, 3.0]])
    assert values(backend, backend.argmax(x, 1, False)) == [1, 1]


@pytest.mark.parametrize(("descending", "expected"), [(False, [1, 3, 0, 2]), (True, [2, 0, 1, 3])])
def test_argsort_is_stable_both_ways_with_nan_as_the_greatest(
    backend: Backend, descending: bool, expected: list[int]
) -> None:
    order = backend.argsort(put(backend, [2.0, 1.0, np.nan, 1.0]), 0, descending)
    assert values(backend, order) == expected
    assert order.dtype == "int64"


def test_scatter_add_accumulates_repeated_indices(backend: Backend) -> None:
    x = put(backend, [10.0, 20.0])
    out = backend.scatter_add(x, put(backend, [1, 1, 0], "int64"), put(backend, [1.0, 2.0, 3.0]))
    assert values(backend, out) == [13.0, 23.0]
    assert values(backend, x) == [10.0, 20.0]


def test_softmax_equals_its_composition_and_does_not_overflow(backend: Backend) -> None:
    host = np.array([[1.0, 2.0, 3.0], [1e4, 0.0, 0.0]], np.float32)
    powers = np.exp(host.astype(np.float64) - host.max(1, keepdims=True))
    got = backend.to_numpy(backend.softmax(put(backend, host), 1))  # type: ignore[attr-defined]
    np.testing.assert_allclose(got, powers / powers.sum(1, keepdims=True), rtol=1.3e-6, atol=1e-7)
