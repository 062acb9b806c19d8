"""The ids by which pickles name storages."""

from __future__ import annotations

from pickle import UnpicklingError
from typing import Any

from torchplug.serialization.names import StorageType
from torchplug_spec import DType

__all__ = ["checked_id"]

_MOST_BYTES = 1 << 48


def checked_id(saved_id: Any) -> tuple[DType | None, str, str, int, Any]:
    """Returns (element type or None, key, location, number of elements, view) of a storage's id; UnpicklingError if it is not one."""
    if type(saved_id) is not tuple or not saved_id:
        raise UnpicklingError(f"persistent_load id must be tuple or int, but got {type(saved_id)}")
    kind = _text(saved_id[0])
    if kind != "storage":
        raise UnpicklingError(f"Only persistent_load of storage is allowed, but got {kind[:100]!r}")
    if len(saved_id) not in (5, 6):
        raise UnpicklingError(f"got a storage id of {len(saved_id)} parts, expected 5")
    storage_type, key, location, numel = saved_id[1:5]
    if type(storage_type) is not StorageType:
        raise UnpicklingError("got a storage id without a storage class")
    key = _text(key)
    if not key.replace("_", "").replace("-", "").isalnum() or len(key) > 100:
        raise UnpicklingError(f"got the storage key {key[:100]!r}, expected letters and digits")
    if type(numel) is not int or not 0 <= numel < _MOST_BYTES:
        raise UnpicklingError("got a storage with an impossible number of elements")
    return storage_type.dtype, key, _text(location), numel, saved_id[5] if len(saved_id) == 6 else None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if type(value) is not str:
        raise UnpicklingError(f"got a storage id with a {type(value).__name__} where text belongs")
    return value
