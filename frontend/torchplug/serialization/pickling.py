"""Pickles objects under PyTorch's names, with the memory of tensors left out: storages are named by key."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar

from torchplug._core.device import Device
from torchplug._core.layout import Layout, MemoryFormat
from torchplug._core.random import Generator
from torchplug._core.size import Size
from torchplug._core.tensor import Parameter, Tensor, geometry_of
from torchplug._tensor.storage import TypedStorage, UntypedStorage, flat_alias
from torchplug.serialization.names import STORAGE_OF_DTYPE, Global, torch_name
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["StorageTable", "dumps", "location_of"]

_INTERNAL = ("_inference", "_retains")
"""Attributes of tensors that are this package's own notes."""
_ORDERED_DICT = Global("collections", "OrderedDict")
_KNOWN_DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "meta")


class StorageTable:
    """The storages met while pickling, by the key that stands for each in the pickle."""

    def __init__(self, legacy: bool = False) -> None:
        self.legacy = legacy
        self.memories: list[Tensor] = []
        self._keys: dict[Any, int] = {}
        self._dtypes: dict[Any, DType] = {}

    def key_of(self, memory: Tensor, dtype: DType) -> str:
        """Returns the key of the memory a `flat_alias` lies over.

        Raises RuntimeError when it was met before as another element type.
        """
        pointer = memory.data_ptr() if memory._kind.mutable else 0
        identity = (memory._kind.engine.name, pointer) if pointer else id(memory._cell)
        if self._dtypes.setdefault(identity, dtype) is not dtype:
            raise RuntimeError("Cannot save multiple tensors or storages that view the same data as different types")
        key = self._keys.get(identity)
        if key is None:
            key = self._keys[identity] = len(self.memories)
            self.memories.append(memory)
        return str(key)


class _StorageReference:
    """Stands for a storage where a tensor is taken apart."""

    __slots__ = ("dtype", "memory")

    def __init__(self, memory: Tensor, dtype: DType) -> None:
        self.memory = memory
        self.dtype = dtype


def dumps(obj: Any, table: Any, protocol: int) -> bytes:
    """Returns the pickle of an object; the storages of its tensors are in `table` afterwards."""
    stream = io.BytesIO()
    _Pickler(stream, protocol, table).dump(obj)
    return stream.getvalue()


class _Pickler(pickle._Pickler):  # the pickler in Python: the one in C checks names by import
    dispatch: ClassVar[dict[type, Any]] = pickle._Pickler.dispatch.copy()
    if TYPE_CHECKING:  # what typeshed leaves out
        write: Callable[[bytes], Any]
        memoize: Callable[[Any], None]

    def __init__(self, stream: Any, protocol: int, table: Any) -> None:
        super().__init__(stream, protocol)
        self.table = table

    def persistent_id(self, obj: Any) -> Any:
        """Returns PyTorch's id of a storage, None for all else."""
        kind = type(obj)
        if kind is _StorageReference:
            return self._storage_id(obj.memory, obj.dtype, Global("torch", STORAGE_OF_DTYPE[obj.dtype]))
        if isinstance(obj, TypedStorage):
            return self._storage_id(obj.untyped()._flat, obj.dtype, Global("torch", STORAGE_OF_DTYPE[obj.dtype]))
        if kind is UntypedStorage:
            return self._storage_id(obj._flat, None, Global("torch.storage", "UntypedStorage"))
        return None

    def _storage_id(self, memory: Tensor, dtype: DType | None, name: Global) -> tuple[Any, ...]:
        nbytes = memory.numel() * memory._kind.dtype.itemsize
        key = self.table.key_of(memory, dtype or dt.uint8)
        found = ("storage", name, key, location_of(memory._kind.device), nbytes // dtype.itemsize if dtype else nbytes)
        return (*found, None) if self.table.legacy else found

    def reducer_override(self, obj: Any) -> Any:
        """Takes apart what PyTorch has a name for."""
        kind = type(obj)
        if kind is Global:
            return obj.name
        if isinstance(obj, Tensor):
            return _reduced_tensor(obj)
        if kind is DType:
            return obj.name
        if kind is Size:
            return Global("torch", "Size"), (tuple(obj),)
        if kind is Device:
            return Global("torch", "device"), (obj.type,) if obj.index is None else (obj.type, obj.index)
        if kind is Generator:
            state = (obj.initial_seed(), None, obj.get_state())
            return Global("torch._C", "Generator"), (obj.device,), state
        if kind is Layout:
            return Global("torch.serialization", "_get_layout"), (f"torch.{obj.name}",)
        if kind is MemoryFormat:
            return f"torch.{obj.name}"
        return NotImplemented

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Writes a name: PyTorch's for what is ours, the importable one otherwise."""
        found = (
            ("torch", name.removeprefix("torch."))
            if isinstance(obj, (DType, MemoryFormat)) and name
            else torch_name(obj)
        )
        if found is None:
            super().save_global(obj, name)  # type: ignore[misc]  # not in typeshed
            return
        self.write(pickle.GLOBAL + f"{found[0]}\n{found[1]}\n".encode())
        self.memoize(obj)

    dispatch[FunctionType] = save_global


def location_of(device: Device) -> str:
    """Returns a device as PyTorch's files name it; kinds it does not know are read back on the CPU."""
    if device.type not in _KNOWN_DEVICES:
        return "cpu"
    return device.type if device.index is None or device.type == "cpu" else f"{device.type}:{device.index}"


def _reduced_tensor(x: Tensor) -> tuple[Any, ...]:
    state = {name: value for name, value in x.__dict__.items() if name not in _INTERNAL}
    if type(x) is Parameter:
        data = x.data
        if state:
            return Global("torch._utils", "_rebuild_parameter_with_state"), (data, _grad_of(x), _no_hooks(), state)
        return Global("torch._utils", "_rebuild_parameter"), (data, _grad_of(x), _no_hooks())
    function, args = Global("torch._utils", "_rebuild_tensor_v2"), _tensor_parts(x)
    if type(x) is Tensor and not state:
        return function, args
    return Global("torch._tensor", "_rebuild_from_type_v2"), (function, type(x), args, state)


def _tensor_parts(x: Tensor) -> tuple[Any, ...]:
    memory = flat_alias(x)
    size, stride, offset = geometry_of(x)
    return _StorageReference(memory, x._kind.dtype), offset, tuple(size), tuple(stride), _grad_of(x), _no_hooks()


def _grad_of(x: Tensor) -> bool:
    return x._node is not None


class _NoHooks:
    """Pickles as an empty OrderedDict, the hooks of a tensor in PyTorch's files."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _ORDERED_DICT, ()


def _no_hooks() -> _NoHooks:
    return _NoHooks()
