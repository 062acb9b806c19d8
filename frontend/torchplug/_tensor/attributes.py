"""Attributes of a Tensor that are facts about it: shape, dtype, device, layout, storage."""

from __future__ import annotations

import math
from typing import Any

from torchplug._core import geometry as geo
from torchplug._core.device import Device
from torchplug._core.dims import wrap_dim
from torchplug._core.size import Size
from torchplug._core.tensor import Tensor, array_of, cell_of, geometry_of, shape_of
from torchplug_spec import DType

__all__: list[str] = []

_size = tuple.__new__


def _attribute(function: Any) -> Any:
    setattr(Tensor, function.__name__, property(function, doc=function.__doc__))
    return function


def _method(function: Any) -> Any:
    setattr(Tensor, function.__name__, function)
    return function


@_attribute
def shape(self: Tensor) -> Size:
    """The size, as torch.Size."""
    array = self._array
    return _size(Size, array.shape if array is not None else self._geometry[0])


@_attribute
def dtype(self: Tensor) -> DType:
    """The element type."""
    return self._kind.dtype


@_attribute
def device(self: Tensor) -> Device:
    """The device, bound to its engine."""
    return self._kind.device


@_attribute
def ndim(self: Tensor) -> int:
    """The number of dimensions."""
    return len(shape_of(self))


@_attribute
def itemsize(self: Tensor) -> int:
    """Bytes per element."""
    return self._kind.dtype.itemsize


@_attribute
def nbytes(self: Tensor) -> int:
    """Bytes of all elements."""
    return numel(self) * self._kind.dtype.itemsize


@_attribute
def layout(self: Tensor) -> Any:
    """torch.strided."""
    from torchplug._core.layout import strided

    return strided


@_attribute
def is_cuda(self: Tensor) -> bool:
    """Whether the tensor is on a CUDA device."""
    return self._kind.device.type == "cuda"


@_attribute
def is_cpu(self: Tensor) -> bool:
    """Whether the tensor is on a CPU."""
    return self._kind.device.type == "cpu"


def _never(name: str) -> None:
    def never(self: Tensor) -> bool:
        return False

    never.__name__ = name
    never.__doc__ = "False: torchplug has no such tensors."
    _attribute(never)


for _name in ("is_sparse", "is_quantized", "is_mkldnn", "is_mps", "is_xpu", "is_meta", "is_nested", "is_sparse_csr"):
    _never(_name)


def _sparse_only(name: str, expected: str) -> None:
    def refuse(self: Tensor) -> Any:
        raise RuntimeError(f"{name} expected {expected} tensor layout but got Strided")

    refuse.__name__ = name
    refuse.__doc__ = "Raises RuntimeError, as in PyTorch for a tensor that is not sparse."
    _method(refuse)


_sparse_only("indices", "sparse coordinate")
_sparse_only("values", "sparse")


@_method
def size(self: Tensor, dim: int | None = None) -> Any:
    """Returns the size, or that of one dimension."""
    sizes = shape_of(self)
    if dim is None:
        return _size(Size, sizes)
    if not sizes:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return sizes[wrap_dim(dim, len(sizes))]


@_method
def dim(self: Tensor) -> int:
    """Returns the number of dimensions."""
    return len(shape_of(self))


Tensor.ndimension = dim  # type: ignore[method-assign]  # attached here


@_method
def numel(self: Tensor) -> int:
    """Returns the number of elements."""
    return math.prod(shape_of(self))


Tensor.nelement = numel  # type: ignore[method-assign]  # attached here


@_method
def element_size(self: Tensor) -> int:
    """Returns the bytes per element."""
    return self._kind.dtype.itemsize


@_method
def stride(self: Tensor, dim: int | None = None) -> Any:
    """Returns the strides in elements, or that of one dimension."""
    sizes, strides, _ = geometry_of(self)
    return strides if dim is None else strides[wrap_dim(dim, len(sizes))]


@_method
def storage_offset(self: Tensor) -> int:
    """Returns the place of the first element in the storage, in elements."""
    return geometry_of(self)[2]


@_method
def is_contiguous(self: Tensor, memory_format: Any = None) -> bool:
    """Says whether the elements lie in C order without gaps."""
    if self._cell is None and not self._kind.mutable:
        return True
    sizes, strides, _ = geometry_of(self)
    return geo.is_contiguous(sizes, strides)


@_method
def is_floating_point(self: Tensor) -> bool:
    """Says whether the dtype is a floating point type."""
    return self._kind.dtype.is_floating_point


@_method
def is_complex(self: Tensor) -> bool:
    """Says whether the dtype is complex."""
    return self._kind.dtype.is_complex


@_method
def is_signed(self: Tensor) -> bool:
    """Says whether the dtype has negative numbers."""
    return self._kind.dtype.is_signed


@_method
def is_conj(self: Tensor) -> bool:
    """Says whether the conjugate bit is set: never, conjugates are computed at once."""
    return False


@_method
def is_neg(self: Tensor) -> bool:
    """Says whether the negative bit is set: never."""
    return False


@_method
def resolve_conj(self: Tensor) -> Tensor:
    """Returns self: conjugates are computed at once."""
    return self


@_method
def resolve_neg(self: Tensor) -> Tensor:
    """Returns self."""
    return self


@_method
def is_inference(self: Tensor) -> bool:
    """Says whether the tensor was made in inference mode."""
    return getattr(self, "_inference", False)


@_method
def get_device(self: Tensor) -> int:
    """Returns the device index, -1 on a CPU."""
    index = self._kind.device.index
    return -1 if self._kind.device.type == "cpu" or index is None else index


@_attribute
def _version(self: Tensor) -> int:
    """How often the memory was written in place."""
    if self._cell is None:
        return 0
    counter = self._view.counter if self._view is not None else None
    return self._cell.version if counter is None else counter[0]


@_method
def _is_view(self: Tensor) -> bool:
    """Says whether the tensor is a differentiable view."""
    return self._cell is not None and self._view is not None and self._view.base is not None


@_attribute
def _base(self: Tensor) -> Tensor | None:
    """The tensor this one is a view of."""
    return self._view.base if self._cell is not None and self._view is not None else None


@_method
def data_ptr(self: Tensor) -> int:
    """Returns a number that identifies the first element's place: equal for tensors that start at the same place of one
    storage. An address where the engine has one."""
    offset = geometry_of(self)[2] * self._kind.dtype.itemsize
    cell = cell_of(self)
    pointer = getattr(self._kind.F.backend, "data_pointer", None)
    return pointer(array_of(self)) if pointer is not None else id(cell) + offset


@_method
def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Says whether both look at the same storage with the same size, stride and offset."""
    return cell_of(self) is cell_of(tensor) and geometry_of(self) == geometry_of(tensor)


@_attribute
def names(self: Tensor) -> tuple[None, ...]:
    """None for every dimension: named tensors are not kept."""
    return (None,) * len(shape_of(self))


def _len(self: Tensor) -> int:
    sizes = shape_of(self)
    if not sizes:
        raise TypeError("len() of a 0-d tensor")
    return sizes[0]


Tensor.__len__ = _len  # type: ignore[method-assign, assignment]  # attached here
