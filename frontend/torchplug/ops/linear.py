"""Affine maps: the linear layer and the bilinear form."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare, declare_functional
from torchplug._core.kernels import composition
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.products import (
    check_factors,
    check_tensors,
    matmul,
    shapes_error,
    zeros_sample,
)

__all__ = ["bilinear", "linear"]

Shape = tuple[int, ...]


def _linear(F: Any, x: Any, weight: Any, bias: Any) -> Any:
    shape = tuple(x.shape)
    flat = x if len(shape) == 2 else F.reshape(x, (math.prod(shape[:-1]), shape[-1]))
    out = F.matmul(flat, F.permute_dims(weight, (1, 0)))
    if bias is not None:
        out = F.add(out, bias)
    return out if len(shape) == 2 else F.reshape(out, (*shape[:-1], weight.shape[0]))


def _linear_back_input(F: Any, g: Any, weight: Any) -> Any:
    return F.matmul(g, F.conj_of(weight)) if len(g.shape) > 1 else F.vm(g, F.conj_of(weight))


@composition
def linear_backward_weight(F: Any, g: Any, x: Any) -> Any:
    """Returns the gradient of the weight (out, in) from those of the outputs (..., out) and the inputs (..., in)."""
    rows = math.prod(g.shape[:-1])
    flat = g if len(g.shape) == 2 else F.reshape(g, (rows, g.shape[-1]))
    return F.mm(F.permute_dims(flat, (1, 0)), F.conj_of(x if len(x.shape) == 2 else F.reshape(x, (rows, x.shape[-1]))))


def _linear_back_bias(F: Any, g: Any) -> Any:
    return F.sum(g, tuple(range(len(g.shape) - 1)), False)


def _linear_op(node: str, bias: bool, odd: bool = False) -> Op:
    """Makes the op of one node name; `odd` biases are broadcast, others have one value for each output."""
    rules = {
        "input": _linear_back_input,
        "weight": lambda F, g, input: F.linear_backward_weight(g, input),
        "bias": (lambda F, g, bias_shape: F.unbroadcast(g, bias_shape)) if odd else _linear_back_bias,
    }
    # PyTorch's addmm has the bias first.
    tensors = ("bias", "input", "weight") if bias else ("input", "weight")
    return Op("linear", ("input", "weight", "bias"), tensors=tensors, forward=_linear, rules=rules, node=node)


LINEAR = _linear_op("MmBackward0", False)
LINEAR_BIAS = _linear_op("AddmmBackward0", True)
LINEAR_ROWS = _linear_op("UnsafeViewBackward0", False)
LINEAR_ROWS_BIAS = _linear_op("ViewBackward0", True)
LINEAR_VECTOR = _linear_op("SqueezeBackward4", False)
LINEAR_ODD_BIAS = _linear_op("AddmmBackward0", True, odd=True)


def _linear_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), make(5, 4), make(5))
    yield Sample(make(3, 4), make(5, 4))
    yield Sample(make(2, 3, 4), make(5, 4), make(5))
    yield Sample(make(2, 3, 4), make(5, 4))
    yield Sample(make(4), make(5, 4), make(5))
    yield Sample(make(4), make(5, 4))
    yield Sample(make(3, 4), make(4))
    yield Sample(make(0, 4), make(5, 4), make(5))


def _linear_errors() -> Iterable[Sample]:
    yield Sample(
        zeros_sample(2, 3),
        zeros_sample(4, 5),
        zeros_sample(4),
        error=(RuntimeError, "cannot be multiplied (2x3 and 5x4)"),
    )
    yield Sample(zeros_sample(5, 2, 3), zeros_sample(4, 5), error=(RuntimeError, "cannot be multiplied (10x3 and 5x4)"))
    yield Sample(
        zeros_sample(2, 3),
        zeros_sample(4, 3),
        zeros_sample(5),
        error=(RuntimeError, "The expanded size of the tensor (4) must match"),
    )
    yield Sample(
        zeros_sample(2, 3),
        zeros_sample(4, 3, dtype="float64"),
        zeros_sample(4),
        error=(RuntimeError, "must have the same dtype"),
    )


@declare_functional(op=LINEAR_BIAS, samples=_linear_samples, errors=_linear_errors)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns `input @ weight.T + bias`: (..., in) and weight (out, in) give (..., out)."""
    if CASTING and (cast := casting("nn.functional.linear")) is not None:
        return cast(linear, input, weight, bias)
    try:
        same = input._kind is weight._kind and (bias is None or bias._kind is weight._kind)
    except AttributeError:
        check_tensors("linear", input=input, weight=weight, **({} if bias is None else {"bias": bias}))
        raise
    a, w = input._array, weight._array
    if same and a is not None and w is not None and (bias is None or bias._array is not None):
        shape, matrix = a.shape, w.shape
        if len(matrix) == 2 and len(shape) > 1 and shape[-1] == matrix[1]:
            if bias is None:
                return (LINEAR if len(shape) == 2 else LINEAR_ROWS).call(input, weight, None)
            if bias._array.shape == matrix[:1]:
                return (LINEAR_BIAS if len(shape) == 2 else LINEAR_ROWS_BIAS).call(input, weight, bias)
    return _linear_checked(input, weight, bias, same)


def _linear_checked(input: Tensor, weight: Tensor, bias: Tensor | None, same: bool) -> Tensor:
    shape, matrix = shape_of(input), shape_of(weight)
    if not same:
        _check_linear_dtypes(input, weight, bias)
    if len(matrix) != 2 or not shape or shape[-1] != matrix[1]:
        return _linear_odd(input, weight, bias, shape, matrix)
    if bias is None:
        return (LINEAR if len(shape) == 2 else LINEAR_ROWS if len(shape) > 2 else LINEAR_VECTOR)(input, weight, None)
    if shape_of(bias) != matrix[:1]:
        _check_linear_bias(shape_of(bias), shape, matrix)
        return LINEAR_ODD_BIAS(input, weight, bias)
    return (LINEAR_BIAS if len(shape) == 2 else LINEAR_ROWS_BIAS)(input, weight, bias)


def _check_linear_dtypes(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    if bias is None:
        return check_factors(input, weight)
    for name, other in (("self", bias), ("mat1", input)):
        if other._kind.dtype is not weight._kind.dtype:
            names = scalar_type_name(other._kind.dtype), scalar_type_name(weight._kind.dtype)
            raise RuntimeError(f"{name} and mat2 must have the same dtype, but got {names[0]} and {names[1]}")
    check_factors(input, weight)
    check_factors(input, bias)


def _linear_odd(input: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape, matrix: Shape) -> Tensor:
    """Handles weights that are no matrix and reports sizes that do not fit."""
    if not shape or not matrix:
        raise RuntimeError(
            f"both arguments to linear need to be at least 1D, but they are {len(shape)}D and {len(matrix)}D"
        )
    if len(matrix) == 2:
        raise shapes_error((math.prod(shape[:-1]), shape[-1]), (matrix[1], matrix[0]))
    out = matmul(
        input, weight if len(matrix) == 1 else TENSOR_SPACE.permute_dims(weight, tuple(reversed(range(len(matrix)))))
    )
    if bias is None:
        return out
    from torchplug.ops.arithmetic import add_plain

    return add_plain(out, bias)


def _check_linear_bias(bias: Shape, shape: Shape, matrix: Shape) -> None:
    target = (*shape[:-1], matrix[0])
    if len(bias) > len(target) or any(
        own not in (1, want) for own, want in zip(reversed(bias), reversed(target), strict=False)
    ):
        rows = (math.prod(shape[:-1]), matrix[0])
        place = next((i for i in range(1, len(bias) + 1) if i > 2 or bias[-i] not in (1, rows[-i])), 1)
        raise RuntimeError(
            f"The expanded size of the tensor ({rows[-min(place, 2)]}) must match the existing size ({bias[-place]}) at "
            f"non-singleton dimension {2 - place}.  Target sizes: {list(rows)}.  Tensor sizes: {list(bias)}"
        )


# ---- bilinear --------------------------------------------------------------------------------------------------------


def _bilinear_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(5, 2), make(5, 3), make(4, 2, 3), make(4))
    yield Sample(make(2, 5, 2), make(2, 5, 3), make(4, 2, 3))
    yield Sample(make(2), make(3), make(4, 2, 3), make(4))


def _bilinear_errors() -> Iterable[Sample]:
    x, y, w = zeros_sample(5, 2), zeros_sample(5, 3), zeros_sample(4, 2, 3)
    yield Sample(
        x, zeros_sample(4, 3), w, error=(RuntimeError, "input batch dimensions do not match at dim 0: got 5 and 4")
    )
    yield Sample(y, y, w, error=(RuntimeError, "input1 size does not match weight size: got 3 but expected 2"))
    yield Sample(x, x, w, error=(RuntimeError, "input2 size does not match weight size: got 2 but expected 3"))
    yield Sample(
        x, y, w, zeros_sample(5), error=(RuntimeError, "bias size does not match weight size: got 5 but expected 4")
    )


@declare(samples=_bilinear_samples, errors=_bilinear_errors, method=False, differentiable=True)
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns input1^T W_o input2 + b_o for every output o: (..., in1), (..., in2), weight (out, in1, in2) give (..., out)."""
    check_tensors("bilinear", input1=input1, input2=input2, weight=weight)
    a, b, w = shape_of(input1), shape_of(input2), shape_of(weight)
    if len(a) != len(b):
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {len(a)} and {len(b)}")
    for dim in range(len(a) - 1):
        if a[dim] != b[dim]:
            raise RuntimeError(
                f"bilinear(): input batch dimensions do not match at dim {dim}: got {a[dim]} and {b[dim]}"
            )
    for name, have, want in (("input1", a[-1], w[1]), ("input2", b[-1], w[2])):
        if have != want:
            raise RuntimeError(f"bilinear(): {name} size does not match weight size: got {have} but expected {want}")
    if bias is not None and shape_of(bias)[0] != w[0]:
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {shape_of(bias)[0]} but expected {w[0]}"
        )
    F = TENSOR_SPACE
    rows = math.prod(a[:-1])
    left, right = F.reshape(input1, (rows, a[-1])), F.reshape(input2, (rows, b[-1]))
    # (rows, out * in2), contracted with input2 row by row.
    check_factors(input1, weight)
    check_factors(input1, input2)
    half = F.mm(left, F.reshape(F.permute_dims(weight, (1, 0, 2)), (w[1], w[0] * w[2])))
    out = F.bmm(F.reshape(half, (rows, w[0], w[2])), F.reshape(right, (rows, b[-1], 1)))
    out = F.reshape(out, (*a[:-1], w[0]))
    return out if bias is None else out + bias
