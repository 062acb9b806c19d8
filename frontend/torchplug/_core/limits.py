"""`torch.finfo` and `torch.iinfo`: the limits of element types."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from torchplug._core.modes import default_dtype
from torchplug_spec import DType

__all__ = ["finfo", "iinfo"]


class finfo:  # noqa: N801 -- PyTorch's name
    """Limits of a floating point type: bits, eps, max, min, tiny, smallest_normal, resolution."""

    __slots__ = ("bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny")

    def __init__(self, type: DType | None = None) -> None:
        dtype = (type or default_dtype()).to_real() if type is None or isinstance(type, DType) else None
        if dtype is None or not dtype.is_floating_point:
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{type!r}'")
        facts: Any = ml_dtypes.finfo(dtype.numpy)  # type: ignore[no-untyped-call]
        self.dtype = dtype.name
        self.bits = dtype.itemsize * 8
        self.eps, self.max, self.min = float(facts.eps), float(facts.max), float(facts.min)
        self.tiny = self.smallest_normal = float(facts.smallest_normal)
        self.resolution = float(facts.resolution)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:  # noqa: N801 -- PyTorch's name
    """Limits of an integer type: bits, max, min."""

    __slots__ = ("bits", "dtype", "max", "min")

    def __init__(self, type: DType) -> None:
        if not isinstance(type, DType) or type.kind not in ("int", "uint"):
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type!r}'")
        facts = np.iinfo(type.numpy)
        self.dtype, self.bits, self.max, self.min = type.name, type.itemsize * 8, int(facts.max), int(facts.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
