"""PyTorch's type promotion: which element type an op computes in and returns."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from torchplug._core.modes import default_dtype
from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["can_cast", "promote_types", "result_type", "scalar_dtype"]

_KINDS = {"bool": 0, "uint": 1, "int": 1, "float": 2, "complex": 3}


@functools.cache
def promote_types(type1: DType, type2: DType) -> DType:
    """Returns the smallest type that holds both (float16 with bfloat16 gives float32)."""
    if type1 is type2:
        return type1
    low, high = sorted((type1, type2), key=lambda t: (_KINDS[t.kind], t.kind == "int", t.rank))
    if high.is_complex:
        wide = low is dt.float64 or low is dt.complex128
        return dt.complex128 if wide else high
    if low.kind == high.kind == "float" and {low, high} == {dt.float16, dt.bfloat16}:
        return dt.float32
    if low is dt.uint8 and high is dt.int8:
        return dt.int16
    return high


def scalar_dtype(value: Any) -> DType:
    """Returns the type a Python number counts as in promotion."""
    if isinstance(value, bool):
        return dt.bool_
    if isinstance(value, int):
        return dt.int64
    if isinstance(value, complex):
        return default_dtype().to_complex()
    return default_dtype()


def result_type(*operands: Any) -> DType:
    """Returns the type of an elementwise op of tensors and Python numbers.

    Tensors with dimensions come first, then 0-d tensors, then numbers; a later group matters only if its kind (bool <
    integer < float < complex) is higher than what the earlier ones gave.
    """
    groups: list[DType | None] = [None, None, None]
    for operand in operands:
        if isinstance(operand, Tensor):
            place, dtype = (0 if shape_of(operand) else 1), operand._kind.dtype
        else:
            place, dtype = 2, scalar_dtype(operand)
        old = groups[place]
        groups[place] = dtype if old is None else promote_types(old, dtype)
    return _combine(groups)


def _combine(groups: Iterable[DType | None]) -> DType:
    result: DType | None = None
    for dtype in groups:
        if dtype is None:
            continue
        if result is None:
            result = dtype
        elif _KINDS[dtype.kind] > _KINDS[result.kind]:
            # A lower-priority float beside integers brings its own type; a complex number beside floats keeps their width.
            result = result.to_complex() if dtype.is_complex and result.is_floating_point else dtype
    assert result is not None
    return result


def can_cast(from_: DType, to: DType) -> bool:
    """Says whether PyTorch lets a result of one type be written into another: the kind may not fall."""
    if from_.is_complex and not to.is_complex:
        return False
    if from_.is_floating_point and not (to.is_floating_point or to.is_complex):
        return False
    return not (from_ is not dt.bool_ and to is dt.bool_)
