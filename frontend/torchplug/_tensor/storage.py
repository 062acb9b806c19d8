"""Storages: the memory that a tensor shares with its views, as bytes or as elements, and tensors laid over it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from torchplug._core import geometry as geo
from torchplug._core import lens as lenses
from torchplug._core.device import Device, DeviceLike, resolve
from torchplug._core.tensor import Tensor, View, _typed_prefix, cell_of, geometry_of, new, wrap
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["TypedStorage", "UntypedStorage", "flat_alias", "tensor_over"]

Shape = tuple[int, ...]


def flat_alias(tensor: Tensor) -> Tensor:
    """Returns a one-dimensional tensor, without history, over all the memory a tensor looks into, in its element type."""
    kind = tensor._kind
    if kind.mutable:
        return _flat_memory(tensor)
    cell = cell_of(tensor)
    base = cell.mirror if cell.array is None else cell.array
    count = math.prod(base.shape) * cell.kind.dtype.itemsize // kind.dtype.itemsize
    chain = tensor._view.chain if tensor._view is not None else ()
    prefix = chain[: _typed_prefix(chain)]
    return _laid(cell, kind, (*prefix, (lenses.RESHAPE, ((count,),))), ((count,), (1,), 0))


def _flat_memory(tensor: Tensor) -> Tensor:
    kind = tensor._kind
    if tensor._cell is None:
        # Nobody else sees this memory: where a kernel returned a piece of something larger, the piece is all there is.
        array = kind.F.own(tensor._array)
        if math.prod(kind.F.storage_of(array)[0].shape) != math.prod(array.shape):
            array = kind.F.copy(array)
        tensor._array = array
    cell = cell_of(tensor)
    flat = _laid(cell, kind, (), None)
    flat._array = kind.F.storage_of(tensor._array)[0]
    return flat


def _laid(cell: Any, kind: Any, chain: tuple, geometry: geo.Geometry | None) -> Tensor:
    tensor = new(Tensor)
    tensor._array = None
    tensor._kind = kind
    tensor._node = None
    tensor._cell = cell
    tensor._view = View(None, chain)
    if geometry is not None:
        tensor._geometry = geometry
    cell.add_alias(tensor)
    return tensor


def tensor_over(flat: Tensor, dtype: DType, size: Shape, stride: Shape, offset: int) -> Tensor:
    """Returns a tensor without history on the memory of `flat` (a `flat_alias`), sizes counted in elements of `dtype`.

    Raises RuntimeError, in PyTorch's words, for places outside the memory.
    """
    kind = flat._kind.to(dtype)
    nbytes = flat.numel() * flat._kind.dtype.itemsize
    _check_bounds(size, stride, offset, dtype.itemsize, nbytes)
    if kind.mutable:
        tensor = _laid(flat._cell, kind, (), None)
        array = flat._array
        if kind is not flat._kind:
            array = kind.F.reinterpret(_whole(kind.F, array, nbytes, dtype.itemsize), dtype)
        tensor._array = kind.F.as_strided(array, size, stride, offset)
        return tensor
    chain = flat._view.chain
    count = flat.numel()
    if kind is not flat._kind:
        count = nbytes // dtype.itemsize
        chain = (*chain, (lenses.REINTERPRET, (dtype, (flat._kind.dtype.itemsize, dtype.itemsize))))
    return _laid(flat._cell, kind, _movement(flat._cell, chain, count, size, stride, offset), (size, stride, offset))


def _whole(F: Any, array: Any, nbytes: int, itemsize: int) -> Any:
    """Returns the memory without a last element of `itemsize` that is not whole."""
    rest = nbytes % itemsize
    return F.slice(array, (slice(0, (nbytes - rest) * array.shape[0] // nbytes, 1),)) if rest else array


def _movement(cell: Any, chain: tuple, count: int, size: Shape, stride: Shape, offset: int) -> tuple:
    """Returns the lenses from a storage's base to a tensor on it; as few as will do, because each is a call when read."""
    numel = math.prod(size)
    if not geo.is_contiguous(size, stride):
        return (*chain, (lenses.AS_STRIDED, (size, stride, offset)))
    if offset == 0 and numel == count:
        base = cell.mirror if cell.array is None else cell.array
        return () if len(chain) == 1 and tuple(base.shape) == size else (*chain, (lenses.RESHAPE, (size,)))
    return (*chain, (lenses.INDEX, ((slice(offset, offset + numel, 1),),)), (lenses.RESHAPE, (size,)))


def _check_bounds(size: Shape, stride: Shape, offset: int, itemsize: int, nbytes: int) -> None:
    if len(size) != len(stride):
        raise RuntimeError(
            f"setStorage: got {len(size)} sizes and {len(stride)} strides, expected as many of one as of the other"
        )
    if offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {offset}")
    if any(length < 0 for length in size):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(size)}: {list(size)}")
    if any(step < 0 for step in stride):
        raise RuntimeError(
            "as_strided: Negative strides are not supported at the moment, got strides: " + str(list(stride))
        )
    if 0 in size:
        return
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    needed = (last + 1) * itemsize
    if needed > nbytes:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and itemsize {itemsize} requiring "
            f"a storage size of {needed} are out of bounds for storage of size {nbytes}"
        )


class UntypedStorage:
    """The bytes of a storage: `UntypedStorage(count)`, `UntypedStorage(bytes)`, or `tensor.untyped_storage()`."""

    __slots__ = ("_flat",)
    __module__ = "torch.storage"

    def __init__(self, data: int | Sequence[int] = 0, *, device: DeviceLike = None) -> None:
        engine, native = resolve(device)
        kind = engine.kind(dt.uint8, native)
        if isinstance(data, int):
            self._flat = flat_alias(wrap(kind.F.full((data,), 0, dt.uint8, native), kind))
        else:
            import numpy as np

            values = np.array(list(data), np.uint8)
            self._flat = flat_alias(wrap(kind.F.from_numpy(values, native), kind))

    @classmethod
    def of(cls, tensor: Tensor) -> UntypedStorage:
        """Returns the storage of a tensor."""
        storage = object.__new__(cls)
        storage._flat = flat_alias(tensor)
        return storage

    def __repr__(self) -> str:
        lines = "".join(f" {value}\n" for value in self.tolist())
        return f"{lines}[torch.storage.UntypedStorage(device={self.device}) of size {len(self)}]"

    @property
    def device(self) -> Device:
        """The device the bytes are on."""
        return self._flat._kind.device

    @property
    def is_cuda(self) -> bool:
        """Whether the bytes are on a CUDA device."""
        return self.device.type == "cuda"

    @property
    def _cdata(self) -> int:
        """A number that is equal for storages of the same memory."""
        return self.data_ptr() or id(self._flat._cell)

    def data_ptr(self) -> int:
        """Returns a number that identifies the first byte; an address where the engine has one."""
        return self._flat.data_ptr()

    def nbytes(self) -> int:
        """Returns the number of bytes."""
        return self._flat.numel() * self._flat._kind.dtype.itemsize

    def size(self) -> int:
        """Returns the number of bytes."""
        return self.nbytes()

    def __len__(self) -> int:
        return self.nbytes()

    def element_size(self) -> int:
        """Returns 1."""
        return 1

    def bytes_tensor(self) -> Tensor:
        """Returns a uint8 tensor on the same memory."""
        return tensor_over(self._flat, dt.uint8, (self.nbytes(),), (1,), 0)

    def __getitem__(self, key: Any) -> Any:
        piece = self.bytes_tensor()[key]
        return UntypedStorage.of(piece.clone()) if isinstance(key, slice) else piece.item()

    def __setitem__(self, key: Any, value: Any) -> None:
        self.bytes_tensor()[key] = value.bytes_tensor() if isinstance(value, UntypedStorage) else value

    def tolist(self) -> list[int]:
        """Returns the bytes as numbers."""
        return self.bytes_tensor().tolist()

    def clone(self) -> UntypedStorage:
        """Returns a copy."""
        return UntypedStorage.of(self._flat.clone())

    def copy_(self, source: UntypedStorage, non_blocking: bool | None = None) -> UntypedStorage:
        """Writes the bytes of another storage of the same size into this one; returns self."""
        if source.nbytes() != self.nbytes():
            raise RuntimeError(
                f"size does not match, self was {self.nbytes()} bytes but src was {source.nbytes()} bytes"
            )
        self.bytes_tensor().copy_(source.bytes_tensor())
        return self

    def fill_(self, value: int) -> UntypedStorage:
        """Sets every byte; returns self."""
        self.bytes_tensor().fill_(value)
        return self

    def to(self, *, device: Any, non_blocking: bool = False) -> UntypedStorage:
        """Returns this storage if it is on `device`, else a copy there."""
        moved = self._flat.to(device=device)
        return self if moved is self._flat else UntypedStorage.of(moved)

    def cpu(self) -> UntypedStorage:
        """Returns this storage if it is on the CPU, else a copy there."""
        return self.to(device="cpu")

    def cuda(self, device: DeviceLike = None, non_blocking: bool = False) -> UntypedStorage:
        """Returns this storage if it is on a CUDA device, else a copy there."""
        return self.to(device="cuda" if device is None else device)

    def is_shared(self) -> bool:
        """Says whether other processes see the memory: never."""
        return False

    def share_memory_(self) -> UntypedStorage:
        """Returns self: processes share no memory here, what is sent to them is copied."""
        return self

    def untyped(self) -> UntypedStorage:
        """Returns self."""
        return self


_DEPRECATED = (
    "TypedStorage is deprecated. It will be removed in the future and UntypedStorage will be the only storage class. This should "
    "only matter to you if you are using storages directly.  To access UntypedStorage directly, use tensor.untyped_storage() "
    "instead of tensor.storage()"
)


class TypedStorage:
    """A storage seen as elements of a type: what `tensor.storage()` returns. Deprecated in PyTorch."""

    __slots__ = ("_untyped_storage", "dtype")
    __module__ = "torch.storage"

    def __init__(self, *, wrap_storage: UntypedStorage, dtype: DType, _internal: bool = False) -> None:
        if not _internal:
            warnings.warn(_DEPRECATED, UserWarning, stacklevel=2)
        self._untyped_storage = wrap_storage
        self.dtype = dtype

    def _elements(self) -> Tensor:
        count = len(self)
        return tensor_over(self._untyped_storage._flat, self.dtype, (count,), (1,), 0)

    def __repr__(self) -> str:
        lines = "".join(f" {value}\n" for value in self.tolist())
        return f"{lines}[torch.storage.TypedStorage(dtype={self.dtype}, device={self.device}) of size {len(self)}]"

    def __len__(self) -> int:
        return self._untyped_storage.nbytes() // self.dtype.itemsize

    def __getitem__(self, place: int) -> Any:
        return self._elements()[place].item()

    def __setitem__(self, key: Any, value: Any) -> None:
        self._elements()[key] = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._untyped_storage, name)

    def size(self) -> int:
        """Returns the number of elements."""
        return len(self)

    def element_size(self) -> int:
        """Returns the bytes per element."""
        return self.dtype.itemsize

    def tolist(self) -> list[Any]:
        """Returns the elements as Python numbers."""
        return self._elements().tolist()

    def untyped(self) -> UntypedStorage:
        """Returns the bytes."""
        return self._untyped_storage


def untyped_storage(self: Tensor) -> UntypedStorage:
    """Returns the memory this tensor shares with its views, as bytes."""
    return UntypedStorage.of(self)


def storage(self: Tensor) -> TypedStorage:
    """Returns the memory this tensor shares with its views, as elements; deprecated in PyTorch, which warns as this does."""
    warnings.warn(_DEPRECATED, UserWarning, stacklevel=2)
    return TypedStorage(wrap_storage=UntypedStorage.of(self), dtype=self._kind.dtype, _internal=True)


def set_(
    self: Tensor,
    source: Tensor | UntypedStorage | TypedStorage | None = None,
    storage_offset: int = 0,
    size: Sequence[int] | None = None,
    stride: Sequence[int] | None = None,
) -> Tensor:
    """Makes this tensor look into the memory of another tensor or a storage, in place; returns self.

    Without `size` it takes the shape of a tensor, or all elements of a storage; without a source it becomes empty. Raises
    RuntimeError for another element type and for places outside the memory.
    """
    if source is None:
        kind = self._kind
        source = wrap(kind.F.full((0,), 0, kind.dtype, kind.native_device), kind)
    if not isinstance(source, (Tensor, UntypedStorage, TypedStorage)):
        raise TypeError(f"set_(): argument 'source' must be Tensor or Storage, not {type(source).__name__}")
    flat = flat_alias(source) if isinstance(source, Tensor) else source.untyped()._flat
    if not isinstance(source, UntypedStorage) and source.dtype is not self._kind.dtype:
        raise RuntimeError(
            f"Could not set tensor of type {source.dtype} to a tensor of type {self._kind.dtype}; convert one of them first"
        )
    if size is None:
        if isinstance(source, Tensor):
            size, stride, storage_offset = geometry_of(source)
        else:
            nbytes = flat.numel() * flat._kind.dtype.itemsize
            size = (nbytes // self._kind.dtype.itemsize - storage_offset,)
    shape = tuple(int(length) for length in size)
    steps = geo.contiguous_strides(shape) if stride is None else tuple(int(step) for step in stride)
    made = tensor_over(flat, self._kind.dtype, shape, steps, int(storage_offset))
    _rebind(self, made)
    return self


def _rebind(tensor: Tensor, made: Tensor) -> None:
    tensor._array, tensor._kind, tensor._cell, tensor._view = made._array, made._kind, made._cell, made._view
    if not made._kind.mutable:
        tensor._geometry = geometry_of(made)
    made._cell.add_alias(tensor)


def is_shared(self: Tensor) -> bool:
    """Says whether other processes see the memory: never."""
    return False


def share_memory_(self: Tensor) -> Tensor:
    """Returns self: processes share no memory here, what is sent to them is copied."""
    return self


for _function in (untyped_storage, storage, set_, is_shared, share_memory_):
    setattr(Tensor, _function.__name__, _function)
