"""Functions that return several views of one tensor: split, chunk, tensor_split, unbind."""

from __future__ import annotations

from typing import Any

from torchplug._core import lens as lenses
from torchplug._core.declare import Sample, declare
from torchplug._core.dims import wrap_dim
from torchplug._core.op import ViewOp
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.views import INDEX, whole_but

__all__ = ["chunk", "split", "tensor_split", "unbind"]

SPLIT = ViewOp("split", lenses.INDEX, ("key",))
UNBIND = ViewOp("unbind", lenses.INDEX, ("key",))


def _multi(views: list[Tensor]) -> tuple[Tensor, ...]:
    for place, piece in enumerate(views):
        if piece._view.meta is None:
            piece._view.meta = place
    return tuple(views)


@declare(
    op=SPLIT, samples=lambda make: [Sample(make(7, 2), 3), Sample(make(6, 2), (1, 2, 3)), Sample(make(2, 6), 2, 1)]
)
def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Returns views of consecutive pieces along `dim`: of one size (the last may be shorter), or of the listed sizes."""
    size = shape_of(input)
    if not size:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    dim = wrap_dim(dim, len(size))
    total = size[dim]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step < 0 or (step == 0 and total):
            raise RuntimeError(
                f"split expects split_size be non-negative, but got split_size={step}"
                if step < 0
                else f"split_size can only be 0 if dimension size is 0, but got dimension size of {total}"
            )
        sections = [min(step, total - start) for start in range(0, total, step)] if total else [0]
    else:
        sections = [int(length) for length in split_size_or_sections]
        if sum(sections) != total or any(length < 0 for length in sections):
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {total} (input tensor's size at dimension {dim}), but got "
                f"split_sizes={sections}"
            )
    pieces, start = [], 0
    for length in sections:
        pieces.append(SPLIT(input, whole_but(size, dim, slice(start, start + length, 1))))
        start += length
    return _multi(pieces)


@declare(samples=lambda make: [Sample(make(7, 2), 3), Sample(make(2, 6), 2, 1)])
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Returns views of at most `chunks` pieces of equal size along `dim` (the last may be shorter)."""
    size = shape_of(input)
    if not size:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    total = size[wrap_dim(dim, len(size))]
    if total == 0:
        return split(input, [0] * chunks, dim)
    return split(input, -(-total // chunks), dim)


@declare(samples=lambda make: [Sample(make(7, 2), 3), Sample(make(7, 2), (1, 4))])
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Returns views of pieces along `dim`: a number of nearly equal ones, or those between the listed indices."""
    size = shape_of(input)
    dim = wrap_dim(dim, len(size))
    total = size[dim]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        if indices_or_sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {indices_or_sections}")
        share, extra = divmod(total, indices_or_sections)
        cuts = [0]
        for piece in range(indices_or_sections):
            cuts.append(cuts[-1] + share + (piece < extra))
    else:
        cuts = [
            0,
            *(min(max(cut + total if cut < 0 else cut, 0), total) for cut in map(int, indices_or_sections)),
            total,
        ]
    pieces = [slice(first, max(first, last), 1) for first, last in zip(cuts, cuts[1:], strict=False)]
    return tuple(INDEX(input, whole_but(size, dim, piece)) for piece in pieces)


@declare(op=UNBIND, samples=lambda make: [Sample(make(3, 2)), Sample(make(3, 2), 1)])
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Returns a view of every entry of a dimension."""
    size = shape_of(input)
    if not size:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    dim = wrap_dim(dim, len(size))
    return _multi([UNBIND(input, whole_but(size, dim, place)) for place in range(size[dim])])
