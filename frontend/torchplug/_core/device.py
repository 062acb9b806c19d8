"""`torch.device`: where a tensor lives, and which engine serves it."""

from __future__ import annotations

import re
from typing import Any

from torchplug._core import selection

__all__ = ["DEVICE_TYPES", "Device", "DeviceLike", "as_device", "device_of_engine", "resolve"]

_PATTERN = re.compile(r"(?:(?P<engine>[a-z][a-z0-9_+-]*)/)?(?P<type>[a-z_]+)(?::(?P<index>\d+))?")
DEVICE_TYPES = (
    "cpu",
    "cuda",
    "tpu",
    "mps",
    "xpu",
    "meta",
    "hip",
    "xla",
    "ipu",
    "hpu",
    "mtia",
    "vulkan",
    "privateuseone",
)


class Device:
    """A device type with an optional index and, where it is not the default, an engine: "cpu", "cuda:1", "jax/cpu:0".

    Unqualified devices mean the default backend's; a tensor's own device is bound to its engine.
    """

    __slots__ = ("engine", "index", "native", "type")
    __module__ = "torch"
    engine: str | None
    index: int | None
    native: str | None
    type: str

    def __init__(self, device: Any = None, index: int | None = None, *, type: str | None = None) -> None:
        device = type if device is None else device
        if isinstance(device, Device):
            self.type, self.index, self.engine, self.native = device.type, device.index, device.engine, device.native
            return
        if isinstance(device, int) and not isinstance(device, bool):
            device, index = "cuda", device
        if not isinstance(device, str):
            raise TypeError(f"device(): argument 'type' must be str, not {device.__class__.__name__}")
        self.type, self.index, self.engine = _parse(device, index)
        self.native = None

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        engine = "" if self._is_default() else f", backend='{self.engine}'"
        return f"device(type='{self.type}'{index}{engine})"

    def __str__(self) -> str:
        text = self.type if self.index is None else f"{self.type}:{self.index}"
        return text if self._is_default() else f"{self.engine}/{text}"

    def qualified(self) -> str:
        """Returns the name that means this device whatever the default backend is."""
        text = self.type if self.index is None else f"{self.type}:{self.index}"
        engine = self.engine or selection.default_engine_name(self.type)
        return text if engine == "numpy" else f"{engine}/{text}"

    def _is_default(self) -> bool:
        return self.engine is None or self.engine == selection.default_engine_name(self.type)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Device):
            return NotImplemented
        if self.type != other.type or self.index != other.index:
            return False
        if self.engine == other.engine:
            return True
        mine = self.engine or selection.default_engine_name(self.type)
        return mine == (other.engine or selection.default_engine_name(other.type))

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        # By a function, since the class is called torch.device, which pickle finds under an alias alone.
        text = self.type if self.index is None else f"{self.type}:{self.index}"
        return as_device, (text if self.engine is None else f"{self.engine}/{text}",)

    def __enter__(self) -> Device:
        selection.push_device(self)
        return self

    def __exit__(self, *_: object) -> None:
        selection.pop_device()


def _parse(text: str, index: int | None) -> tuple[str, int | None, str | None]:
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise RuntimeError(f"Invalid device string: '{text}'")
    kind, engine = match["type"], match["engine"]
    if kind not in DEVICE_TYPES:
        if engine is None and index is None and selection.is_backend(kind):
            return selection.first_device_type(kind), int(match["index"]) if match["index"] else None, kind
        raise RuntimeError(f"Expected one of {', '.join(DEVICE_TYPES)} device type at start of device string: {text}")
    if match["index"] is not None:
        if index is not None:
            raise RuntimeError(f"type (string) must not include an index because index was passed explicitly: {text}")
        index = int(match["index"])
    if index is not None and index < 0:
        raise RuntimeError(f"Device index must not be negative, got {index}")
    return kind, index, engine


DeviceLike = Device | str | int | None
"""What says a device: itself, its name, the index of a CUDA device, or None for the default."""


def device_of_engine(engine: Any, native: str) -> Device:
    """Returns the device of tensors on an engine's native device."""
    device = Device.__new__(Device)
    kind, _, index = native.partition(":")
    device.type = kind
    device.index = int(index) if index and kind != "cpu" else None
    device.engine = engine.name
    device.native = native
    return device


def as_device(device: Any) -> Device:
    """Returns a Device from a Device, a string or an index."""
    return device if isinstance(device, Device) else Device(device)


def resolve(device: DeviceLike) -> tuple[Any, str]:
    """Returns (engine, native device) of a device; the default device for None."""
    if device is None:
        device = selection.current_device()
        if device is None:
            engine = selection.default_engine()
            return engine, engine.default_device()
    device = as_device(device)
    if device.native is not None:
        return selection.engine(device.engine), device.native  # type: ignore[arg-type]  # who has a native one has an engine
    engine = selection.engine(device.engine) if device.engine else selection.engine_with(device.type)
    return engine, _native(engine, device)


def _native(engine: Any, device: Device) -> str:
    names = list(engine.backend.devices())
    same_type = [name for name in names if name.partition(":")[0] == device.type]
    if not same_type:
        raise RuntimeError(
            f"device '{device.type}' is not available on backend '{engine.name}', which has {', '.join(names)}; "
            f"choose one of these or another backend"
        )
    if device.index is None or (device.type == "cpu" and device.index == 0):
        return same_type[0]
    wanted = f"{device.type}:{device.index}"
    if wanted in same_type:
        return wanted
    raise RuntimeError(
        f"{device.type.upper()} error: invalid device ordinal: got {device.index}, but backend '{engine.name}' has "
        f"{len(same_type)} device(s) of type '{device.type}'"
    )
