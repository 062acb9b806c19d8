"""PyTorch's names and limits of the dtypes its random kernels know, and the errors for those a kernel lacks."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import ml_dtypes
import numpy as np

__all__ = [
    "LONGEST_PERMUTATION",
    "SCALARS",
    "FloatType",
    "IntegerType",
    "ScalarType",
    "check_continuous",
    "check_permutation",
    "check_uniform_bounds",
    "floating",
    "names",
    "not_implemented",
    "supported",
]


class IntegerType(NamedTuple):
    """PyTorch's and C++'s names of an integer type, and its first and last value."""

    name: str
    spelling: str
    first: int
    last: int


class FloatType(NamedTuple):
    """PyTorch's and C++'s names of a floating-point type, the bits of its significand, and its largest value."""

    name: str
    spelling: str
    digits: int
    largest: float


ScalarType = IntegerType | FloatType

# Two places of a longer one do not fit side by side in an int64, which is how `choices` sorts swaps.
LONGEST_PERMUTATION: Final = 2**31

SCALARS: Final[dict[np.dtype[Any], ScalarType]] = {
    np.dtype(np.bool_): IntegerType("Bool", "bool", 0, 1),
    np.dtype(np.uint8): IntegerType("Byte", "unsigned char", 0, 2**8 - 1),
    np.dtype(np.int8): IntegerType("Char", "signed char", -(2**7), 2**7 - 1),
    np.dtype(np.int16): IntegerType("Short", "short int", -(2**15), 2**15 - 1),
    np.dtype(np.int32): IntegerType("Int", "int", -(2**31), 2**31 - 1),
    np.dtype(np.int64): IntegerType("Long", "long int", -(2**63), 2**63 - 1),
    np.dtype(np.float16): FloatType("Half", "c10::Half", 11, float(np.finfo(np.float16).max)),
    np.dtype(ml_dtypes.bfloat16): FloatType("BFloat16", "c10::BFloat16", 8, (2.0 - 2.0**-7) * 2.0**127),
    np.dtype(np.float32): FloatType("Float", "float", 24, float(np.finfo(np.float32).max)),
    np.dtype(np.float64): FloatType("Double", "double", 53, float(np.finfo(np.float64).max)),
}

# Names and spellings of the types whose tensors are drawn as twice as many reals, where they are drawn at all.
_COMPLEX = {
    np.dtype(np.complex64): ("ComplexFloat", "c10::complex<float>"),
    np.dtype(np.complex128): ("ComplexDouble", "c10::complex<double>"),
}


def supported(dtype: np.dtype[Any], kernel: str) -> ScalarType:
    """Returns what is known of `dtype`. Raises NotImplementedError in the name of `kernel` for a complex dtype."""
    scalar = SCALARS.get(dtype)
    if scalar is None:
        raise not_implemented(dtype, kernel)
    return scalar


def floating(dtype: np.dtype[Any], kernel: str) -> FloatType:
    """Returns what is known of the float `dtype`. Raises NotImplementedError in the name of `kernel` for another."""
    scalar = SCALARS.get(dtype)
    if not isinstance(scalar, FloatType):
        raise not_implemented(dtype, kernel)
    return scalar


def not_implemented(dtype: np.dtype[Any], kernel: str) -> NotImplementedError:
    """Returns PyTorch's error for a kernel that does not exist for `dtype`."""
    return NotImplementedError(f"\"{kernel}\" not implemented for '{names(dtype)[0]}'")


def check_continuous(dtype: np.dtype[Any], distribution: str) -> None:
    """Raises RuntimeError, with PyTorch's sentence, unless `dtype` is a float."""
    if not isinstance(SCALARS.get(dtype), FloatType):
        name, spelling = names(dtype)
        raise RuntimeError(
            f"{distribution} distribution is a continuous probability distribution. dtype must be a floating point "
            f"but you specified {spelling if distribution == 'Cauchy' else name}"
        )


def check_permutation(dtype: np.dtype[Any], n: int) -> None:
    """Raises RuntimeError, with PyTorch's sentence, unless `n` is a length and `dtype` counts to n - 1.

    bfloat16 is let through, as in PyTorch, and rounds. Raises NotImplementedError for bool and complex dtypes.
    """
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    scalar = supported(dtype, "randperm")
    if scalar.name == "Bool":
        raise not_implemented(dtype, "randperm")
    if isinstance(scalar, IntegerType):
        if n - 1 > scalar.last:
            spelling = "int" if scalar.name == "Int" else f"{dtype.name}_t"
            raise RuntimeError(f"value cannot be converted to type {spelling} without overflow")
    elif n > 2**scalar.digits + 1 and scalar.name != "BFloat16":
        limit = "2049" if scalar.name == "Half" else f"2^{scalar.digits}+1"
        raise RuntimeError(f"n cannot be greater than {limit} for {scalar.name} type.")
    if n > LONGEST_PERMUTATION:
        raise NotImplementedError(f"randperm of {n} numbers; at most 2**31 can be shuffled on the host")


def names(dtype: np.dtype[Any]) -> tuple[str, str]:
    """Returns PyTorch's and C++'s names of a dtype, one no kernel knows included."""
    scalar = SCALARS.get(dtype)
    return (scalar.name, scalar.spelling) if scalar else _COMPLEX.get(dtype, (str(dtype), str(dtype)))


def check_uniform_bounds(scalar: FloatType, low: float, high: float) -> None:
    """Raises RuntimeError, with PyTorch's sentence, unless `scalar` holds low <= high and their distance."""
    for name, value in (("from", low), ("to", high)):
        if not abs(value) <= scalar.largest:
            raise RuntimeError(f"{name} is out of bounds for {scalar.spelling}")
    if low > high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    if high - low > scalar.largest:
        raise RuntimeError(
            f"uniform_ expects to-from <= std::numeric_limits<{scalar.name}>::max(), but found to={high:g} and "
            f"from={low:g} which result in to-from to exceed the limit"
        )
