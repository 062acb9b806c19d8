"""Affine maps: the linear layer, products added to a tensor (addmm and its kin), the bilinear form."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torchplug._core.declare import Sample, declare, declare_functional
from torchplug._core.inplace import write_out
from torchplug._core.kernels import composition
from torchplug._core.modes import grad_enabled
from torchplug._core.naming import scalar_type_name, tensor_type_name
from torchplug._core.node import Node, next_sequence_number
from torchplug._core.op import TENSOR_SPACE, Op, record
from torchplug._core.tensor import Tensor, new, shape_of
from torchplug.ops.products import (
    bmm,
    check_batch_pair,
    check_factors,
    check_tensors,
    matmul,
    mm,
    product,
    shapes_error,
    zeros_sample,
)

__all__ = ["addbmm", "addmm", "addmv", "addr", "baddbmm", "bilinear", "linear"]

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
_PAIR_RULES = {"input": _linear_back_input, "weight": lambda F, g, input: F.linear_backward_weight(g, input)}
LINEAR_PAIR = Op("linear_pair", ("input", "weight"), tensors=("input", "weight"), rules=_PAIR_RULES, node="MmBackward0",
                 forward=lambda F, x, weight: F.linear(x, weight, None))  # fmt: skip
LINEAR_PAIR_ROWS = Op("linear_pair", ("input", "weight"), tensors=("input", "weight"), rules=_PAIR_RULES,
                      node="UnsafeViewBackward0", forward=lambda F, x, weight: F.linear(x, weight, None))  # fmt: skip
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
                return product(LINEAR_PAIR if len(shape) == 2 else LINEAR_PAIR_ROWS, input, weight)
            if bias._array.shape == matrix[:1]:
                return _affine(LINEAR_BIAS if len(shape) == 2 else LINEAR_ROWS_BIAS, input, weight, bias)
    return _linear_checked(input, weight, bias, same)


def _affine(op: Op, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Runs the linear op on checked tensors whose arrays are there: `Op.__call__` written out, as in `product`."""
    kind = input._kind
    a, w = input._array, weight._array
    out = new(Tensor)
    out._array = kind.table[op.slot](a, w, bias._array)
    out._kind = kind
    out._cell = out._node = None
    edges = bias._node, input._node, weight._node
    needed = (edges[0] is not None) + 2 * (edges[1] is not None) + 4 * (edges[2] is not None)
    if not needed or not (mode := grad_enabled()):
        return out
    if mode is not True:
        record(op, (input, weight, bias), (a, w, bias._array), (bias, input, weight), (out,), ())
        return out
    out._node = node = new(Node)
    node.op = op
    node.edges = edges
    node.kind = kind
    node.plan = op.plan(needed)
    # The rule of the input reads the weight, that of the weight the input, that of the bias nothing.
    if needed >= 6:
        node.saved, node.sources = (w, a), (weight, input)
    elif needed >= 4:
        node.saved, node.sources = (a,), (input,)
    elif needed >= 2:
        node.saved, node.sources = (w,), (weight,)
    else:
        node.saved = node.sources = ()
    node.versions = (
        [0 if x._cell is None else x._cell.version for x in node.sources]
        if input._cell is not None or weight._cell is not None
        else None
    )
    node.fix = node.cell = node.hooks = node.outputs = None
    node.seq = next_sequence_number()
    return out


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


# ---- products added to a tensor --------------------------------------------------------------------------------------


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
    half = mm(left, F.reshape(F.permute_dims(weight, (1, 0, 2)), (w[1], w[0] * w[2])))
    out = bmm(F.reshape(half, (rows, w[0], w[2])), F.reshape(right, (rows, b[-1], 1)))
    out = F.reshape(out, (*a[:-1], w[0]))
    return out if bias is None else out + bias
