"""Products of matrices and vectors: matmul and its special cases by rank."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import argument_error, broadcast_shapes
from torchplug._core.inplace import write_out
from torchplug._core.kernels import composition
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE, Op, device_error
from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import DType

__all__ = ["bmm", "dot", "matmul", "mm", "mv"]

Shape = tuple[int, ...]

CPP_NAMES = {
    "bool": "bool", "uint8": "unsigned char", "int8": "signed char", "int16": "short", "int32": "int", "int64": "long int",
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
    "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
}  # fmt: skip
"""Element types as the messages of PyTorch's matrix products spell them."""


# ---- kernels ---------------------------------------------------------------------------------------------------------


@composition
def adjoint(F: Any, x: Any) -> Any:
    """Returns the conjugate transpose of the last two dimensions."""
    ndim = len(x.shape)
    return F.conj_of(F.permute_dims(x, (*range(ndim - 2), ndim - 1, ndim - 2)))


def _dot(F: Any, x: Any, y: Any) -> Any:
    length = x.shape[0]
    return F.reshape(F.matmul(F.reshape(x, (1, length)), F.reshape(y, (length, 1))), ())


def _mv(F: Any, x: Any, y: Any) -> Any:
    rows, columns = x.shape
    return F.reshape(F.matmul(x, F.reshape(y, (columns, 1))), (rows,))


def _vm(F: Any, x: Any, y: Any) -> Any:
    rows, columns = y.shape
    return F.reshape(F.matmul(F.reshape(x, (1, rows)), y), (columns,))


def _matmul_back_other(F: Any, g: Any, input: Any, other_shape: Shape) -> Any:
    if len(other_shape) > 2:
        return F.unbroadcast(F.matmul(F.adjoint(input), g), other_shape)
    # One product of tall matrices instead of a sum of many.
    rows = math.prod(input.shape[:-1])
    return F.mm(F.adjoint(F.reshape(input, (rows, input.shape[-1]))), F.reshape(g, (rows, g.shape[-1])))


PAIR = ("input", "other")

MM = Op("mm", PAIR, tensors=PAIR, forward=lambda F, x, y: F.matmul(x, y), rules={
    "input": lambda F, g, other: F.mm(g, F.adjoint(other)),
    "other": lambda F, g, input: F.mm(F.adjoint(input), g),
})  # fmt: skip
BMM = Op("bmm", PAIR, tensors=PAIR, forward=lambda F, x, y: F.matmul(x, y), rules={
    "input": lambda F, g, other: F.bmm(g, F.adjoint(other)),
    "other": lambda F, g, input: F.bmm(F.adjoint(input), g),
})  # fmt: skip
MATMUL = Op("matmul", PAIR, tensors=PAIR, node="UnsafeViewBackward0", rules={
    "input": lambda F, g, other, input_shape: F.unbroadcast(F.matmul(g, F.adjoint(other)), input_shape),
    "other": _matmul_back_other,
})  # fmt: skip
DOT = Op("dot", PAIR, tensors=PAIR, forward=_dot, rules={
    "input": lambda F, g, other: F.multiply(F.conj_of(other), g),
    "other": lambda F, g, input: F.multiply(F.conj_of(input), g),
})  # fmt: skip
MV = Op("mv", PAIR, tensors=PAIR, forward=_mv, rules={
    "input": lambda F, g, other: F.outer(g, F.conj_of(other)),
    "other": lambda F, g, input: F.mv(F.adjoint(input), g),
})  # fmt: skip
VM = Op("vm", PAIR, tensors=PAIR, forward=_vm, node="SqueezeBackward4", rules={
    "input": lambda F, g, other: F.mv(F.conj_of(other), g),
    "other": lambda F, g, input: F.outer(F.conj_of(input), g),
})  # fmt: skip


# ---- checks ----------------------------------------------------------------------------------------------------------


def check_tensors(name: str, **tensors: Any) -> None:
    """Raises PyTorch's TypeError for an argument that is no Tensor."""
    for argument, value in tensors.items():
        if not isinstance(value, Tensor):
            raise argument_error(name, argument, "Tensor", value)


def check_factors(first: Tensor, second: Tensor) -> None:
    """Raises PyTorch's error unless two factors have one dtype and one device."""
    a, b = first._kind, second._kind
    if a is b:
        return
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {CPP_NAMES[a.dtype.name]} != {CPP_NAMES[b.dtype.name]}"
        )
    raise device_error("matmul", (first, second))


def shapes_error(a: Shape, b: Shape) -> RuntimeError:
    """Returns PyTorch's error for matrices that do not fit."""
    return RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a[0]}x{a[1]} and {b[0]}x{b[1]})")


def check_matrices(first: Tensor, second: Tensor) -> None:
    """Raises PyTorch's error unless two matrices fit."""
    a, b = shape_of(first), shape_of(second)
    if a[1] != b[0]:
        raise shapes_error(a, b)


def batch_error(a: Shape, b: Shape) -> RuntimeError:
    """Returns PyTorch's error for batches of matrices that do not fit."""
    return RuntimeError(
        f"Expected size for first two dimensions of batch2 tensor to be: [{a[0]}, {a[2]}] but got: [{b[0]}, {b[1]}]."
    )


# ---- public functions ------------------------------------------------------------------------------------------------


def zeros_sample(*shape: int, dtype: str = "float32") -> Any:
    import numpy as np

    return np.zeros(shape, dtype)


def _matmul_samples(make: Any) -> Iterable[Sample]:
    for first, second in (
        ((3, 4), (4, 5)), ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)),
        ((2, 3, 4), (4,)), ((4,), (2, 4, 5)), ((2, 1, 3, 4), (3, 4, 2)), ((3, 4), (2, 4, 5)), ((0, 4), (4, 3)), ((3, 0), (0, 2)),
    ):  # fmt: skip
        yield Sample(make(*first), make(*second))


def _matmul_errors() -> Iterable[Sample]:
    shapes = (RuntimeError, "mat1 and mat2 shapes cannot be multiplied")
    yield Sample(
        zeros_sample(2, 3),
        zeros_sample(4, 5),
        error=(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
    )
    yield Sample(zeros_sample(3), zeros_sample(4, 5), error=shapes)
    yield Sample(zeros_sample(3, 4, 5), zeros_sample(6, 7), error=(RuntimeError, "(12x5 and 6x7)"))
    yield Sample(zeros_sample(3), zeros_sample(4), error=(RuntimeError, "inconsistent tensor size"))
    yield Sample(
        zeros_sample(2, 3), zeros_sample(4), error=(RuntimeError, "size mismatch, got input (2), mat (2x3), vec (4)")
    )
    yield Sample(
        zeros_sample(), zeros_sample(4), error=(RuntimeError, "need to be at least 1D, but they are 0D and 1D")
    )
    yield Sample(
        zeros_sample(2, 3, 4),
        zeros_sample(2, 5, 6),
        error=(RuntimeError, "Expected size for first two dimensions of batch2"),
    )
    yield Sample(
        zeros_sample(2, 3, 4), zeros_sample(3, 4, 5), error=(RuntimeError, "must match the size of tensor b (3)")
    )
    yield Sample(zeros_sample(2, 2), zeros_sample(2, 2, dtype="float64"), error=(RuntimeError, "got: float != double"))


@declare(op=MATMUL, samples=_matmul_samples, errors=_matmul_errors, dtypes=("float", "complex", "int"))
def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the matrix product; leading dimensions broadcast, one-dimensional factors count as row or column.

    Raises RuntimeError where inner sizes differ. Source: https://docs.pytorch.org/docs/stable/generated/torch.matmul.html
    """
    if CASTING and (cast := casting("matmul")) is not None:
        return cast(matmul, input, other, out=out)
    try:
        same = input._kind is other._kind
    except AttributeError:
        check_tensors("matmul", input=input, other=other)
        raise
    a, b = input._array, other._array
    if same and a is not None and b is not None and a.ndim == 2 and b.ndim == 2:
        try:
            result = MM.call(input, other)
        except Exception:
            check_matrices(input, other)
            raise
    else:
        if not same:
            check_factors(input, other)
        result = _matmul_by_rank(input, other, shape_of(input), shape_of(other))
    return result if out is None else write_out(out, result, "matmul")


def _matmul_by_rank(input: Tensor, other: Tensor, a: Shape, b: Shape) -> Tensor:
    if not a or not b:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {len(a)}D and {len(b)}D")
    if len(a) == 2 and len(b) == 2:
        check_matrices(input, other)
        return MM.call(input, other)
    if len(b) == 1:
        if len(a) == 1:
            return dot(input, other)
        if len(a) == 2:
            return mv(input, other)
    elif len(b) == 2 and len(a) == 1:
        if a[0] != b[0]:
            raise shapes_error((1, *a), b)
        return VM.call(input, other)
    F = TENSOR_SPACE
    if len(a) == 1:
        out = matmul(F.reshape(input, (1, *a)), other)
        return F.reshape(out, (*b[:-2], b[-1]))
    if len(b) == 1:
        out = matmul(input, F.reshape(other, (*b, 1)))
        return F.reshape(out, a[:-1])
    _check_batches(a, b)
    return MATMUL.call(input, other)


def _check_batches(a: Shape, b: Shape) -> None:
    batch = broadcast_shapes(a[:-2], b[:-2])
    if a[-1] != b[-2]:
        if len(b) == 2:
            raise shapes_error((math.prod(a[:-1]), a[-1]), b)
        if len(a) == 2:
            raise shapes_error((math.prod((*b[:-2], b[-1])), b[-2]), (a[-1], a[0]))
        count = math.prod(batch)
        raise batch_error((count, *a[-2:]), (count, *b[-2:]))


def _mm_errors() -> Iterable[Sample]:
    yield Sample(
        zeros_sample(2, 3),
        zeros_sample(4, 5),
        error=(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
    )
    yield Sample(zeros_sample(3), zeros_sample(4, 5), error=(RuntimeError, "self must be a matrix"))
    yield Sample(zeros_sample(3, 4), zeros_sample(4), error=(RuntimeError, "mat2 must be a matrix"))


@declare(
    op=MM,
    samples=lambda make: [Sample(make(3, 4), make(4, 5)), Sample(make(3, 0), make(0, 5))],
    errors=_mm_errors,
    dtypes=("float", "complex", "int"),
)
def mm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the product of two matrices, without broadcasting."""
    if CASTING and (cast := casting("mm")) is not None:
        return cast(mm, input, mat2, out=out)
    check_tensors("mm", input=input, mat2=mat2)
    a, b = shape_of(input), shape_of(mat2)
    if len(a) != 2:
        raise RuntimeError("self must be a matrix")
    if len(b) != 2:
        raise RuntimeError("mat2 must be a matrix")
    if a[1] != b[0]:
        raise shapes_error(a, b)
    check_factors(input, mat2)
    result = MM.call(input, mat2)
    return result if out is None else write_out(out, result, "mm")


def _bmm_errors() -> Iterable[Sample]:
    yield Sample(zeros_sample(2, 3), zeros_sample(2, 3, 4), error=(RuntimeError, "batch1 must be a 3D tensor"))
    yield Sample(zeros_sample(2, 3, 4), zeros_sample(2, 3), error=(RuntimeError, "batch2 must be a 3D tensor"))
    yield Sample(
        zeros_sample(2, 3, 4),
        zeros_sample(3, 4, 5),
        error=(RuntimeError, "batch2 tensor to be: [2, 4] but got: [3, 4]."),
    )


@declare(
    op=BMM,
    samples=lambda make: [Sample(make(2, 3, 4), make(2, 4, 5)), Sample(make(0, 3, 4), make(0, 4, 5))],
    errors=_bmm_errors,
    dtypes=("float", "complex", "int"),
)
def bmm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the products of matching matrices of two batches: (b, n, m) and (b, m, p) give (b, n, p)."""
    if CASTING and (cast := casting("bmm")) is not None:
        return cast(bmm, input, mat2, out=out)
    check_tensors("bmm", input=input, mat2=mat2)
    check_batch_pair(input, mat2)
    if input._kind.dtype is not mat2._kind.dtype:
        raise scalar_type_error(input._kind.dtype, mat2._kind.dtype)
    check_factors(input, mat2)
    result = BMM.call(input, mat2)
    return result if out is None else write_out(out, result, "bmm")


def check_batch_pair(batch1: Tensor, batch2: Tensor) -> None:
    """Raises PyTorch's errors unless two tensors are batches of matrices that fit."""
    a, b = shape_of(batch1), shape_of(batch2)
    if len(a) != 3:
        raise RuntimeError("batch1 must be a 3D tensor")
    if len(b) != 3:
        raise RuntimeError("batch2 must be a 3D tensor")
    if a[0] != b[0] or a[2] != b[1]:
        raise batch_error(a, b)


def scalar_type_error(expected: DType, found: DType) -> RuntimeError:
    """Returns PyTorch's error for a second factor of another dtype."""
    return RuntimeError(f"expected scalar type {scalar_type_name(expected)} but found {scalar_type_name(found)}")


def _mv_errors() -> Iterable[Sample]:
    yield Sample(
        zeros_sample(2, 3), zeros_sample(4), error=(RuntimeError, "size mismatch, got input (2), mat (2x3), vec (4)")
    )
    yield Sample(
        zeros_sample(2, 3), zeros_sample(4, 5), error=(RuntimeError, "vector + matrix @ vector expected, got 1, 2, 2")
    )


@declare(
    op=MV,
    samples=lambda make: [Sample(make(3, 4), make(4)), Sample(make(3, 0), make(0))],
    errors=_mv_errors,
    dtypes=("float", "complex", "int"),
)
def mv(input: Tensor, vec: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the product of a matrix and a vector."""
    if CASTING and (cast := casting("mv")) is not None:
        return cast(mv, input, vec, out=out)
    check_tensors("mv", input=input, vec=vec)
    a, b = shape_of(input), shape_of(vec)
    if len(a) != 2 or len(b) != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {len(a)}, {len(b)}")
    if a[1] != b[0]:
        raise RuntimeError(f"size mismatch, got input ({a[0]}), mat ({a[0]}x{a[1]}), vec ({b[0]})")
    if input._kind.dtype is not vec._kind.dtype:
        names = scalar_type_name(vec._kind.dtype), scalar_type_name(input._kind.dtype)
        raise RuntimeError(
            f"addmv input tensors must have the same dtype, but got {names[0]}, {names[1]}, and {names[0]}"
        )
    check_factors(input, vec)
    result = MV.call(input, vec)
    return result if out is None else write_out(out, result, "mv")


def dot_errors() -> Iterable[Sample]:
    yield Sample(
        zeros_sample(2, 3), zeros_sample(4), error=(RuntimeError, "1D tensors expected, but got 2D and 1D tensors")
    )
    yield Sample(
        zeros_sample(3),
        zeros_sample(4),
        error=(RuntimeError, "inconsistent tensor size, expected tensor [3] and src [4]"),
    )
    yield Sample(
        zeros_sample(3),
        zeros_sample(3, dtype="float64"),
        error=(RuntimeError, "same dtype, but found Float and Double"),
    )


def check_vectors(input: Tensor, other: Tensor) -> None:
    a, b = shape_of(input), shape_of(other)
    if len(a) != 1 or len(b) != 1:
        raise RuntimeError(f"1D tensors expected, but got {len(a)}D and {len(b)}D tensors")
    if input._kind.dtype is not other._kind.dtype:
        raise RuntimeError(
            "dot : expected both vectors to have same dtype, but found "
            f"{scalar_type_name(input._kind.dtype)} and {scalar_type_name(other._kind.dtype)}"
        )
    if a[0] != b[0]:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{a[0]}] and src [{b[0]}] to have the same number of elements, but got "
            f"{a[0]} and {b[0]} elements respectively"
        )
    check_factors(input, other)


@declare(
    op=DOT,
    samples=lambda make: [Sample(make(4), make(4)), Sample(make(0), make(0))],
    errors=dot_errors,
    dtypes=("float", "complex", "int"),
)
def dot(input: Tensor, tensor: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the sum of the products of two vectors, as a 0-d tensor."""
    if CASTING and (cast := casting("dot")) is not None:
        return cast(dot, input, tensor, out=out)
    check_tensors("dot", input=input, tensor=tensor)
    check_vectors(input, tensor)
    result = DOT.call(input, tensor)
    return result if out is None else write_out(out, result, "dot")
