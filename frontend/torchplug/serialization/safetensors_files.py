"""safetensors files, through the safetensors library."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from torchplug._core.device import resolve
from torchplug._core.host import host_array
from torchplug._core.tensor import Tensor, wrap
from torchplug.serialization.atomic import replacing
from torchplug.serialization.pickling import StorageTable
from torchplug_spec import dtypes as dt

__all__ = ["load_safetensors", "save_safetensors"]

_NAMES = {
    "BOOL": dt.bool_, "U8": dt.uint8, "I8": dt.int8, "I16": dt.int16, "I32": dt.int32, "I64": dt.int64, "F16": dt.float16,
    "BF16": dt.bfloat16, "F32": dt.float32, "F64": dt.float64, "C64": dt.complex64,
}  # fmt: skip


def save_safetensors(
    tensors: dict[str, Tensor], filename: str | os.PathLike[str], metadata: dict[str, str] | None = None
) -> None:
    """Writes a dict of tensors as a safetensors file, whole or not at all.

    Raises RuntimeError for tensors that share memory, as safetensors does: the file cannot say so.
    """
    from safetensors.numpy import save as packed

    if not isinstance(tensors, dict):
        raise ValueError(f"Expected a dict of [str, torch.Tensor] but received {type(tensors)}")
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"Key `{name}` is invalid, expected torch.Tensor but received {type(tensor)}")
    _refuse_shared(tensors)
    data = packed({name: _array_of(tensor) for name, tensor in tensors.items()}, metadata)
    with replacing(os.fspath(filename)) as stream:
        stream.write(data)


def load_safetensors(filename: str | os.PathLike[str], device: Any = "cpu") -> dict[str, Tensor]:
    """Returns the tensors of a safetensors file by name."""
    from safetensors import deserialize

    with open(filename, "rb") as stream:
        data = stream.read()
    engine, native = resolve(device)
    loaded = {}
    for name, entry in deserialize(data):  # type: ignore[no-untyped-call]  # safetensors says no types
        if entry["dtype"] not in _NAMES:
            raise TypeError(f"tensor '{name}' has the type {entry['dtype']}, expected one of {', '.join(_NAMES)}")
        dtype = _NAMES[entry["dtype"]]
        values = np.frombuffer(bytearray(entry["data"]), np.uint8).view(dtype.numpy).reshape(entry["shape"])
        kind = engine.kind(dtype, native)
        loaded[name] = wrap(kind.F.from_numpy(values, native), kind)
    return loaded


def _array_of(tensor: Tensor) -> np.ndarray:
    if not tensor.is_contiguous():
        raise ValueError(
            "You are trying to save a non contiguous tensor: call `.contiguous()` before saving, so that the file holds it as you "
            "see it."
        )
    values = host_array(tensor)
    return np.ascontiguousarray(values).reshape(values.shape).view(np.ndarray)  # 0-d stays 0-d


def _refuse_shared(tensors: dict[str, Tensor]) -> None:
    from torchplug._tensor.storage import flat_alias

    owners: dict[str, list[str]] = {}
    table = StorageTable()
    for name, tensor in tensors.items():
        memory = flat_alias(tensor)
        if memory.numel():
            owners.setdefault(table.key_of(memory, tensor._kind.dtype), []).append(name)
    shared = [set(names) for names in owners.values() if len(names) > 1]
    if shared:
        raise RuntimeError(
            f"Some tensors share memory, this will lead to duplicate memory on disk and potential differences when loading them "
            f"again: {shared}. A potential way to correctly save your model is to use `save_model`."
        )
