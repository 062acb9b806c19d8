"""The strict engine refuses whatever the contract does not offer: a leak is a TypeError, never a silent answer."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from torchplug_spec import dtypes as dt
from torchplug_spec import required_functions
from torchplug_strict import StrictArray, StrictBackend

backend = StrictBackend()


def put(values: Any, dtype: Any = np.float32) -> StrictArray:
    return backend.from_numpy(np.array(values, dtype), "cpu")


X = put([[1.0, 2.0], [3.0, 4.0]])
N = put([0, 1], np.int64)

_LEAKS: dict[str, Callable[[], Any]] = {
    "operator": lambda: X + X,
    "reflected operator": lambda: 1.0 * X,
    "operator with a NumPy array": lambda: np.ones(2) * X,
    "operator with a NumPy scalar": lambda: np.float32(2) * X,
    "comparison": lambda: X == X,
    "inequality": lambda: X != X,
    "truth": lambda: bool(X),
    "float": lambda: float(X[0, 0]),
    "int": lambda: int(X[0, 0]),
    "index": lambda: [1, 2][X[0, 0]],
    "length": lambda: len(X),
    "iteration": lambda: list(X),
    "unpacking": lambda: [*X],
    "membership": lambda: 1.0 in X,
    "np.asarray": lambda: np.asarray(X),
    "np.array of arrays": lambda: np.array([X, X]),
    "ufunc": lambda: np.exp(X),
    "pickle": lambda: pickle.dumps(X),
    "copy": lambda: copy.copy(X),
    "deepcopy": lambda: copy.deepcopy(X),
    "item assignment": lambda: operator.setitem(X, 0, 1.0),
    "list index": lambda: X[[0, 1]],
    "array index": lambda: X[N],
    "NumPy index": lambda: X[np.array([0])],
    "NumPy integer index": lambda: X[np.int64(0)],
    "truth index": lambda: X[True],
    "slice of NumPy integers": lambda: X[: np.int64(1)],
    "construction": lambda: StrictArray(),
    "host array as operand": lambda: backend.add(X, np.ones((2, 2), np.float32)),
    "NumPy scalar as operand": lambda: backend.add(X, np.float32(1)),
    "list as operand": lambda: backend.add(X, [1.0]),
    "None as operand": lambda: backend.add(X, None),
    "two numbers": lambda: backend.add(1.0, 2.0),
    "two element types": lambda: backend.add(X, put([[1.0, 2.0]], np.float64)),
    "float number beside integers": lambda: backend.add(N, 1.5),
    "complex number beside floats": lambda: backend.multiply(X, 1j),
    "integers in exp": lambda: backend.exp(N),
    "integers in divide": lambda: backend.divide(N, N),
    "floats in bitwise_and": lambda: backend.bitwise_and(X, X),
    "complex numbers in less": lambda: backend.less(put([1j], np.complex64), put([1j], np.complex64)),
    "real numbers in imag": lambda: backend.imag(X),
    "condition that is no truth value": lambda: backend.where(X, X, X),
    "list as axis": lambda: backend.sum(X, [0], False),
    "NumPy integer as axis": lambda: backend.sum(X, np.int64(0), False),
    "integer as keepdims": lambda: backend.sum(X, 0, 1),
    "no axis in argmax": lambda: backend.argmax(X, None, False),
    "missing keepdims": lambda: backend.sum(X, 0),
    "list as shape": lambda: backend.reshape(X, [4]),
    "NumPy dtype": lambda: backend.astype(X, np.float64),
    "NumPy value in full": lambda: backend.full((2,), np.float32(1), dt.float32, "cpu"),
    "vector in matmul": lambda: backend.matmul(X, X[0, ...]),
    "int32 indices": lambda: backend.take(X, put([0], np.int32), 0),
    "matrix of indices": lambda: backend.take(X, put([[0]], np.int64), 0),
    "matrix in scatter_add": lambda: backend.scatter_add(X, N, X),
    "generator of arrays": lambda: backend.concat((x for x in (X, X)), 0),
    "no arrays in concat": lambda: backend.concat([], 0),
    "arrays of two types in concat": lambda: backend.concat([X, put([[1.0, 2.0]], np.float64)], 0),
    "list in from_numpy": lambda: backend.from_numpy([1.0], "cpu"),
    "host array in to_numpy": lambda: backend.to_numpy(np.ones(2)),
}  # fmt: skip


@pytest.mark.parametrize("leak", _LEAKS)
def test_a_leak_raises_type_error(leak: str) -> None:
    with pytest.raises(TypeError):
        _LEAKS[leak]()


@pytest.mark.parametrize(
    "attribute", ["T", "size", "item", "sum", "astype", "strides", "data", "tolist", "__dict__", "at"]
)
def test_arrays_have_no_further_attributes(attribute: str) -> None:
    assert not hasattr(X, attribute)


@pytest.mark.parametrize("indices", [[-1], [2]])
def test_indices_out_of_range_are_the_front_end_s_mistake(indices: list[int]) -> None:
    with pytest.raises(IndexError, match="expected 0 to 1"):
        backend.take(X, put(indices, np.int64), 0)
    with pytest.raises(IndexError, match="expected 0 to 1"):
        backend.scatter_add(X[0, ...], put(indices, np.int64), put([1.0]))


def test_another_device_is_refused() -> None:
    with pytest.raises(ValueError, match="'cuda:0'"):
        backend.full((), 0, dt.float32, "cuda:0")


def test_it_has_the_required_functions_those_of_its_capabilities_and_no_others() -> None:
    own = {name for name in dir(backend) if not name.startswith("_") and callable(getattr(backend, name))}
    assert set(required_functions()) | {"real", "imag", "conj", "complex"} <= own
    contract = {name for name in dir(type(backend).__mro__[1]) if not name.startswith("_")}
    assert own <= contract


def test_element_types_are_its_own_and_can_key_a_table() -> None:
    assert not isinstance(X.dtype, np.dtype)
    assert X.dtype is put([1.0]).dtype and X.dtype is not N.dtype
    assert {X.dtype: 1}[put(2.0).dtype] == 1
    assert repr(X) == "StrictArray(shape=(2, 2), dtype=strict.float32)"


def test_an_array_can_key_a_table_by_identity() -> None:
    assert {X: 1}[X] == 1


def test_values_cannot_be_written_from_outside() -> None:
    host = np.zeros(2, np.float32)
    x = backend.from_numpy(host, "cpu")
    host[0] = backend.to_numpy(x)[1] = 1.0
    assert backend.to_numpy(x).tolist() == [0.0, 0.0]


def test_numbers_beside_bfloat16_keep_it_bfloat16() -> None:
    x = backend.full((2,), 1.5, dt.bfloat16, "cpu")
    assert backend.to_numpy(backend.multiply(x, 0.5)).dtype == dt.bfloat16.numpy
    assert backend.to_numpy(backend.where(put([True, False], bool), x, 0.0)).dtype == dt.bfloat16.numpy
