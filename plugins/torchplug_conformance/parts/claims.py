"""What each capability promises of the raw arrays, tried on a backend that claims it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from torchplug_spec import Backend
from torchplug_spec import dtypes as dt

__all__ = ["CLAIMS"]


def _put(backend: Backend, values: Any, dtype: Any = np.float32) -> Any:
    return backend.from_numpy(np.array(values, dtype), backend.devices()[0])


def _differs(backend: Backend, what: str, array: Any, expected: Any) -> Iterator[str]:
    got = backend.to_numpy(array)
    if got.shape != np.shape(expected) or not np.array_equal(got, expected):
        yield f"{what} gave {got!r}, expected {np.asarray(expected)!r}"


def mutable(backend: Backend) -> Iterator[str]:
    """Arrays are strided memory: slices are views, strides and offsets can be read, writes reach every view."""
    x = _put(backend, np.arange(12).reshape(3, 4))
    if tuple(backend.strides_of(x)) != (4, 1):
        yield f"strides_of a fresh (3, 4) array gave {backend.strides_of(x)}, expected (4, 1)"
    part = x[1:, ::2]
    if tuple(backend.strides_of(part)) != (4, 2):
        yield f"strides_of x[1:, ::2] gave {backend.strides_of(part)}, expected (4, 2)"
    flat, offset = backend.storage_of(part)
    if offset != 4 or flat.ndim != 1:
        yield f"storage_of x[1:, ::2] gave offset {offset} and {flat.ndim} dimensions, expected 4 and 1"
    backend.assign(part, 50.0)
    yield from _differs(backend, "x after assign(x[1:, ::2], 50)", x, [[0, 1, 2, 3], [50, 5, 50, 7], [50, 9, 50, 11]])
    window = backend.as_strided(flat, (2, 2), (1, 4), 1)
    yield from _differs(backend, "as_strided(flat, (2, 2), (1, 4), 1)", window, [[1, 5], [2, 50]])
    backend.assign(window, _put(backend, [7, 8], np.int64))
    yield from _differs(backend, "x after assign through as_strided", x[:2], [[0, 7, 7, 3], [50, 8, 8, 7]])
    backend.assign(backend.permute_dims(x, (1, 0))[3], -1.0)
    yield from _differs(backend, "x after assign through permute_dims", x[:, 3], [-1, -1, -1])


def complex_numbers(backend: Backend) -> Iterator[str]:
    """Complex arrays are made of parts and give them back."""
    values = np.array([1 + 2j, -3j, 0.5], np.complex64)
    z = backend.complex(_put(backend, values.real), _put(backend, values.imag))
    yield from _differs(backend, "complex(real, imag)", z, values)
    yield from _differs(backend, "real", backend.real(z), values.real)
    yield from _differs(backend, "imag", backend.imag(z), values.imag)
    yield from _differs(backend, "conj", backend.conj(z), values.conj())


def float64(backend: Backend) -> Iterator[str]:
    """Doubles keep their 53 bits through transfer, creation and arithmetic."""
    fine = 1 + 2.0**-50
    x = _put(backend, [fine], np.float64)
    yield from _differs(backend, "from_numpy of 1 + 2**-50", x, [fine])
    made = backend.full((1,), fine, dt.float64, backend.devices()[0])
    yield from _differs(backend, "full of 1 + 2**-50", made, [fine])
    yield from _differs(backend, "(1 + 2**-50) - 1", backend.subtract(x, 1.0), [2.0**-50])


def float16(backend: Backend) -> Iterator[str]:
    """Half floats keep 11 bits, round to even, overflow beyond 65504 and stay half floats."""
    x = _put(backend, [1.0, 1.0009765625, 40000.0], np.float16)
    total = backend.add(x, x)
    if backend.to_numpy(total).dtype != np.float16:
        yield f"float16 + float16 came to the host as {backend.to_numpy(total).dtype}"
    yield from _differs(backend, "x + x", total, np.array([2.0, 2.001953125, np.inf], np.float16))
    rounded = backend.astype(_put(backend, [1 + 2.0**-11, 1 + 3 * 2.0**-11]), dt.float16)
    yield from _differs(backend, "astype of halves", rounded, np.array([1.0, 1 + 2.0**-9], np.float16))


def bfloat16(backend: Backend) -> Iterator[str]:
    """Brain floats keep 8 bits, round to even and stay brain floats."""
    x = _put(backend, [1.0, 1.0078125, 300.0], dt.bfloat16.numpy)
    total = backend.add(x, x)
    if backend.to_numpy(total).dtype != dt.bfloat16.numpy:
        yield f"bfloat16 + bfloat16 came to the host as {backend.to_numpy(total).dtype}"
    yield from _differs(backend, "x + x", total, np.array([2.0, 2.015625, 600.0], dt.bfloat16.numpy))
    rounded = backend.astype(_put(backend, [1 + 2.0**-8, 1 + 3 * 2.0**-8]), dt.bfloat16)
    yield from _differs(backend, "astype of halves", rounded, np.array([1.0, 1 + 2.0**-6], dt.bfloat16.numpy))


def compiled(backend: Backend) -> Iterator[str]:
    """A compiled function gives what the function gives, again with other values, and knows its values are abstract."""
    seen: list[bool] = []

    def function(arrays: list[Any]) -> list[Any]:
        x, y = arrays
        seen.append(backend.is_tracer(x))
        return [backend.add(x, y), backend.sum(backend.multiply(x, y), None, False)]

    fast = backend.compile(function)
    for shift in (0, 10):
        x, y = np.arange(3.0, dtype=np.float32) + shift, np.array([2.0, 0.5, -1.0], np.float32)
        added, product = fast([_put(backend, x), _put(backend, y)])
        yield from _differs(backend, f"compiled x + y, x from {shift}", added, x + y)
        yield from _differs(backend, f"compiled sum(x * y), x from {shift}", product, (x * y).sum())
    if backend.is_tracer(_put(backend, [1.0])):
        yield "is_tracer says that an array outside compile is abstract"
    if not seen or not seen[0]:
        yield "is_tracer did not say that the arguments inside compile are abstract"


CLAIMS: dict[str, Callable[[Backend], Iterator[str]]] = {
    "mutable": mutable,
    "complex": complex_numbers,
    "float64": float64,
    "float16": float16,
    "bfloat16": bfloat16,
    "compile": compiled,
}
"""Capability -> its check."""
