"""Affine maps: the linear layer, products added to a tensor (addmm and its kin), the bilinear form."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torchplug._core.declare import Sample, declare, declare_functional
from torchplug._core.inplace import write_out
from torchplug._core.kernels import composition
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.products import (
    check_batch_pair,
    check_factors,
    check_tensors,
    matmul,
    shapes_error,
    zeros_sample,
)

__all__ = ["linear"]

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


def _linear_back_bias(F: Any, g: Any, bias_shape: Shape) -> Any:
    return F.unbroadcast(g, bias_shape)


def _linear_op(node: str, bias: bool) -> Op:
    rules = {
        "input": _linear_back_input,
        "weight": lambda F, g, input: F.linear_backward_weight(g, input),
        "bias": _linear_back_bias,
    }
    # PyTorch's addmm has the bias first.
    tensors = ("bias", "input", "weight") if bias else ("input", "weight")
    return Op("linear", ("input", "weight", "bias"), tensors=tensors, forward=_linear, rules=rules, node=node)


LINEAR = _linear_op("MmBackward0", False)
LINEAR_BIAS = _linear_op("AddmmBackward0", True)
LINEAR_ROWS = _linear_op("UnsafeViewBackward0", False)
LINEAR_ROWS_BIAS = _linear_op("ViewBackward0", True)



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
    yield Sample(zeros_sample(2, 3), zeros_sample(4, 5), zeros_sample(4), error=(RuntimeError, "cannot be multiplied (2x3 and 5x4)"))
    yield Sample(zeros_sample(5, 2, 3), zeros_sample(4, 5), error=(RuntimeError, "cannot be multiplied (10x3 and 5x4)"))
    yield Sample(zeros_sample(2, 3), zeros_sample(4, 3), zeros_sample(5), error=(RuntimeError, "The expanded size of the tensor (4) must match"))
    yield Sample(zeros_sample(2, 3), zeros_sample(4, 3, dtype="float64"), zeros_sample(4), error=(RuntimeError, "must have the same dtype"))


@declare_functional(op=LINEAR_BIAS, samples=_linear_samples, errors=_linear_errors)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns `input @ weight.T + bias`: (..., in) and weight (out, in) give (..., out)."""
    try:
        same = input._kind is weight._kind and (bias is None or bias._kind is weight._kind)
    except AttributeError:
        check_tensors("linear", input=input, weight=weight, **({} if bias is None else {"bias": bias}))
        raise
    shape, matrix = shape_of(input), shape_of(weight)
    if not same:
        _check_linear_dtypes(input, weight, bias)
    if len(matrix) != 2 or not shape or shape[-1] != matrix[1]:
        return _linear_odd(input, weight, bias, shape, matrix)
    if bias is None:
        return (LINEAR if len(shape) == 2 else LINEAR_ROWS if len(shape) > 2 else LINEAR_VECTOR)(input, weight, None)
    if shape_of(bias) != matrix[:1]:
        _check_linear_bias(shape_of(bias), shape, matrix)
    return (LINEAR_BIAS if len(shape) == 2 else LINEAR_ROWS_BIAS)(input, weight, bias)


LINEAR_VECTOR = _linear_op("SqueezeBackward4", False)


def _check_linear_dtypes(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    for other in (weight, bias):
        if other is not None and other._kind.dtype is not input._kind.dtype:
            if bias is None:
                check_factors(input, weight)
            names = scalar_type_name(input._kind.dtype), scalar_type_name(other._kind.dtype)
            raise RuntimeError(f"mat1 and mat2 must have the same dtype, but got {names[0]} and {names[1]}")


def _linear_odd(input: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape, matrix: Shape) -> Tensor:
    """Handles weights that are no matrix and reports sizes that do not fit."""
    if not shape or not matrix:
        raise RuntimeError(f"both arguments to linear need to be at least 1D, but they are {len(shape)}D and {len(matrix)}D")
    if len(matrix) == 2:
        raise shapes_error((math.prod(shape[:-1]), shape[-1]), (matrix[1], matrix[0]))
    out = matmul(input, weight if len(matrix) == 1 else TENSOR_SPACE.permute_dims(weight, tuple(reversed(range(len(matrix))))))
    if bias is None:
        return out
    from torchplug.ops.arithmetic import add_plain

    return add_plain(out, bias)


def _check_linear_bias(bias: Shape, shape: Shape, matrix: Shape) -> None:
    target = (*shape[:-1], matrix[0])
    if len(bias) > len(target) or any(own not in (1, want) for own, want in zip(reversed(bias), reversed(target), strict=False)):
        rows = (math.prod(shape[:-1]), matrix[0])
        place = next((i for i in range(1, len(bias) + 1) if i > 2 or bias[-i] not in (1, rows[-i])), 1)
        raise RuntimeError(
            f"The expanded size of the tensor ({rows[-min(place, 2)]}) must match the existing size ({bias[-place]}) at "
            f"non-singleton dimension {2 - place}.  Target sizes: {list(rows)}.  Tensor sizes: {list(bias)}"
        )
