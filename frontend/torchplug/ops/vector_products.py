"""Products of vectors that are no matrix products: vdot, outer, inner."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torchplug._core.declare import Sample, declare
from torchplug._core.inplace import write_out
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.products import PAIR, check_tensors, check_vectors, dot, dot_errors, mm, zeros_sample

__all__ = ["inner", "outer", "vdot"]


def _outer(F: Any, x: Any, y: Any) -> Any:
    return F.multiply(F.reshape(x, (x.shape[0], 1)), F.reshape(y, (1, y.shape[0])))


VDOT = Op("vdot", PAIR, tensors=PAIR, forward=lambda F, x, y: F.dot(F.conj_of(x), y), rules={
    "input": lambda F, g, other: F.multiply(other, F.conj_of(g)),
    "other": lambda F, g, input: F.multiply(input, g),
})  # fmt: skip


OUTER = Op("outer", PAIR, tensors=PAIR, forward=_outer, node="MulBackward0", rules={
    "input": lambda F, g, other: F.mv(g, F.conj_of(other)),
    "other": lambda F, g, input: F.vm(F.conj_of(input), g),
})  # fmt: skip


@declare(
    op=VDOT, samples=lambda make: [Sample(make(4), make(4))], errors=dot_errors, dtypes=("float", "complex", "int")
)
def vdot(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the dot product of two vectors, the first conjugated."""
    check_tensors("vdot", input=input, other=other)
    check_vectors(input, other)
    result = VDOT.call(input, other)
    return result if out is None else write_out(out, result, "vdot")


def _outer_errors() -> Iterable[Sample]:
    yield Sample(
        zeros_sample(2, 3), zeros_sample(4), error=(RuntimeError, "outer: Expected 1-D argument self, but got 2-D")
    )
    yield Sample(
        zeros_sample(3), zeros_sample(4, 5), error=(RuntimeError, "outer: Expected 1-D argument vec2, but got 2-D")
    )


@declare(
    op=OUTER,
    samples=lambda make: [Sample(make(3), make(4))],
    errors=_outer_errors,
    dtypes=("float", "complex", "int"),
    aliases=("ger",),
)
def outer(input: Tensor, vec2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the matrix of all products of the elements of two vectors."""
    check_tensors("outer", input=input, vec2=vec2)
    for name, x in (("self", input), ("vec2", vec2)):
        if len(shape_of(x)) != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {len(shape_of(x))}-D")
    if input._kind is vec2._kind:
        result = OUTER.call(input, vec2)
    else:
        F = TENSOR_SPACE
        from torchplug.ops.arithmetic import mul

        result = mul(F.reshape(input, (*shape_of(input), 1)), F.reshape(vec2, (1, *shape_of(vec2))))
    return result if out is None else write_out(out, result, "outer")


def _inner_errors() -> Iterable[Sample]:
    yield Sample(
        zeros_sample(2, 3),
        zeros_sample(4, 5),
        error=(RuntimeError, "inner() the last dimension must match on both input tensors"),
    )


@declare(
    samples=lambda make: [Sample(make(3), make(3)), Sample(make(2, 3), make(4, 3)), Sample(make(2, 3), make())],
    errors=_inner_errors,
    dtypes=("float", "complex", "int"),
    differentiable=True,
)
def inner(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the sums of products over the last dimensions, for every pair of rows; 0-d factors multiply."""
    check_tensors("inner", input=input, other=other)
    a, b = shape_of(input), shape_of(other)
    if not a or not b:
        from torchplug.ops.arithmetic import mul

        result = mul(input, other)
    elif a[-1] != b[-1]:
        raise RuntimeError(
            f"inner() the last dimension must match on both input tensors but got shapes {list(a)} and {list(b)}"
        )
    elif len(a) == len(b) == 1:
        result = dot(input, other)
    else:
        F = TENSOR_SPACE
        rows = F.reshape(other, (math.prod(b[:-1]), b[-1]))
        left = F.reshape(input, (math.prod(a[:-1]), a[-1]))
        result = F.reshape(mm(left, F.permute_dims(rows, (1, 0))), (*a[:-1], *b[:-1]))
    return result if out is None else write_out(out, result, "inner")
