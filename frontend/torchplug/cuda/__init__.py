"""`torch.cuda`: what the default (or first available) engine with CUDA devices has; harmless where there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torchplug._core import kind as _kinds
from torchplug._core import selection as _selection
from torchplug._core.device import DeviceLike as _DeviceLike
from torchplug._core.device import as_device as _as_device
from torchplug._core.random import default_generator as _generator
from torchplug._tensor.typed import TYPED as _TYPED
from torchplug.cuda import amp
from torchplug_spec import BackendError, registry

__all__ = [
    "amp", "current_device", "device", "device_count", "empty_cache", "get_device_name", "get_device_properties", "is_available",
    "manual_seed", "manual_seed_all", "max_memory_allocated", "max_memory_reserved", "mem_get_info", "memory_allocated",
    "memory_reserved", "reset_peak_memory_stats", "set_device", "synchronize",
]  # fmt: skip

globals().update(_TYPED["cuda"])

_current = 0


def _engine() -> Any:
    """Returns the first engine with a CUDA device, the default one before others; None if there is none."""
    names = dict.fromkeys((_selection.get_backend(), *registry.implicit_names()))
    for name in names:
        try:
            engine = _kinds.engine_for(name)
        except BackendError:
            continue
        if any(known.startswith("cuda") for known in engine.backend.devices()):
            return engine
    return None


def _need() -> Any:
    engine = _engine()
    if engine is None:
        raise RuntimeError(
            "No CUDA GPUs are available: no installed backend has a CUDA device; `torchplug backends` lists them"
        )
    return engine


def _index(device: Any) -> int:
    if device is None:
        return _current
    index = device if isinstance(device, int) else _as_device(device).index
    return _current if index is None else index


def _ask(question: str, device: Any, default: Any = 0) -> Any:
    """Asks the engine's backend about a device, where it answers such questions."""
    engine = _engine()
    answer = getattr(engine.backend, question, None) if engine is not None else None
    return default if answer is None else answer(f"cuda:{_index(device)}")


def is_available() -> bool:
    """Says whether some installed backend has a CUDA device."""
    return _engine() is not None


def device_count() -> int:
    """Returns the number of CUDA devices."""
    engine = _engine()
    return 0 if engine is None else sum(name.startswith("cuda") for name in engine.backend.devices())


def current_device() -> int:
    """Returns the index of the current CUDA device."""
    _need()
    return _current


def set_device(device: Any) -> None:
    """Makes a CUDA device current."""
    global _current
    index = _index(device)
    if index >= 0:
        _need()
        _current = index


class device:  # noqa: N801 -- PyTorch's name
    """Makes a CUDA device current inside a with block; None or a negative index does nothing."""

    def __init__(self, device: Any) -> None:
        self.index = _index(device) if device is not None else -1

    def __enter__(self) -> None:
        self.previous = _current
        if self.index >= 0:
            set_device(self.index)

    def __exit__(self, *_: object) -> None:
        global _current
        _current = self.previous


def get_device_name(device: _DeviceLike = None) -> str:
    """Returns the name of a device."""
    _need()
    return str(_ask("device_name", device, "CUDA device"))


def get_device_properties(device: _DeviceLike = None) -> Any:
    """Returns name, total_memory (bytes), major, minor, multi_processor_count of a device."""
    _need()
    return _ask("device_properties", device)


def get_device_capability(device: _DeviceLike = None) -> tuple[int, int]:
    """Returns the compute capability of a device."""
    properties = get_device_properties(device)
    return properties.major, properties.minor


def synchronize(device: _DeviceLike = None) -> None:
    """Returns once all work queued on a device is done."""
    engine = _need()
    engine.backend.synchronize(f"cuda:{_index(device)}")


def empty_cache() -> None:
    """Gives cached device memory back."""
    engine = _engine()
    release = getattr(engine.backend, "empty_cache", None) if engine is not None else None
    if release is not None:
        release()


def memory_allocated(device: _DeviceLike = None) -> int:
    """Returns the bytes held by tensors on a device."""
    return int(_ask("memory_allocated", device))


def memory_reserved(device: _DeviceLike = None) -> int:
    """Returns the bytes the engine's pool holds on a device."""
    return int(_ask("memory_reserved", device))


def max_memory_allocated(device: _DeviceLike = None) -> int:
    """Returns the most bytes held by tensors on a device."""
    return int(_ask("max_memory_allocated", device))


def max_memory_reserved(device: _DeviceLike = None) -> int:
    """Returns the most bytes the pool has held on a device."""
    return int(_ask("max_memory_reserved", device, memory_reserved(device)))


def reset_peak_memory_stats(device: _DeviceLike = None) -> None:
    """Starts the peak counters anew."""
    _ask("reset_peak_memory", device)


def mem_get_info(device: _DeviceLike = None) -> tuple[int, int]:
    """Returns (free, total) bytes of a device."""
    _need()
    return _ask("memory_info", device, (0, 0))


def manual_seed(seed: int) -> None:
    """Starts the stream of `seed`: one generator serves every device."""
    _generator.manual_seed(seed)


manual_seed_all = manual_seed


def is_initialized() -> bool:
    """Says whether a CUDA engine is in use."""
    return any(
        name.startswith("cuda") for known in _kinds.loaded() for name in _kinds.engine_for(known).backend.devices()
    )


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Says whether the CUDA engine has bfloat16."""
    engine = _engine()
    return engine is not None and "bfloat16" in engine.backend.capabilities


class Stream:
    """A queue of device work. Engines order their own work; the object keeps programs that name streams running."""

    def __init__(self, device: _DeviceLike = None, priority: int = 0) -> None:
        self.device, self.priority = device, priority

    def synchronize(self) -> None:
        """Returns once all queued work is done."""
        if is_available():
            synchronize(self.device)

    def wait_stream(self, stream: Any) -> None:
        """Orders this queue after another: always so here."""


@contextlib.contextmanager
def stream(stream: Any) -> Iterator[None]:
    """Runs a block on a stream."""
    yield


def current_stream(device: _DeviceLike = None) -> Stream:
    """Returns the current stream."""
    return Stream(device)


class Event:
    """A point in the device's work; `elapsed_time` gives milliseconds between two recorded events."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False) -> None:
        self.time = 0.0

    def record(self, stream: Any = None) -> None:
        """Marks now, once queued work is done."""
        import time

        if is_available():
            synchronize()
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        """Returns once the event has happened."""

    def elapsed_time(self, end_event: Event) -> float:
        """Returns the milliseconds between two events."""
        return (end_event.time - self.time) * 1e3
