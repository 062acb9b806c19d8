"""The contract: what an array library must offer to carry torchplug.

Names and meanings are those of the Python array API standard (2024.12) wherever it has the function. Arrays are opaque to
torchplug but for `.shape` (a tuple of ints), `.ndim`, `.dtype` (the library's own) and basic indexing `x[key]`, where `key`
is a tuple of ints, slices, None and Ellipsis that names every axis or holds an Ellipsis. Arguments: `dtype` is a
`torchplug_spec.dtypes.DType`, `shape` a tuple of ints, `axis` an int, a tuple of ints or None (all axes), `device` one of the
strings of `devices()`. Operands of binary functions have one dtype and may be Python scalars. Nothing is written in place
unless the capability `mutable` is declared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from torchplug_spec.dtypes import DType

__all__ = [
    "API_VERSION",
    "CAPABILITIES",
    "Array",
    "Backend",
    "capability_for",
    "in_place_of",
    "kernel",
    "required_functions",
]

API_VERSION = 1
"""Version of this contract; a backend written against another major version is refused at load."""

Array = Any
Shape = tuple[int, ...]
Axis = int | tuple[int, ...] | None
_F = TypeVar("_F", bound=Callable[..., Any])

CAPABILITIES: dict[str, str] = {
    "mutable": "arrays are strided and written in place; basic indexing gives views (needs strides_of, as_strided, assign)",
    "complex": "complex64 and complex128 arrays (needs real, imag, conj, complex)",
    "float64": "float64 arrays are kept, not narrowed",
    "float16": "float16 arrays",
    "bfloat16": "bfloat16 arrays",
    "compile": "compile(fn) turns a pure function over arrays into a faster one",
    "devices": "more than one device",
    "streams": "work is queued; synchronize waits for it",
}


def kernel(name: str, partial: bool = False) -> Callable[[_F], _F]:
    """Marks a backend method as this engine's own implementation of the torchplug kernel `name`.

    The method takes what the default composition takes (after its namespace argument) and must equal it; conformance
    compares the two. A name torchplug does not know is refused when the backend loads. A `partial` kernel may return
    NotImplemented for arguments it has no fast way for; the kernel in whose place it stands, in a backend the default
    composition, then takes the call.
    """

    def mark(method: _F) -> _F:
        method.__torchplug_kernel__ = name  # type: ignore[attr-defined]
        method.__torchplug_partial__ = partial  # type: ignore[attr-defined]
        return method

    return mark


def in_place_of(replaced: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the kernel `function` that leaves to `replaced` what it answers with NotImplemented, if it is partial."""
    if not getattr(function, "__torchplug_partial__", False):
        return function

    def chosen(*arguments: Any) -> Any:
        result = function(*arguments)
        return replaced(*arguments) if result is NotImplemented else result

    chosen.__torchplug_partial__ = getattr(replaced, "__torchplug_partial__", False)  # type: ignore[attr-defined]
    return chosen


class Backend(ABC):
    """An engine. Subclass it (or `ArrayAPIBackend`), implement the first part, get the rest."""

    name: ClassVar[str]
    """How users select it: lower case letters, digits, '-' and '_'."""
    api_version: ClassVar[int] = API_VERSION
    """Version of the contract it is written for: give the number, so that a later torchplug can tell."""
    capabilities: ClassVar[frozenset[str]] = frozenset()
    """Names from CAPABILITIES. What is not declared raises NotSupportedError when a program asks for it."""
    fork_safe: ClassVar[bool] = True
    """Whether a forked child may go on using it. False (threads, a GPU) makes every use there raise RuntimeError."""

    # ---- required to implement: creation and transfer -------------------------------------------------------------

    @abstractmethod
    def devices(self) -> Sequence[str]:
        """Returns the devices usable now, the default first: "cpu", "cuda:0", ..."""

    @abstractmethod
    def device_of(self, x: Array) -> str:
        """Returns the device `x` lives on, as `devices()` spells it."""

    @abstractmethod
    def to_device(self, x: Array, device: str) -> Array:
        """Returns `x` on `device`; the same array when it is there already."""

    @abstractmethod
    def synchronize(self, device: str) -> None:
        """Returns once all work queued on `device` is done."""

    @abstractmethod
    def from_numpy(self, x: np.ndarray, device: str) -> Array:
        """Returns an array with the values of `x`. Only a `mutable` CPU backend may share memory; others copy."""

    @abstractmethod
    def to_numpy(self, x: Array) -> np.ndarray:
        """Returns the values of `x` on the host, bfloat16 as `ml_dtypes.bfloat16`."""

    @abstractmethod
    def full(self, shape: Shape, value: complex, dtype: DType, device: str) -> Array:
        """Returns a new array of `value`."""

    @abstractmethod
    def arange(self, start: float, stop: float, step: float, dtype: DType, device: str) -> Array:
        """Returns start, start + step, ... below stop (above, for a negative step)."""

    @abstractmethod
    def astype(self, x: Array, dtype: DType) -> Array:
        """Returns `x` converted: floats truncate towards zero, complex drops the imaginary part, non-zero is True."""

    # ---- required to implement: elementwise ------------------------------------------------------------------------

    @abstractmethod
    def add(self, x: Array, y: Array) -> Array:
        """Returns x + y; of booleans logical or."""

    @abstractmethod
    def subtract(self, x: Array, y: Array) -> Array:
        """Returns x - y; numbers only."""

    @abstractmethod
    def multiply(self, x: Array, y: Array) -> Array:
        """Returns x * y; of booleans logical and."""

    @abstractmethod
    def divide(self, x: Array, y: Array) -> Array:
        """Floating and complex arrays only. Division by zero gives inf or NaN, without a warning."""

    @abstractmethod
    def floor_divide(self, x: Array, y: Array) -> Array:
        """Rounds towards minus infinity; real arrays only.

        Integers divided by zero on a CPU raise RuntimeError("ZeroDivisionError"), PyTorch's words.
        """

    @abstractmethod
    def remainder(self, x: Array, y: Array) -> Array:
        """Has the sign of `y`; real arrays only. Integers divided by zero raise as in `floor_divide`."""

    @abstractmethod
    def pow(self, x: Array, y: Array) -> Array:
        """Returns x to the power y; an integer to a negative power is its inverse truncated: 1, -1 or 0."""

    @abstractmethod
    def maximum(self, x: Array, y: Array) -> Array:
        """NaN if either is NaN."""

    @abstractmethod
    def minimum(self, x: Array, y: Array) -> Array:
        """NaN if either is NaN."""

    @abstractmethod
    def equal(self, x: Array, y: Array) -> Array:
        """Returns bool: where x and y are equal. NaN equals nothing."""

    @abstractmethod
    def less(self, x: Array, y: Array) -> Array:
        """Returns bool: where x is below y; real arrays only. NaN is below nothing, and nothing below it; False is below True."""

    @abstractmethod
    def bitwise_and(self, x: Array, y: Array) -> Array:
        """Integers and bool (logical)."""

    @abstractmethod
    def bitwise_or(self, x: Array, y: Array) -> Array:
        """Integers and bool (logical)."""

    @abstractmethod
    def bitwise_invert(self, x: Array) -> Array:
        """Integers and bool (logical not)."""

    @abstractmethod
    def abs(self, x: Array) -> Array:
        """Complex arrays give their modulus, real."""

    @abstractmethod
    def exp(self, x: Array) -> Array:
        """Floating and complex arrays only, as log, sin, cos, atan and sqrt."""

    @abstractmethod
    def log(self, x: Array) -> Array:
        """The natural logarithm; of 0 it is -inf, of a negative number NaN, without a warning."""

    @abstractmethod
    def sin(self, x: Array) -> Array:
        """Of radians."""

    @abstractmethod
    def cos(self, x: Array) -> Array:
        """Of radians."""

    @abstractmethod
    def atan(self, x: Array) -> Array:
        """In radians."""

    @abstractmethod
    def sqrt(self, x: Array) -> Array:
        """Of a negative real number it is NaN, without a warning."""

    @abstractmethod
    def floor(self, x: Array) -> Array:
        """Real arrays only; integers stay as they are."""

    @abstractmethod
    def round(self, x: Array) -> Array:
        """Halves go to the even neighbour."""

    @abstractmethod
    def where(self, condition: Array, x: Array, y: Array) -> Array:
        """Returns x where `condition` (bool) is True, else y; all three broadcast."""

    # ---- required to implement: reductions, products, shapes, selection --------------------------------------------

    @abstractmethod
    def sum(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        """Keeps the dtype of `x` (the caller widens)."""

    @abstractmethod
    def prod(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        """Keeps the dtype of `x` (the caller widens)."""

    @abstractmethod
    def max(self, x: Array, axis: Axis, keepdims: bool) -> Array:
        """NaN if any is NaN; bool counts False < True."""

    @abstractmethod
    def argmax(self, x: Array, axis: int, keepdims: bool) -> Array:
        """Returns int64 positions of the first maximum; NaN counts as the greatest."""

    @abstractmethod
    def matmul(self, x: Array, y: Array) -> Array:
        """Both operands have two axes or more; leading axes broadcast. Integers too."""

    @abstractmethod
    def reshape(self, x: Array, shape: Shape) -> Array:
        """Returns the elements of `x` in C order in another shape of the same size; no length is -1."""

    @abstractmethod
    def permute_dims(self, x: Array, axes: tuple[int, ...]) -> Array:
        """Returns `x` with axis `axes[i]` in place i; a view where arrays are mutable."""

    @abstractmethod
    def broadcast_to(self, x: Array, shape: Shape) -> Array:
        """Returns `x` repeated along axes it lacks or has of length 1; it is not written to."""

    @abstractmethod
    def concat(self, arrays: Sequence[Array], axis: int) -> Array:
        """Returns arrays of one element type joined along an axis; other lengths are equal."""

    @abstractmethod
    def take(self, x: Array, indices: Array, axis: int) -> Array:
        """Returns the slices of `x` at one-dimensional int64 `indices`, all within range and not negative."""

    @abstractmethod
    def argsort(self, x: Array, axis: int, descending: bool) -> Array:
        """Returns int64 positions; stable in both directions; NaN sorts as the greatest, False before True."""

    @abstractmethod
    def scatter_add(self, x: Array, indices: Array, values: Array) -> Array:
        """Returns one-dimensional `x` with `values` added at int64 `indices`; repeated indices accumulate."""

    # ---- required with the capability that names them --------------------------------------------------------------

    def strides_of(self, x: Array) -> Shape:
        """`mutable`: the strides of `x` in elements."""
        raise NotImplementedError

    def storage_of(self, x: Array) -> tuple[Array, int]:
        """`mutable`: a one-dimensional array over the whole memory `x` looks into, and the offset of `x` in elements."""
        raise NotImplementedError

    def as_strided(self, x: Array, shape: Shape, strides: Shape, offset: int) -> Array:
        """`mutable`: a view of one-dimensional `x`; strides and offset in elements."""
        raise NotImplementedError

    def assign(self, x: Array, value: Array) -> None:
        """`mutable`: writes `value` (array or scalar, broadcast and converted) into `x`."""
        raise NotImplementedError

    def real(self, x: Array) -> Array:
        """`complex`: the real part (a view where arrays are mutable)."""
        raise NotImplementedError

    def imag(self, x: Array) -> Array:
        """`complex`: the imaginary part (a view where arrays are mutable)."""
        raise NotImplementedError

    def conj(self, x: Array) -> Array:
        """`complex`: the conjugate."""
        raise NotImplementedError

    def complex(self, real: Array, imag: Array) -> Array:
        """`complex`: real + 1j * imag, from two arrays of float32 or float64."""
        raise NotImplementedError

    def compile(self, fn: Callable[..., Any], donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        """`compile`: a faster `fn`, a pure function from a list of arrays to a list of arrays."""
        raise NotImplementedError

    def is_tracer(self, x: Array) -> bool:
        """`compile`: whether `x` is an abstract value of a compilation in progress, without a value to read."""
        return False

    # ---- what you get ----------------------------------------------------------------------------------------------
    # Everything else (convolution, pooling, softmax, norms, losses, cumulative functions, optimizer steps, ...) has a
    # default composition over the functions above. Mark a method with @kernel("softmax") to replace one by your own.


def capability_for(dtype: DType) -> str | None:
    """Returns the capability a backend declares when it holds `dtype`; None for the types every backend holds."""
    if dtype.is_complex:
        return "complex"
    return dtype.name if dtype.name in CAPABILITIES else None


def required_functions() -> tuple[str, ...]:
    """Returns the names a backend must implement, in the order of this file."""
    return tuple(name for name, member in vars(Backend).items() if getattr(member, "__isabstractmethod__", False))
