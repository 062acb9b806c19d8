"""`load`: what `save`, or PyTorch, wrote."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["get_unsafe_globals_in_checkpoint", "load"]

_NO_UNSAFE_MODE = (
    "torchplug has no unsafe mode: a file may name only what the list of safe globals holds, whatever weights_only is, because "
    "anything else could run code. If you trust the file, add what it names with torch.serialization.add_safe_globals."
)


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Returns the object that `save` (or PyTorch's) wrote to a path or a seekable binary stream.

    `map_location`: a device, its name, a dict from saved names to names, or a function (storage, name) -> storage. `mmap` leaves
    the tensors in the file, copied page by page when written, and does not check them. A path that ends in .safetensors is
    read as such. Layers of torch.nn come back whole; classes of your own must be added to the safe globals.

    Raises pickle.UnpicklingError for a file that names anything else, and RuntimeError for one that is cut short or damaged.
    """
    from pickle import UnpicklingError

    if pickle_module is not None and weights_only:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if pickle_module is not None and getattr(pickle_module, "__name__", "") not in ("pickle", "_pickle"):
        raise ValueError(f"load: got pickle_module={pickle_module!r}, expected pickle; {_NO_UNSAFE_MODE}")
    encoding = pickle_load_args.get("encoding", "utf-8")
    try:
        if not isinstance(f, (str, os.PathLike)):
            _check_seekable(f)
            if mmap:
                raise ValueError("f must be a file path in order to use the mmap argument")
            return _read(f, map_location, encoding, None, None)
        path = os.fspath(f)
        if str(path).endswith(".safetensors"):
            return _safetensors(str(path), map_location)
        with open(path, "rb") as stream:
            return _read(stream, map_location, encoding, path if mmap else None, path)
    except UnpicklingError as error:
        raise UnpicklingError(
            f"Weights only load failed. {_NO_UNSAFE_MODE}\n\tWeightsUnpickler error: {error}"
        ) from None


def _check_seekable(f: Any) -> None:
    try:
        f.seek(f.tell())
    except (OSError, AttributeError) as error:
        if "seek" in str(error) or "tell" in str(error):
            raise type(error)(
                f"{error}. You can only torch.load from a file that is seekable. Please pre-load the data into a buffer like "
                "io.BytesIO and try to load from it instead."
            ) from None
        raise


def _read(stream: Any, map_location: Any, encoding: str, mapped: Any, path: Any) -> Any:
    start = stream.tell()
    magic = stream.read(4)
    stream.seek(start)
    if magic == b"PK\x03\x04":
        return _read_archive(stream, map_location, encoding, mapped)
    if mapped is not None:
        name = f"{path}, " if isinstance(path, str) else ""
        raise RuntimeError(
            f"mmap can only be used with files saved with `torch.save({name}_use_new_zipfile_serialization=True), please "
            "torch.save your checkpoint with this option in order to use mmap."
        )
    from torchplug.serialization.legacy import read_stream

    return read_stream(stream, map_location, encoding)


def _read_archive(stream: Any, map_location: Any, encoding: str, mapped: Any) -> Any:
    import io

    from torchplug.serialization.archive_reader import ArchiveReader
    from torchplug.serialization.unpickling import Unpickler

    archive = ArchiveReader(stream)
    if "constants.pkl" in archive:
        raise RuntimeError(
            f"Cannot use ``weights_only=True`` with TorchScript archives passed to ``torch.load``. {_NO_UNSAFE_MODE}"
        )
    for name in (".format_version", ".storage_alignment", "version", ".data/serialization_id"):
        if name in archive:
            archive.read(name, 1024)
    storages = _ArchiveStorages(archive, map_location, mapped)
    return Unpickler(io.BytesIO(archive.read("data.pkl")), storages.persistent_load, encoding).load()


class _ArchiveStorages:
    """Answers an unpickler's persistent ids with the storages of an archive, each read once."""

    def __init__(self, archive: Any, map_location: Any, mapped: Any) -> None:
        self.archive = archive
        self.map_location = map_location
        self.mapped = mapped
        self.swapped = _is_swapped(archive)
        self.loaded: dict[str, Any] = {}

    def persistent_load(self, saved_id: Any) -> Any:
        """Returns the storage of ('storage', type, key, location, number of elements)."""
        from torchplug.serialization.ids import checked_id

        dtype, key, location, numel, _ = checked_id(saved_id)
        found = self.loaded.get(key)
        if found is None:
            found = self.loaded[key] = self._load(key, dtype, location, numel)
        return found.untyped() if dtype is None else found

    def _load(self, key: str, dtype: Any, location: str, numel: int) -> Any:
        from torchplug.serialization.locations import chosen_device
        from torchplug.serialization.storages import LoadedStorage
        from torchplug_spec import dtypes as dt

        element = dtype or dt.uint8
        values = self._values(f"data/{key}", numel * element.itemsize)
        if self.swapped:
            width = element.itemsize // 2 if element.is_complex else element.itemsize
            values = values.view(f"u{width}").byteswap().view("u1")
        return LoadedStorage(values, element, chosen_device(self.map_location, location, values))

    def _values(self, name: str, nbytes: int) -> Any:
        import numpy as np

        record = self.archive.record(name)
        if record.size != nbytes:
            raise RuntimeError(
                f"PytorchStreamReader failed reading file {name}: it has {record.size} bytes, but the tensors over it need {nbytes}"
            )
        if self.mapped is not None and nbytes and record.method == 0:
            offset = self.archive.data_offset(record)
            return np.asarray(np.memmap(self.mapped, np.uint8, "c", offset, (nbytes,)))
        values = np.empty(nbytes, np.uint8)
        self.archive.read_into(name, values)
        return values


def _is_swapped(archive: Any) -> bool:
    import sys

    if "byteorder" not in archive:
        return sys.byteorder != "little"
    order = archive.read("byteorder", 1024)
    if order not in (b"little", b"big"):
        raise ValueError(f"Unknown endianness type: {order[:100].decode('latin1')}")
    return order.decode() != sys.byteorder


def _safetensors(path: str, map_location: Any) -> Any:
    from torchplug.serialization.safetensors_files import load_safetensors

    for kind, what in ((dict, "dict"), (type(lambda: None), "callable")):
        if isinstance(map_location, kind):
            raise RuntimeError(
                f"Loading safetensors file with {what} map_location is not supported. Use a device string or torch.device instead."
            )
    return load_safetensors(path, map_location if map_location is not None else "cpu")


def get_unsafe_globals_in_checkpoint(f: Any) -> list[str]:
    """Returns the names a checkpoint asks for that are not on the list of safe globals."""
    import io

    from torchplug.serialization.archive_reader import ArchiveReader
    from torchplug.serialization.safe_globals import find_allowed
    from torchplug.serialization.unpickling import globals_of

    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as stream:
            return get_unsafe_globals_in_checkpoint(stream)
    start = f.tell()
    is_archive = f.read(4) == b"PK\x03\x04"
    f.seek(start)
    if not is_archive:
        raise ValueError("Expected input to be a checkpoint returned by torch.save")
    names = globals_of(io.BytesIO(ArchiveReader(f).read("data.pkl")))
    return sorted(name for name in names if find_allowed(*name.rpartition(".")[::2]) is None)
