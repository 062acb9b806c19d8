"""GPUs as the front end sees them: spelling, memory, streams, properties, and calls made on the right one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import cupy

__all__ = ["DeviceControl", "on_device_of_arguments", "ordinal"]


def ordinal(device: str) -> int:
    """Returns the number of the GPU spelled "cuda" or "cuda:1"; ValueError for another spelling."""
    kind, _, index = device.partition(":")
    if kind != "cuda" or (index and not index.isdigit()):
        raise ValueError(f"got device {device!r}, expected 'cuda:0' and the like")
    return int(index or 0)


def on_device_of_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `function` run with the GPU of its first array as the current one: CuPy computes on the current GPU."""

    @functools.wraps(function)
    def placed(*arguments: Any) -> Any:
        for argument in arguments:
            array = argument[0] if isinstance(argument, (list, tuple)) and argument else argument
            if isinstance(array, cupy.ndarray):
                with array.device:
                    return function(*arguments)
        return function(*arguments)

    return placed


class DeviceControl:
    """Memory, streams and properties of GPUs; what `torch.cuda` asks an engine for."""

    def memory_allocated(self, device: str) -> int:
        """Returns the bytes arrays occupy now."""
        with cupy.cuda.Device(ordinal(device)):
            return int(cupy.get_default_memory_pool().used_bytes())

    def memory_reserved(self, device: str) -> int:
        """Returns the bytes the memory pool holds, free ones included."""
        with cupy.cuda.Device(ordinal(device)):
            return int(cupy.get_default_memory_pool().total_bytes())

    def memory_info(self, device: str) -> tuple[int, int]:
        """Returns the free and the total bytes of the GPU, other processes counted."""
        free, total = cupy.cuda.Device(ordinal(device)).mem_info
        return int(free), int(total)

    def empty_cache(self, device: str) -> None:
        """Gives the pool's free blocks back to the driver, pinned host memory too."""
        with cupy.cuda.Device(ordinal(device)):
            cupy.get_default_memory_pool().free_all_blocks()
        cupy.get_default_pinned_memory_pool().free_all_blocks()

    def limit_memory(self, fraction: float, device: str) -> None:
        """Lets the pool take at most `fraction` of the GPU's memory; a later allocation beyond it raises."""
        with cupy.cuda.Device(ordinal(device)):
            cupy.get_default_memory_pool().set_limit(fraction=fraction)

    def device_properties(self, device: str) -> dict[str, Any]:
        """Returns name, total_memory in bytes, major and minor compute capability, multi_processor_count."""
        properties = cupy.cuda.runtime.getDeviceProperties(ordinal(device))
        name = properties["name"]
        return {
            "name": name.decode() if isinstance(name, bytes) else name,
            "total_memory": int(properties["totalGlobalMem"]),
            "major": int(properties["major"]),
            "minor": int(properties["minor"]),
            "multi_processor_count": int(properties["multiProcessorCount"]),
        }

    def new_stream(self, device: str) -> Any:
        """Returns a queue of its own, which does not wait for the default one."""
        with cupy.cuda.Device(ordinal(device)):
            return cupy.cuda.Stream(non_blocking=True)

    def current_stream(self, device: str) -> Any:
        return cupy.cuda.get_current_stream(ordinal(device))

    def use_stream(self, stream: Any) -> AbstractContextManager[Any]:
        """Returns a context in which work is queued on `stream`."""
        context: AbstractContextManager[Any] = stream
        return context

    def new_event(self, timing: bool) -> Any:
        """Returns an event that marks a place in a stream; with `timing`, the milliseconds between two can be asked."""
        return cupy.cuda.Event(disable_timing=not timing)

    def elapsed_time(self, start: Any, end: Any) -> float:
        """Returns the milliseconds between two recorded events."""
        return float(cupy.cuda.get_elapsed_time(start, end))
