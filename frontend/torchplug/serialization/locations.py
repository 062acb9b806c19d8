"""Where loaded tensors go: the locations in files, and `map_location` in all its forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torchplug._core.device import Device, resolve
from torchplug._core.tensor import wrap
from torchplug._tensor.storage import TypedStorage, UntypedStorage
from torchplug_spec import dtypes as dt

__all__ = ["chosen_device", "location_tag"]

MapLocation = Callable[[Any, str], Any] | Device | str | bytes | dict[str, str] | None


def chosen_device(map_location: MapLocation, location: str, values: np.ndarray) -> Device:
    """Returns the device for a storage that was saved at `location`; a function is asked with the storage itself.

    Raises RuntimeError, in PyTorch's words, when the device is not to be had.
    """
    if map_location is None:
        return _existing(location)
    if isinstance(map_location, dict):
        return _existing(map_location.get(location, location))
    if isinstance(map_location, bytes):
        return _existing(map_location.decode("ascii"))
    if isinstance(map_location, (str, Device)):
        return _existing(map_location)
    if not callable(map_location):
        raise TypeError(
            f"load: got map_location of type {type(map_location).__name__}, expected a device, a string, a dict or a function"
        )
    answer = map_location(_storage_of(values), location)
    if answer is None:
        return _existing(location)
    if not isinstance(answer, (UntypedStorage, TypedStorage)):
        raise TypeError(f"map_location returned {type(answer).__name__}, expected a storage or None")
    return answer.device


def _storage_of(values: np.ndarray) -> UntypedStorage:
    engine, native = resolve("cpu")
    kind = engine.kind(dt.uint8, native)
    return UntypedStorage.of(wrap(kind.F.from_numpy(values, native), kind))


def _existing(location: Any) -> Device:
    """Returns a device after making sure that it is there."""
    device = location if isinstance(location, Device) else Device(location)
    try:
        resolve(device)
    except RuntimeError as error:
        kind = device.type
        if kind == "cpu":
            raise
        raise RuntimeError(
            f"Attempting to deserialize object on a {kind.upper()} device but torch.{kind}.is_available() is False. If you are "
            "running on a CPU-only machine, please use torch.load with map_location=torch.device('cpu') to map your storages "
            f"to the CPU. ({error})"
        ) from None
    return device


def location_tag(storage: Any) -> str:
    """Returns the name of a storage's device as it is written in files."""
    from torchplug.serialization.pickling import location_of

    return location_of(storage.device)
