"""Views of complex numbers as pairs of real ones, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core import lens as lenses
from torchplug._core.declare import Sample, declare
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE, ViewOp
from torchplug._core.tensor import Tensor, geometry_of
from torchplug_spec import dtypes as dt

__all__ = ["imag", "real", "view_as_complex", "view_as_real"]

VIEW_AS_REAL = ViewOp("view_as_real", lenses.VIEW_AS_REAL, ())
VIEW_AS_COMPLEX = ViewOp("view_as_complex", lenses.VIEW_AS_COMPLEX, ())
PART = ViewOp("real", lenses.PART, ("part",))
IMAG_PART = ViewOp("imag", lenses.PART, ("part",))


@declare(op=VIEW_AS_REAL, dtypes=("complex",), samples=lambda make: [Sample(make(2, 3))], method=False)
def view_as_real(input: Tensor) -> Tensor:
    """Returns a view of a complex tensor as real, with the parts in a last dimension of length 2."""
    if not input._kind.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return VIEW_AS_REAL(input, dtype=input._kind.dtype.to_real())


def _pair_samples(make: Any) -> Iterable[Sample]:
    if make.dtype is not dt.float16:  # it takes complex32
        yield Sample(make(3, 2))
        yield Sample(make(2, 3, 2))


def _pair_errors() -> Iterable[Sample]:
    x = np.zeros((4, 2), np.float32)
    yield Sample(x.astype(np.int64), error=(RuntimeError, "but got a tensor of scalar type: Long"))
    yield Sample(x.astype(dt.bfloat16.numpy), error=(RuntimeError, "but got a tensor of scalar type: BFloat16"))
    yield Sample(x[:, :1], error=(RuntimeError, "Tensor must have a last dimension of size 2"))
    yield Sample(np.zeros((), np.float32), error=(RuntimeError, "Input tensor must have one or more dimensions"))


@declare(op=VIEW_AS_COMPLEX, samples=_pair_samples, errors=_pair_errors, method=False)
def view_as_complex(input: Tensor) -> Tensor:
    """Returns a view of a float tensor whose last dimension of length 2 holds the parts of complex numbers."""
    dtype = input._kind.dtype
    if dtype is dt.float16:
        raise RuntimeError("got a tensor of scalar type: Half, expected Float or Double; there is no type complex32")
    if dtype.itemsize < 4 or not dtype.is_floating_point:
        raise RuntimeError(
            f"view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
            f"{scalar_type_name(dtype)}"
        )
    size, stride, offset = geometry_of(input)
    if not size or size[-1] != 2:
        raise RuntimeError(
            "Tensor must have a last dimension of size 2" if size else "Input tensor must have one or more dimensions"
        )
    if stride[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(step % 2 for step in stride[:-1]):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if offset % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    return VIEW_AS_COMPLEX(input, dtype=dtype.to_complex())


@declare(op=PART, method=False, dtypes=("complex",), samples=lambda make: [Sample(make(3))])
def real(input: Tensor) -> Tensor:
    """Returns a view of the real part; a real tensor as it is."""
    dtype = input._kind.dtype
    return PART(input, 0, dtype=dtype.to_real()) if dtype.is_complex else input


@declare(op=IMAG_PART, method=False, dtypes=("complex",), samples=lambda make: [Sample(make(3))])
def imag(input: Tensor) -> Tensor:
    """Returns a view of the imaginary part of a complex tensor."""
    dtype = input._kind.dtype
    if not dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return IMAG_PART(input, 1, dtype=dtype.to_real())


def _complex_of(pairs: Tensor) -> Tensor:
    """Returns pairs of numbers, however they lie in memory, as complex ones: what the rules of these views ask for."""
    return VIEW_AS_COMPLEX(pairs.contiguous(), dtype=pairs._kind.dtype.to_complex())


TENSOR_SPACE.view_as_real = view_as_real
TENSOR_SPACE.view_as_complex = _complex_of
TENSOR_SPACE.real = real
TENSOR_SPACE.imag = imag
