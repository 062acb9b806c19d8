"""bfloat16 on the NumPy engine keeps its type and its class through every kind of function, and is quiet."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from torchplug_numpy import NumPyBackend
from torchplug_numpy.bfloat16 import BFloat16Array
from torchplug_spec import dtypes as dt

backend = NumPyBackend()
X = backend.from_numpy(np.array([[1.0, 2.0], [3.0, np.nan]], ml_dtypes.bfloat16), "cpu")
I = backend.from_numpy(np.array([1, 0]), "cpu")  # noqa: E741

_KEEPING: dict[str, Callable[[], Any]] = {
    "full": lambda: backend.full((2,), 1.5, dt.bfloat16, "cpu"),
    "zeros": lambda: backend.full((2,), 0, dt.bfloat16, "cpu"),
    "arange": lambda: backend.arange(0, 3, 1, dt.bfloat16, "cpu"),
    "astype": lambda: backend.astype(I, dt.bfloat16),
    "add": lambda: backend.add(X, X),
    "add a float": lambda: backend.add(X, 0.5),
    "add to a float": lambda: backend.subtract(0.5, X),
    "add an int": lambda: backend.multiply(X, 2),
    "maximum with a float": lambda: backend.maximum(X, 0.5),
    "divide by a float": lambda: backend.divide(X, 3.0),
    "pow": lambda: backend.pow(X, 0.5),
    "remainder": lambda: backend.remainder(X, 0.75),
    "exp": lambda: backend.exp(X),
    "where": lambda: backend.where(np.array([True, False]), X, 0.0),
    "sum to a number": lambda: backend.sum(X, None, False),
    "sum": lambda: backend.sum(X, 0, True),
    "prod": lambda: backend.prod(X, 0, False),
    "max": lambda: backend.max(X, None, False),
    "matmul": lambda: backend.matmul(X, X),
    "reshape": lambda: backend.reshape(X, (4,)),
    "permute_dims": lambda: backend.permute_dims(X, (1, 0)),
    "broadcast_to": lambda: backend.broadcast_to(X, (3, 2, 2)),
    "broadcast_to of a view": lambda: backend.broadcast_to(X[:, ::-1], (3, 2, 2)),
    "concat": lambda: backend.concat([X, X], 0),
    "take": lambda: backend.take(X, I, 1),
    "scatter_add": lambda: backend.scatter_add(X[0], I, X[1]),
    "storage": lambda: backend.storage_of(X[1:])[0],
    "as_strided": lambda: backend.as_strided(backend.storage_of(X)[0], (2,), (1,), 1),
    "cumulative_sum": lambda: backend.cumulative_sum(X, 0),
    "sort": lambda: backend.sort(X, 1, True),
    "stack": lambda: backend.stack([X, X], 0),
    "flip": lambda: backend.flip(X, 0),
    "zeros_like": lambda: backend.zeros_like(X),
    "tril": lambda: backend.tril(X),
    "take_along_axis": lambda: backend.take_along_axis(X, I[None], 0),
    "copy": lambda: backend.copy(X),
    "dense": lambda: backend.dense(X.T),
    "own": lambda: backend.own(X),
    "slice_update": lambda: backend.slice_update(X, X[0], (0, slice(0, 2, 1))),
    "slice_embed": lambda: backend.slice_embed(X[0], (2, 2), (0, slice(0, 2, 1))),
    "scatter": lambda: backend.scatter(X[0], I, X[1]),
    "index to a number": lambda: X[0, 1, ...],
}


@pytest.mark.parametrize("name", _KEEPING)
def test_results_are_bfloat16_and_of_its_class(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = _KEEPING[name]()
    assert got.dtype == dt.bfloat16.numpy
    assert type(got) is BFloat16Array
    assert backend.multiply(got, 0.5).dtype == dt.bfloat16.numpy


_LEAVING: dict[str, Callable[[], Any]] = {
    "astype": lambda: backend.astype(X, dt.float32),
    "argmax": lambda: backend.argmax(X, 0, False),
    "argsort": lambda: backend.argsort(X, 0, True),
    "less": lambda: backend.less(X, 1.5),
    "equal": lambda: backend.equal(X, X),
    "isnan": lambda: backend.isnan(X),
    "view": lambda: X.view(np.int16),
    "to_numpy": lambda: backend.to_numpy(X),
}


@pytest.mark.parametrize("name", _LEAVING)
def test_results_of_other_types_are_plain_arrays(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert type(_LEAVING[name]()) is np.ndarray


def test_writes_reach_the_same_memory() -> None:
    host = np.zeros((2, 2), ml_dtypes.bfloat16)
    x = backend.from_numpy(host, "cpu")
    backend.assign(backend.permute_dims(x, (1, 0))[0], 2.5)
    np.add(x, 1.0, out=x)
    assert host.astype(float).tolist() == [[3.5, 1.0], [3.5, 1.0]]
    assert backend.to_numpy(x).base is not None and np.shares_memory(backend.to_numpy(x), host)


def test_a_number_is_not_rounded_before_the_result() -> None:
    x = backend.full((1,), 3.0, dt.bfloat16, "cpu")
    expected = np.array([3.0 * np.float32(0.1)]).astype(ml_dtypes.bfloat16)
    assert (backend.multiply(x, 0.1) == expected).all()


def test_a_number_compares_as_bfloat16() -> None:
    x = backend.full((1,), 0.1, dt.bfloat16, "cpu")
    assert backend.equal(x, 0.1).tolist() == [True]
    assert backend.less(x, 0.1).tolist() == [False]
