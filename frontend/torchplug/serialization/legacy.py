"""The formats before PyTorch 1.6: pickles and raw storages one after the other, and before that a tar archive."""

from __future__ import annotations

import io
import pickle
import struct
import sys
from pickle import UnpicklingError
from typing import Any

import numpy as np

from torchplug.serialization.ids import checked_id
from torchplug.serialization.locations import chosen_device
from torchplug.serialization.storages import LoadedStorage
from torchplug.serialization.unpickling import Unpickler
from torchplug_spec import dtypes as dt

__all__ = ["MAGIC_NUMBER", "PROTOCOL_VERSION", "read_stream", "write_stream"]

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001


class _Bounded:
    """A stream that knows its end, so that a length in a damaged file asks for no more memory than there is file."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        start = stream.tell()
        self.left = stream.seek(0, 2) - start
        stream.seek(start)

    def read(self, size: int) -> bytes:
        data: bytes = self.stream.read(min(size, self.left))
        self.left -= len(data)
        return data

    def readline(self, size: int) -> bytes:
        data: bytes = self.stream.readline(min(size, self.left))
        self.left -= len(data)
        return data


class _Pending:
    """A storage whose bytes come later in the file; everything over it is made when they have come."""

    def __init__(self, dtype: Any, location: str, numel: int) -> None:
        self.dtype = dtype
        self.location = location
        self.values = np.zeros(numel * dtype.itemsize, np.uint8)


def read_stream(stream: Any, map_location: Any, encoding: str) -> Any:
    """Returns the object of a file in one of the old formats."""
    start = stream.tell()
    head = stream.read(262)
    stream.seek(start)
    if not head:
        raise EOFError("Ran out of input")
    if head[257:262] == b"ustar":
        raise RuntimeError(
            "Cannot use ``weights_only=True`` with files saved in the legacy .tar format. torchplug reads what PyTorch 0.1.11 and "
            "later wrote; load the file with PyTorch and save it again."
        )
    source = _Bounded(stream)
    if Unpickler(source, encoding=encoding).load() != MAGIC_NUMBER:
        raise RuntimeError("Invalid magic number; corrupt file?")
    version = Unpickler(source, encoding=encoding).load()
    if version != PROTOCOL_VERSION:
        raise RuntimeError(f"Invalid protocol version: {version}")
    info = Unpickler(source, encoding=encoding).load()
    swapped = isinstance(info, dict) and info.get("little_endian", True) is not (sys.byteorder == "little")
    return _Body(stream, source, map_location, encoding, swapped).read()


class _Body:
    """The object's pickle, the keys of its storages, and their bytes."""

    def __init__(self, stream: Any, source: _Bounded, map_location: Any, encoding: str, swapped: bool) -> None:
        self.source = source
        self.stream = stream
        self.map_location = map_location
        self.encoding = encoding
        self.swapped = swapped

    def read(self) -> Any:
        # The bytes come after the pickle that needs them: the pickle is read once for the ids, and again for the object.
        start = self.stream.tell()
        wanted: dict[str, _Pending] = {}
        Unpickler(self.source, lambda saved_id: self._note(saved_id, wanted), self.encoding).load()
        stop = self.stream.tell()
        self._read_values(wanted)
        self.stream.seek(start)
        storages = {
            key: LoadedStorage(
                pending.values, pending.dtype, chosen_device(self.map_location, pending.location, pending.values)
            )
            for key, pending in wanted.items()
        }
        body = io.BytesIO(self.stream.read(stop - start))
        return Unpickler(body, lambda saved_id: _found(saved_id, storages), self.encoding).load()

    def _note(self, saved_id: Any, wanted: dict[str, _Pending]) -> Any:
        if _is_module(saved_id):
            return saved_id[1]
        dtype, key, location, numel, _ = checked_id(saved_id)
        element = dtype or dt.uint8
        if numel * element.itemsize > self.source.left:
            raise UnpicklingError(f"the file is too short for a storage of {numel} elements")
        pending = wanted.get(key)
        if pending is None:
            pending = wanted[key] = _Pending(element, location, numel)
        return LoadedStorage(pending.values, element, "cpu")

    def _read_values(self, wanted: dict[str, _Pending]) -> None:
        keys = Unpickler(self.source, encoding=self.encoding).load()
        if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(wanted):
            raise RuntimeError("the file's list of storages is not that of its tensors; corrupt file?")
        for key in map(str, keys):
            pending = wanted[key]
            data = self.source.read(8)
            count = struct.unpack("<q", data)[0] if len(data) == 8 else -1
            size = len(pending.values)
            if count * pending.dtype.itemsize != size:
                raise RuntimeError(
                    f"storage {key} has {count} elements in the file, its tensors need {size // pending.dtype.itemsize}"
                )
            data = self.source.read(size)
            if len(data) != size:
                raise RuntimeError(
                    f"unexpected EOF, expected {size - len(data)} more bytes. The file might be corrupted."
                )
            pending.values[:] = np.frombuffer(data, np.uint8)
            if self.swapped:
                width = pending.dtype.itemsize // (2 if pending.dtype.is_complex else 1)
                pending.values = pending.values.view(f"u{width}").byteswap().view("u1")


def _is_module(saved_id: Any) -> bool:
    """Says whether an id names the class of a module, with its source code: the class itself is one of the allowed names."""
    return type(saved_id) is tuple and len(saved_id) == 4 and saved_id[0] == "module" and isinstance(saved_id[1], type)


def _found(saved_id: Any, storages: dict[str, LoadedStorage]) -> Any:
    if _is_module(saved_id):
        return saved_id[1]
    dtype, key, _, _, view = checked_id(saved_id)
    storage = storages[key]
    if view is not None:
        raise UnpicklingError(
            "got a view of a storage, as PyTorch before 0.4 wrote them; save the file again with a later one"
        )
    return storage.untyped() if dtype is None else storage


def write_stream(stream: Any, obj: object, protocol: int) -> None:
    """Writes an object in the format of `torch.save(..., _use_new_zipfile_serialization=False)`."""
    from torchplug.serialization.pickling import StorageTable, dumps
    from torchplug.serialization.saving import host_bytes

    table = StorageTable(legacy=True)
    info = {
        "protocol_version": PROTOCOL_VERSION, "little_endian": sys.byteorder == "little",
        "type_sizes": {"short": 2, "int": 4, "long": 8},
    }  # fmt: skip
    body = dumps(obj, table, protocol)
    for part in (MAGIC_NUMBER, PROTOCOL_VERSION, info):
        stream.write(pickle.dumps(part, protocol))
    stream.write(body)
    keys = sorted(str(key) for key in range(len(table.memories)))
    stream.write(pickle.dumps(keys, protocol))
    for key in keys:
        memory = table.memories[int(key)]
        stream.write(struct.pack("<q", memory.numel()))
        stream.write(memoryview(host_bytes(memory)))
