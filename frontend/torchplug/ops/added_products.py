"""Products of matrices and vectors added to a tensor: addmm, baddbmm, addbmm, addmv, addr."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare
from torchplug._core.inplace import write_out
from torchplug._core.naming import scalar_type_name, tensor_type_name
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.products import (
    check_batch_pair,
    check_factors,
    check_tensors,
    shapes_error,
    zeros_sample,
)

__all__ = ["addbmm", "addmm", "addmv", "addr", "baddbmm"]

Shape = tuple[int, ...]


def _scaled(F: Any, x: Any, factor: float) -> Any:
    return x if factor == 1 else F.multiply(x, factor)


def _sum_of_products(product: str) -> Any:
    def forward(F: Any, x: Any, a: Any, b: Any, beta: float, alpha: float) -> Any:
        made = _scaled(F, getattr(F, product)(a, b), alpha)
        # beta = 0 ignores the input, even NaN in it.
        return made if beta == 0 else F.add(_scaled(F, x, beta), made)

    return forward


def _added_rule(F: Any, g: Any, input_shape: Shape, beta: float) -> Any:
    return F.unbroadcast(_scaled(F, g, beta) if beta != 0 else F.zeros_of(g, tuple(g.shape)), input_shape)


_ADDED = ("input", "a", "b")


ADDMM = Op("addmm", (*_ADDED, "beta", "alpha"), tensors=_ADDED, forward=_sum_of_products("mm"), rules={
    "input": _added_rule,
    "a": lambda F, g, b, alpha: F.mm(_scaled(F, g, alpha), F.adjoint(b)),
    "b": lambda F, g, a, alpha: F.mm(F.adjoint(a), _scaled(F, g, alpha)),
})  # fmt: skip


BADDBMM = Op("baddbmm", (*_ADDED, "beta", "alpha"), tensors=_ADDED, forward=_sum_of_products("bmm"), rules={
    "input": _added_rule,
    "a": lambda F, g, b, alpha: F.bmm(_scaled(F, g, alpha), F.adjoint(b)),
    "b": lambda F, g, a, alpha: F.bmm(F.adjoint(a), _scaled(F, g, alpha)),
})  # fmt: skip


ADDMV = Op("addmv", (*_ADDED, "beta", "alpha"), tensors=_ADDED, forward=_sum_of_products("mv"), rules={
    "input": _added_rule,
    "a": lambda F, g, b, alpha: F.outer(_scaled(F, g, alpha), F.conj_of(b)),
    "b": lambda F, g, a, alpha: F.mv(F.adjoint(a), _scaled(F, g, alpha)),
})  # fmt: skip


ADDR = Op("addr", (*_ADDED, "beta", "alpha"), tensors=_ADDED, forward=_sum_of_products("outer"), rules={
    "input": _added_rule,
    "a": lambda F, g, b, alpha: F.mv(_scaled(F, g, alpha), F.conj_of(b)),
    "b": lambda F, g, a, alpha: F.vm(F.conj_of(a), _scaled(F, g, alpha)),
})  # fmt: skip


def _addbmm(F: Any, x: Any, a: Any, b: Any, beta: float, alpha: float) -> Any:
    made = _scaled(F, F.sum(F.bmm(a, b), (0,), False), alpha)
    return made if beta == 0 else F.add(_scaled(F, x, beta), made)


def _spread_batch(F: Any, g: Any, alpha: float, count: int) -> Any:
    return F.broadcast_to(F.reshape(_scaled(F, g, alpha), (1, *g.shape)), (count, *g.shape))


ADDBMM = Op("addbmm", (*_ADDED, "beta", "alpha"), tensors=_ADDED, forward=_addbmm, rules={
    "input": _added_rule,
    "a": lambda F, g, b, alpha: F.bmm(_spread_batch(F, g, alpha, b.shape[0]), F.adjoint(b)),
    "b": lambda F, g, a, alpha: F.bmm(F.adjoint(a), _spread_batch(F, g, alpha, a.shape[0])),
})  # fmt: skip


def _check_added(input: Tensor, target: Shape) -> None:
    """Raises PyTorch's error unless the input can be expanded to the size of the product."""
    size = shape_of(input)
    if len(size) > len(target):
        raise RuntimeError(
            f"expand(torch.{tensor_type_name(input._kind.dtype)}{{{list(size)}}}, size={list(target)}): the number of sizes provided "
            f"({len(target)}) must be greater or equal to the number of dimensions in the tensor ({len(size)})"
        )
    for place in range(1, len(size) + 1):
        if size[-place] not in (1, target[-place]):
            raise RuntimeError(
                f"The expanded size of the tensor ({target[-place]}) must match the existing size ({size[-place]}) at non-singleton "
                f"dimension {len(target) - place}.  Target sizes: {list(target)}.  Tensor sizes: {list(size)}"
            )


def _run_added(
    name: str, op: Op, input: Tensor, a: Tensor, b: Tensor, target: Shape, beta: float, alpha: float, out: Tensor | None
) -> Tensor:
    _check_added(input, target)
    if a._kind.inexact is False:
        beta, alpha = int(beta), int(alpha)
    if input._kind.dtype is not a._kind.dtype:
        check_factors(input, a)
    check_factors(a, b)
    if shape_of(input) != target and beta == 0:
        input = TENSOR_SPACE.broadcast_to(input, target)
    result = op(input, a, b, beta, alpha)
    return result if out is None else write_out(out, result, name)


def _addmm_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 5), make(2, 3), make(3, 5))
    yield Sample(make(2, 5), make(2, 3), make(3, 5), beta=2, alpha=3)
    yield Sample(make(2, 5), make(2, 3), make(3, 5), beta=0)


def _addmm_errors() -> Iterable[Sample]:
    yield Sample(
        zeros_sample(3),
        zeros_sample(2, 3),
        zeros_sample(4, 5),
        error=(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
    )
    yield Sample(
        zeros_sample(7),
        zeros_sample(2, 3),
        zeros_sample(3, 5),
        error=(RuntimeError, "The expanded size of the tensor (5) must match the existing size (7)"),
    )
    yield Sample(
        zeros_sample(5),
        zeros_sample(2, 3, 1),
        zeros_sample(3, 5),
        error=(RuntimeError, "mat1 must be a matrix, got 3-D"),
    )
    yield Sample(
        zeros_sample(5),
        zeros_sample(2, 3),
        zeros_sample(3, 5, dtype="float64"),
        error=(RuntimeError, "self and mat2 must have the same dtype, but got Float and Double"),
    )


@declare(op=ADDMM, samples=_addmm_samples, errors=_addmm_errors, dtypes=("float", "complex", "int"), inplace=True)
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """Returns beta * input + alpha * (mat1 @ mat2); the input broadcasts."""
    if CASTING and (cast := casting("addmm")) is not None:
        return cast(addmm, input, mat1, mat2, beta=beta, alpha=alpha, out=out)
    check_tensors("addmm", input=input, mat1=mat1, mat2=mat2)
    a, b = shape_of(mat1), shape_of(mat2)
    for name, size in (("mat1", a), ("mat2", b)):
        if len(size) != 2:
            raise RuntimeError(f"{name} must be a matrix, got {len(size)}-D tensor")
    dtype, other = input._kind.dtype, mat2._kind.dtype
    if dtype is not other:
        raise RuntimeError(
            f"self and mat2 must have the same dtype, but got {scalar_type_name(dtype)} and {scalar_type_name(other)}"
        )
    if a[1] != b[0]:
        raise shapes_error(a, b)
    return _run_added("addmm", ADDMM, input, mat1, mat2, (a[0], b[1]), beta, alpha, out)


def _baddbmm_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3, 5), make(2, 3, 4), make(2, 4, 5))
    yield Sample(make(2, 3, 5), make(2, 3, 4), make(2, 4, 5), beta=2, alpha=3)


def _baddbmm_errors() -> Iterable[Sample]:
    yield Sample(
        zeros_sample(6),
        zeros_sample(2, 3, 4),
        zeros_sample(2, 4, 5),
        error=(RuntimeError, "The expanded size of the tensor (5) must match the existing size (6) at non-singleton"),
    )
    yield Sample(
        zeros_sample(5), zeros_sample(2, 3), zeros_sample(2, 4, 5), error=(RuntimeError, "batch1 must be a 3D tensor")
    )


@declare(op=BADDBMM, samples=_baddbmm_samples, errors=_baddbmm_errors, dtypes=("float", "complex", "int"), inplace=True)
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """Returns beta * input + alpha * (batch1 @ batch2) for two batches of matrices; the input broadcasts."""
    if CASTING and (cast := casting("baddbmm")) is not None:
        return cast(baddbmm, input, batch1, batch2, beta=beta, alpha=alpha, out=out)
    check_tensors("baddbmm", input=input, batch1=batch1, batch2=batch2)
    check_batch_pair(batch1, batch2)
    a, b = shape_of(batch1), shape_of(batch2)
    return _run_added("baddbmm", BADDBMM, input, batch1, batch2, (a[0], a[1], b[2]), beta, alpha, out)


def _addbmm_errors() -> Iterable[Sample]:
    x = zeros_sample(2, 3, 4)
    yield Sample(
        zeros_sample(5), x, zeros_sample(3, 4, 5), error=(RuntimeError, "must have same number of batches, got 2 and 3")
    )
    yield Sample(
        zeros_sample(5),
        x,
        zeros_sample(2, 3, 5),
        error=(RuntimeError, "Incompatible matrix sizes for bmm (3x4 and 3x5)"),
    )


@declare(
    op=ADDBMM,
    errors=_addbmm_errors,
    dtypes=("float", "complex"),
    inplace=True,
    samples=lambda make: [
        Sample(make(3, 5), make(2, 3, 4), make(2, 4, 5)),
        Sample(make(3, 5), make(2, 3, 4), make(2, 4, 5), beta=2, alpha=3),
    ],
)
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """Returns beta * input + alpha * the sum over the batch of batch1 @ batch2; the input broadcasts."""
    check_tensors("addbmm", input=input, batch1=batch1, batch2=batch2)
    a, b = shape_of(batch1), shape_of(batch2)
    for name, size in (("batch1", a), ("batch2", b)):
        if len(size) != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    if a[0] != b[0]:
        raise RuntimeError(f"batch1 and batch2 must have same number of batches, got {a[0]} and {b[0]}")
    if a[2] != b[1]:
        raise RuntimeError(f"Incompatible matrix sizes for bmm ({a[1]}x{a[2]} and {b[1]}x{b[2]})")
    return _run_added("addbmm", ADDBMM, input, batch1, batch2, (a[1], b[2]), beta, alpha, out)


def _addmv_errors() -> Iterable[Sample]:
    matrix = zeros_sample(2, 3)
    yield Sample(
        zeros_sample(2),
        matrix,
        zeros_sample(4),
        error=(RuntimeError, "size mismatch, got input (2), mat (2x3), vec (4)"),
    )
    yield Sample(
        zeros_sample(1, 2),
        matrix,
        zeros_sample(3),
        error=(RuntimeError, "vector + matrix @ vector expected, got 2, 2, 1"),
    )


@declare(
    op=ADDMV,
    errors=_addmv_errors,
    dtypes=("float", "complex", "int"),
    inplace=True,
    samples=lambda make: [
        Sample(make(2), make(2, 3), make(3)),
        Sample(make(2), make(2, 3), make(3), beta=2, alpha=3),
    ],
)
def addmv(
    input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """Returns beta * input + alpha * (mat @ vec)."""
    check_tensors("addmv", input=input, mat=mat, vec=vec)
    size, a, b = shape_of(input), shape_of(mat), shape_of(vec)
    if len(a) != 2 or len(b) != 1 or len(size) > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {len(size)}, {len(a)}, {len(b)}")
    if a[1] != b[0] or size not in ((), (1,), a[:1]):
        raise RuntimeError(f"size mismatch, got input ({size[0] if size else 1}), mat ({a[0]}x{a[1]}), vec ({b[0]})")
    return _run_added("addmv", ADDMV, input, mat, vec, a[:1], beta, alpha, out)


def _addr_errors() -> Iterable[Sample]:
    yield Sample(
        zeros_sample(2, 3),
        zeros_sample(2, 1),
        zeros_sample(3),
        error=(RuntimeError, "addr: Expected 1-D argument vec1"),
    )


@declare(
    op=ADDR,
    errors=_addr_errors,
    dtypes=("float", "complex", "int"),
    inplace=True,
    samples=lambda make: [
        Sample(make(2, 3), make(2), make(3)),
        Sample(make(2, 3), make(2), make(3), beta=2, alpha=3),
    ],
)
def addr(
    input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """Returns beta * input + alpha * outer(vec1, vec2); the input broadcasts."""
    check_tensors("addr", input=input, vec1=vec1, vec2=vec2)
    for name, x in (("vec1", vec1), ("vec2", vec2)):
        if len(shape_of(x)) != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {name}, but got {len(shape_of(x))}-D")
    return _run_added("addr", ADDR, input, vec1, vec2, (*shape_of(vec1), *shape_of(vec2)), beta, alpha, out)
