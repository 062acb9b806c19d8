"""`save`: an object with tensors into one file, in PyTorch's format."""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["DEFAULT_PROTOCOL", "save"]

DEFAULT_PROTOCOL = 2


def save(
    obj: object,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Writes an object to a path or a binary stream, in the format that `load`, and PyTorch's `torch.load`, read.

    Tensors that share a storage share it again when loaded; the whole storage is written. A file appears whole or not at all:
    when writing fails, what was at the path stays as it was. Every record carries a checksum that `load` checks.

    Raises RuntimeError when the folder does not exist, and pickle.PicklingError for objects that cannot be pickled.
    """
    from torchplug.serialization.atomic import replacing

    if pickle_module is not None and getattr(pickle_module, "__name__", "") not in ("pickle", "_pickle"):
        raise ValueError(
            f"save: got pickle_module={pickle_module!r}, expected pickle; torchplug writes PyTorch's names with a pickler of its own"
        )
    if not isinstance(f, (str, os.PathLike)):
        if not hasattr(f, "write"):
            raise AttributeError("expected 'f' to be string, path, or a file-like object with a 'write' attribute")
        write = _archive_in if _use_new_zipfile_serialization else _stream_in
        write(f, "archive", obj, pickle_protocol, _disable_byteorder_record)
        if hasattr(f, "flush"):
            f.flush()
        return
    path = os.fspath(f)
    write = _archive_in if _use_new_zipfile_serialization else _stream_in
    with replacing(path) as stream:
        write(stream, _archive_name(path), obj, pickle_protocol, _disable_byteorder_record)


def _archive_name(path: str) -> str:
    """Returns the folder inside the archive: the file's name without its last ending."""
    name = os.path.basename(path)
    stem = name.rpartition(".")[0] or name
    return stem if stem.isascii() and "\\" not in stem and stem not in (".", "..") else "archive"


def _archive_in(stream: Any, name: str, obj: object, protocol: int, no_byteorder: bool) -> None:
    from torchplug.serialization.archive_writer import ArchiveWriter
    from torchplug.serialization.pickling import StorageTable, dumps

    table = StorageTable()
    pickled = dumps(obj, table, protocol)
    archive = ArchiveWriter(stream, name)
    archive.write_record("data.pkl", pickled)
    if not no_byteorder:
        archive.write_record("byteorder", sys.byteorder.encode())
    for key, memory in enumerate(table.memories):
        archive.write_record(f"data/{key}", host_bytes(memory))
    archive.write_record("version", b"3\n")
    archive.close()


def host_bytes(memory: Any) -> Any:
    """Returns the bytes of a one-dimensional tensor, on the host."""
    import numpy as np

    from torchplug._core.host import host_array

    return np.ascontiguousarray(host_array(memory)).view(np.uint8)


def _stream_in(stream: Any, name: str, obj: object, protocol: int, no_byteorder: bool) -> None:
    from torchplug.serialization.legacy import write_stream

    write_stream(stream, obj, protocol)
