"""The element types every backend speaks: PyTorch's names, NumPy's layouts."""

from __future__ import annotations

from typing import Final

import ml_dtypes
import numpy as np

__all__ = [
    "ALL",
    "DType",
    "bfloat16",
    "bool_",
    "complex64",
    "complex128",
    "float16",
    "float32",
    "float64",
    "from_numpy_dtype",
    "int8",
    "int16",
    "int32",
    "int64",
    "named",
    "uint8",
]


class DType:
    """An element type; one object per type, compared by identity, printed as PyTorch prints it.

    Attributes: `name` ("float32"), `kind` ("bool", "uint", "int", "float" or "complex"), `itemsize` in bytes,
    `numpy` (the NumPy dtype with the same bytes), `rank` (place in the promotion order within its kind).
    """

    __slots__ = ("is_complex", "is_floating_point", "is_signed", "itemsize", "kind", "name", "numpy", "rank")

    def __init__(self, name: str, kind: str, layout: np.dtype, rank: int) -> None:
        self.name = name
        self.kind = kind
        self.numpy = layout
        self.rank = rank
        self.itemsize = layout.itemsize
        self.is_floating_point = kind == "float"
        self.is_complex = kind == "complex"
        self.is_signed = kind not in ("bool", "uint")

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return named, (self.name,)

    def to_real(self) -> DType:
        """Returns the type of the real part (itself unless complex)."""
        return _REAL.get(self, self)

    def to_complex(self) -> DType:
        """Returns the complex type whose parts are this float type (float16 and bfloat16 widen to complex64)."""
        return self if self.is_complex else _COMPLEX.get(self, complex64)


bool_: Final = DType("bool", "bool", np.dtype(np.bool_), 0)
uint8: Final = DType("uint8", "uint", np.dtype(np.uint8), 0)
int8: Final = DType("int8", "int", np.dtype(np.int8), 1)
int16: Final = DType("int16", "int", np.dtype(np.int16), 2)
int32: Final = DType("int32", "int", np.dtype(np.int32), 3)
int64: Final = DType("int64", "int", np.dtype(np.int64), 4)
float16: Final = DType("float16", "float", np.dtype(np.float16), 0)
bfloat16: Final = DType("bfloat16", "float", np.dtype(ml_dtypes.bfloat16), 0)
float32: Final = DType("float32", "float", np.dtype(np.float32), 1)
float64: Final = DType("float64", "float", np.dtype(np.float64), 2)
complex64: Final = DType("complex64", "complex", np.dtype(np.complex64), 0)
complex128: Final = DType("complex128", "complex", np.dtype(np.complex128), 1)

ALL: Final[tuple[DType, ...]] = (
    bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64, complex64, complex128,
)  # fmt: skip

_REAL = {complex64: float32, complex128: float64}
_COMPLEX = {float32: complex64, float64: complex128}
_BY_NAME = {dtype.name: dtype for dtype in ALL}
_BY_NUMPY = {dtype.numpy: dtype for dtype in ALL}


def named(name: str) -> DType:
    """Returns the element type called `name`; KeyError if there is none."""
    return _BY_NAME[name]


def from_numpy_dtype(layout: np.dtype) -> DType:
    """Returns the element type with the layout of a NumPy dtype; TypeError naming the supported ones if there is none."""
    found = _BY_NUMPY.get(np.dtype(layout).newbyteorder("=") if layout.byteorder in "<>" else layout)
    if found is None:
        # C long and long long are distinct NumPy types of one width; the dtype's text does not tell them apart.
        found = _BY_NAME.get(np.dtype(layout).name)
    if found is None:
        raise TypeError(
            f"can't convert np.ndarray of type numpy.{layout}. The only supported types are: float64, float32, float16, "
            "complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool."
        )
    return found
