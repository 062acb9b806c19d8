"""Contractions given by labels or by dimensions: einsum, tensordot, kron, chains of matrices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import argument_error
from torchplug._core.inplace import write_out
from torchplug._core.op import TENSOR_SPACE, Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.products import check_factors, check_tensors, matmul, mm

__all__ = ["chain_matmul", "einsum", "kron", "tensordot"]

Shape = tuple[int, ...]
Labels = tuple[int, ...]

ELLIPSIS = 52
"""Labels 0 to 51 are A to Z and a to z; the dimensions an ellipsis stands for have those from here on."""


# ---- the kernel: operands with distinct labels -----------------------------------------------------------------------


def _permuted(F: Any, x: Any, have: Labels, want: Labels) -> Any:
    return x if have == want else F.permute_dims(x, tuple(have.index(label) for label in want))


def _summed(F: Any, x: Any, labels: Labels, keep: frozenset[int]) -> tuple[Any, Labels]:
    """Returns x summed over the labels nobody needs."""
    axes = tuple(place for place, label in enumerate(labels) if label not in keep)
    return (F.sum(x, axes, False), tuple(label for label in labels if label in keep)) if axes else (x, labels)


def _contract(F: Any, x: Any, have: Labels, y: Any, other: Labels, keep: frozenset[int]) -> tuple[Any, Labels]:
    """Returns the product of two operands as a batch of matrix products, and its labels."""
    x, have = _summed(F, x, have, keep | frozenset(other))
    y, other = _summed(F, y, other, keep | frozenset(have))
    shared = [label for label in have if label in other]
    batch = tuple(label for label in shared if label in keep)
    inner = tuple(label for label in shared if label not in keep)
    left = tuple(label for label in have if label not in other)
    right = tuple(label for label in other if label not in have)
    size = dict(zip(have, x.shape, strict=True)) | dict(zip(other, y.shape, strict=True))

    def length(labels: Labels) -> int:
        return math.prod(size[label] for label in labels)

    x = F.reshape(_permuted(F, x, have, batch + left + inner), (length(batch), length(left), length(inner)))
    y = F.reshape(_permuted(F, y, other, batch + inner + right), (length(batch), length(inner), length(right)))
    if not inner:
        out = F.multiply(x, F.reshape(y, (length(batch), 1, length(right))))
    else:
        out = F.matmul(x, y)
    labels = batch + left + right
    return F.reshape(out, tuple(size[label] for label in labels)), labels


def _einsum(F: Any, operands: Sequence[Any], inputs: tuple[Labels, ...], output: Labels) -> Any:
    out, labels = operands[0], inputs[0]
    for place in range(1, len(operands)):
        later = frozenset(output).union(*inputs[place + 1 :])
        out, labels = _contract(F, out, labels, operands[place], inputs[place], later)
    out, labels = _summed(F, out, labels, frozenset(output))
    return _permuted(F, out, labels, output)


def _einsum_rule(
    F: Any,
    g: Any,
    operands: Sequence[Any],
    operands_shape: tuple[Shape, ...],
    inputs: tuple[Labels, ...],
    output: Labels,
    needs: tuple[bool, ...],
) -> list[Any]:
    """The gradient of an operand contracts g with the other operands; labels only it has are spread."""
    grads: list[Any] = []
    for place, labels in enumerate(inputs):
        if not needs[place]:
            grads.append(None)
            continue
        others = [F.conj_of(x) for index, x in enumerate(operands) if index != place]
        theirs = tuple(each for index, each in enumerate(inputs) if index != place)
        known = frozenset(output).union(*theirs)
        found = tuple(label for label in labels if label in known)
        grad = F.einsum([g, *others], (output, *theirs), found)
        shape = operands_shape[place]
        if found != labels:
            spread = tuple(length if label in known else 1 for label, length in zip(labels, shape, strict=True))
            grad = F.broadcast_to(F.reshape(grad, spread), shape)
        grads.append(grad)
    return grads


EINSUM = Op(
    "einsum",
    ("operands", "inputs", "output"),
    tensors=("operands",),
    variadic=True,
    forward=_einsum,
    joint=_einsum_rule,
)


# ---- equations -------------------------------------------------------------------------------------------------------


def _label(character: str) -> int:
    return ord(character) - (ord("A") if character.isupper() else ord("a") - 26)


def _parse(text: str, where: str, offset: int) -> list[int | None]:
    """Returns labels of one operand, None for the ellipsis."""
    labels: list[int | None] = []
    place = 0
    while place < len(text):
        character = text[place]
        if character == " ":
            place += 1
        elif character == ".":
            if text[place : place + 3] != "..." or None in labels:
                what = "a second '.'" if None in labels else "'.'"
                if None in labels:
                    raise RuntimeError(f"einsum(): found '.' for {where} for which an ellipsis was already found")
                raise RuntimeError(f"einsum(): found {what} for {where} that is not part of any ellipsis")
            labels.append(None)
            place += 3
        elif character.isascii() and character.isalpha():
            labels.append(_label(character))
            place += 1
        else:
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {offset + place} in the equation string, subscripts must be in [a-zA-Z]"
            )
    return labels


def _split(equation: str, count: int) -> tuple[list[list[int | None]], list[int | None] | None]:
    left, arrow, right = equation.partition("->")
    parts = left.split(",")
    inputs, offset = [], 0
    for place, part in enumerate(parts):
        if place >= count:
            raise RuntimeError("einsum(): fewer operands were provided than specified in the equation")
        inputs.append(_parse(part, f"operand {place}", offset))
        offset += len(part) + 1
    if len(parts) < count:
        raise RuntimeError("einsum(): more operands were provided than specified in the equation")
    return inputs, _parse(right, "the output", len(left) + 2) if arrow else None


def _spread_ellipsis(inputs: list[list[int | None]], operands: Sequence[Tensor]) -> tuple[list[Labels], Labels]:
    """Returns the labels of each operand with ellipses written out, and those the longest ellipsis stands for."""
    hidden = []
    for place, (labels, x) in enumerate(zip(inputs, operands, strict=True)):
        named, ndim = sum(label is not None for label in labels), len(shape_of(x))
        if None in labels:
            if named > ndim:
                raise RuntimeError(
                    f"einsum(): the number of subscripts in the equation ({named}) is more than the number of dimensions ({ndim}) for "
                    f"operand {place}"
                )
        elif named != ndim:
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({named}) does not match the number of dimensions ({ndim}) for "
                f"operand {place} and no ellipsis was given"
            )
        hidden.append(ndim - named if None in labels else 0)
    longest = max(hidden, default=0)
    return [_written_out(labels, count, longest) for labels, count in zip(inputs, hidden, strict=True)], tuple(
        range(ELLIPSIS, ELLIPSIS + longest)
    )


def _written_out(labels: Sequence[int | None], count: int, longest: int) -> Labels:
    made: list[int] = []
    for label in labels:
        if label is None:
            made += range(ELLIPSIS + longest - count, ELLIPSIS + longest)
        else:
            made.append(label)
    return tuple(made)


def _output(given: list[int | None] | None, inputs: list[Labels], hidden: Labels) -> Labels:
    counts: dict[int, int] = {}
    for labels in inputs:
        for label in labels:
            counts[label] = counts.get(label, 0) + 1
    if given is None:
        return hidden + tuple(sorted(label for label, times in counts.items() if times == 1 and label < ELLIPSIS))
    output = _written_out(given, len(hidden), len(hidden))
    for label in output:
        if output.count(label) > 1:
            raise RuntimeError(f"einsum(): output subscript {_letter(label)} appears more than once in the output")
        if label not in counts:
            raise RuntimeError(
                f"einsum(): output subscript {_letter(label)} does not appear in the equation for any input operand"
            )
    return output


def _letter(label: int) -> str:
    return chr(label + ord("A")) if label < 26 else chr(label - 26 + ord("a")) if label < ELLIPSIS else "..."


def _prepared(x: Tensor, labels: Labels, place: int) -> tuple[Tensor, Labels]:
    """Returns an operand with repeated labels replaced by diagonals."""
    while len(set(labels)) < len(labels):
        first = next(index for index, label in enumerate(labels) if label in labels[index + 1 :])
        second = labels.index(labels[first], first + 1)
        size = shape_of(x)
        if size[first] != size[second]:
            raise RuntimeError(
                f"einsum(): subscript {_letter(labels[first])} is repeated for operand {place} but the sizes don't match, "
                f"{size[second]} != {size[first]}"
            )
        label = labels[first]
        x = x.diagonal(0, first, second)
        labels = (*(each for index, each in enumerate(labels) if index not in (first, second)), label)
    return x, labels


def _without_ones(x: Tensor, labels: Labels, size: dict[int, int]) -> tuple[Tensor, Labels]:
    """Returns an operand without the dimensions of length 1 that broadcast."""
    shape = shape_of(x)
    kept = tuple(place for place, label in enumerate(labels) if shape[place] == size[label])
    if len(kept) == len(labels):
        return x, labels
    return TENSOR_SPACE.reshape(x, tuple(shape[place] for place in kept)), tuple(labels[place] for place in kept)


def _lengths(operands: Sequence[Tensor], inputs: Sequence[Labels]) -> dict[int, int]:
    size: dict[int, int] = {}
    for place, (x, labels) in enumerate(zip(operands, inputs, strict=True)):
        for label, length in zip(labels, shape_of(x), strict=True):
            known = size.get(label, 1)
            if known != 1 and length not in (1, known):
                raise RuntimeError(
                    f"einsum(): subscript {_letter(label)} has size {length} for operand {place} which does not broadcast with "
                    f"previously seen size {known}"
                )
            size[label] = max(known, length) if length else length
    return size


def _einsum_samples(make: Any) -> Iterable[Sample]:
    yield Sample("ij,jk->ik", make(2, 3), make(3, 4))
    yield Sample("ij,jk", make(2, 3), make(3, 4))
    yield Sample("bij,bjk->bik", make(1, 2, 3), make(5, 3, 4))
    yield Sample("ii->i", make(3, 3))
    yield Sample("ii", make(3, 3))
    yield Sample("ij->ji", make(2, 3))
    yield Sample("ij->j", make(2, 3))
    yield Sample("i,j->ij", make(2), make(3))
    yield Sample("...ij,jk->...ik", make(5, 2, 3), make(3, 4))
    yield Sample("ij,...->i...", make(2, 3), make(4))
    yield Sample("bn,anm,bm->ba", make(2, 3), make(4, 3, 5), make(2, 5))
    yield Sample("ij,ij", make(2, 1), make(2, 3))
    yield Sample("ij,kl->ijkl", make(2, 3), make(2, 2))
    yield Sample("i,i->", make(3), make(3))
    yield Sample("ijj,jk->ik", make(2, 3, 3), make(3, 4))
    yield Sample("ij,->ij", make(2, 3), make())


def _einsum_errors() -> Iterable[Sample]:
    x, y = np.ones((2, 3)), np.ones((4, 4))
    yield Sample(
        "ij,jk",
        x,
        y,
        error=(RuntimeError, "subscript j has size 4 for operand 1 which does not broadcast with previously"),
    )
    yield Sample(
        "ij,jk->il", x, np.ones((3, 4)), error=(RuntimeError, "output subscript l does not appear in the equation")
    )
    yield Sample("ij", x, y, error=(RuntimeError, "more operands were provided than specified in the equation"))
    yield Sample(
        "ijk", x, error=(RuntimeError, "the number of subscripts in the equation (3) does not match the number of")
    )
    yield Sample("i.j", x, error=(RuntimeError, "found '.' for operand 0 that is not part of any ellipsis"))
    yield Sample(
        "ii->i", x, error=(RuntimeError, "subscript i is repeated for operand 0 but the sizes don't match, 3 != 2")
    )
    yield Sample("ij->iij", x, error=(RuntimeError, "output subscript i appears more than once in the output"))
    yield Sample("i1", x, error=(RuntimeError, "invalid subscript given at index 1 in the equation string"))


def _from_sublists(args: tuple[Any, ...]) -> tuple[list[Tensor], list[list[int | None]], list[int | None] | None]:
    """Returns operands and labels of the form einsum(x, [0, 1], y, [1, 2], [0, 2])."""

    def labels(sublist: Sequence[Any]) -> list[int | None]:
        return [None if label is Ellipsis else int(label) for label in sublist]

    pairs = len(args) // 2
    operands = [args[2 * place] for place in range(pairs)]
    inputs = [labels(args[2 * place + 1]) for place in range(pairs)]
    return operands, inputs, labels(args[-1]) if len(args) % 2 else None


@declare(op=EINSUM, samples=_einsum_samples, errors=_einsum_errors, dtypes=("float", "complex"), method=False)
def einsum(*args: Any) -> Tensor:
    """Returns the sum of products that an equation names: `einsum("ij,jk->ik", x, y)`.

    Labels are letters, "..." stands for leading dimensions that broadcast; without "->" the labels that come once are
    kept, in alphabetical order. Also `einsum(x, [0, 1], y, [1, 2], [0, 2])`.
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and its subscripts list"
        )
    if isinstance(args[0], Tensor):
        operands, split, given = _from_sublists(args)
    else:
        operands = list(args[1]) if len(args) == 2 and isinstance(args[1], (list, tuple)) else list(args[1:])
        split, given = _split(args[0], len(operands))
    for x in operands:
        check_tensors("einsum", operands=x)
    inputs, hidden = _spread_ellipsis(split, operands)
    output = _output(given, inputs, hidden)
    prepared = [_prepared(x, labels, place) for place, (x, labels) in enumerate(zip(operands, inputs, strict=True))]
    size = _lengths([x for x, _ in prepared], [labels for _, labels in prepared])
    prepared = [_without_ones(x, labels, size) for x, labels in prepared]
    for x, _ in prepared[1:]:
        check_factors(prepared[0][0], x)
    return _contracted([x for x, _ in prepared], tuple(labels for _, labels in prepared), output, size)


def _contracted(operands: list[Tensor], inputs: tuple[Labels, ...], output: Labels, size: dict[int, int]) -> Tensor:
    """Runs the op; output labels that only had length 1 are put back."""
    known = frozenset().union(*inputs)
    found = tuple(label for label in output if label in known)
    if len(operands) == 1 and set(found) == set(inputs[0]):
        out = TENSOR_SPACE.permute_dims(operands[0], tuple(inputs[0].index(label) for label in found))
    else:
        # PyTorch's einsum multiplies pairs by bmm: only what is a product of matrices is cast.
        cast = casting("bmm") if CASTING and _ends_with_bmm(inputs, found) else None
        out = EINSUM(operands, inputs, found) if cast is None else cast(EINSUM, operands, inputs, found)
    return out if found == output else TENSOR_SPACE.reshape(out, tuple(size[label] for label in output))


def _ends_with_bmm(inputs: tuple[Labels, ...], output: Labels) -> bool:
    """Says whether PyTorch's last product of a pair of operands, from left to right, is a product of matrices."""
    left = set(inputs[0])
    matrices = False
    for place, right in enumerate(inputs[1:], 1):
        later = set(output).union(*inputs[place + 1 :])
        matrices = bool(left & set(right) - later)
        left = (left | set(right)) & later
    return matrices


# ---- tensordot, kron, chains -----------------------------------------------------------------------------------------


def _tensordot_errors() -> Iterable[Sample]:
    x, y = np.ones((2, 3)), np.ones((4, 3))
    yield Sample(
        x,
        y,
        1,
        error=(RuntimeError, "contracted dimensions need to match, but first has size 3 in dim -1 and second has"),
    )
    yield Sample(x, y, ([1, 0], [1]), error=(RuntimeError, "both dimension lists should have same length"))
    yield Sample(x, y, 3, error=(RuntimeError, "tensordot expects dims < ndim_a or ndim_b, but got dims=3"))
    yield Sample(x, y, -1, error=(RuntimeError, "tensordot expects dims >= 0, but got dims=-1"))


@declare(
    errors=_tensordot_errors,
    dtypes=("float", "complex"),
    method=False,
    differentiable=True,
    samples=lambda make: [
        Sample(make(2, 3), make(3, 4), 1),
        Sample(make(2, 3, 4), make(3, 4, 5)),
        Sample(make(2, 3), make(4, 3), ([1], [1])),
        Sample(make(2, 3, 4), make(4, 5, 2), ([0, 2], [2, 0])),
        Sample(make(2), make(3), 0),
    ],
)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Tensor | None = None) -> Tensor:
    """Returns the sum of products over `dims`: the last n of a with the first n of b, or two lists of dimensions."""
    check_tensors("tensordot", a=a, b=b)
    first, second = _contracted_dims(a, b, dims)
    size, other = shape_of(a), shape_of(b)
    for dim, dim2 in zip(first, second, strict=True):
        if size[dim] != other[dim2]:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {size[dim]} in dim {dim} and second has size {other[dim2]} "
                f"in dim {dim2}"
            )
    first, second = tuple(dim % len(size) for dim in first), tuple(dim % len(other) for dim in second)
    left = tuple(dim for dim in range(len(size)) if dim not in first)
    right = tuple(dim for dim in range(len(other)) if dim not in second)
    F = TENSOR_SPACE
    rows, inner = math.prod(size[dim] for dim in left), math.prod(size[dim] for dim in first)
    columns = math.prod(other[dim] for dim in right)
    x = F.reshape(F.permute_dims(a, left + first), (rows, inner))
    y = F.reshape(F.permute_dims(b, second + right), (inner, columns))
    result = F.reshape(mm(x, y), (*(size[dim] for dim in left), *(other[dim] for dim in right)))
    return result if out is None else write_out(out, result, "tensordot")


def _contracted_dims(a: Tensor, b: Tensor, dims: Any) -> tuple[Shape, Shape]:
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, (list, tuple)):
        first, second = (tuple(each) if isinstance(each, (list, tuple)) else (each,) for each in dims)
        if len(first) != len(second):
            raise RuntimeError("both dimension lists should have same length")
        return first, second
    if dims < 0:
        raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
    if dims > min(len(shape_of(a)), len(shape_of(b))):
        raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
    return tuple(range(-dims, 0)), tuple(range(dims))


@declare(
    dtypes=("float", "complex", "int"),
    differentiable=True,
    samples=lambda make: [
        Sample(make(2, 3), make(3, 2)),
        Sample(make(3), make(2)),
        Sample(make(), make(4)),
    ],
)
def kron(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the Kronecker product: every element of the input times the whole of the other, laid out in blocks."""
    check_tensors("kron", input=input, other=other)
    a, b = shape_of(input), shape_of(other)
    ndim = max(len(a), len(b))
    a, b = (1,) * (ndim - len(a)) + a, (1,) * (ndim - len(b)) + b
    F = TENSOR_SPACE
    x = F.reshape(input, tuple(length for size in a for length in (size, 1)))
    y = F.reshape(other, tuple(length for size in b for length in (1, size)))
    result = F.reshape(x * y, tuple(first * second for first, second in zip(a, b, strict=True)))
    return result if out is None else write_out(out, result, "kron")


@declare(
    dtypes=("float",),
    method=False,
    differentiable=True,
    samples=lambda make: [
        Sample(make(2, 3), make(3, 4), make(4, 5)),
        Sample(make(2, 3)),
    ],
)
def chain_matmul(*matrices: Tensor, out: Tensor | None = None) -> Tensor:
    """Returns the product of matrices, multiplied in the order that takes the fewest multiplications."""
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for x in matrices:
        if not isinstance(x, Tensor):
            raise argument_error("chain_matmul", "matrices", "Tensor", x)
    result = (
        matrices[0].clone()
        if len(matrices) == 1
        else _chain(matrices, _cheapest([shape_of(x) for x in matrices]), 0, len(matrices) - 1)
    )
    return result if out is None else write_out(out, result, "chain_matmul")


def _cheapest(shapes: Sequence[Shape]) -> dict[tuple[int, int], int]:
    """Returns where to cut each run of matrices. Source: Cormen et al., section 15.2."""
    lengths = [shapes[0][0], *(shape[1] for shape in shapes)]
    cost: dict[tuple[int, int], int] = {(place, place): 0 for place in range(len(shapes))}
    cut: dict[tuple[int, int], int] = {}
    for span in range(1, len(shapes)):
        for first in range(len(shapes) - span):
            last = first + span
            cost[first, last], cut[first, last] = min(
                (cost[first, k] + cost[k + 1, last] + lengths[first] * lengths[k + 1] * lengths[last + 1], k)
                for k in range(first, last)
            )
    return cut


def _chain(matrices: Sequence[Tensor], cut: dict[tuple[int, int], int], first: int, last: int) -> Tensor:
    if first == last:
        return matrices[first]
    middle = cut[first, last]
    return matmul(_chain(matrices, cut, first, middle), _chain(matrices, cut, middle + 1, last))
