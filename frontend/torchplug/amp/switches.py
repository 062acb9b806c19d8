"""What `torch.autocast` is made of: the switches of one context, which libraries also read and set by themselves."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from torchplug._core.autocast_policies import DEFAULT_DTYPES
from torchplug._core.autocasting import change, state
from torchplug._core.device import as_device
from torchplug_spec import DType

__all__ = [
    "autocast_decrement_nesting", "autocast_increment_nesting", "clear_autocast_cache", "get_autocast_cpu_dtype",
    "get_autocast_dtype", "get_autocast_gpu_dtype", "get_autocast_ipu_dtype", "get_autocast_xla_dtype",
    "is_autocast_cache_enabled", "is_autocast_cpu_enabled", "is_autocast_enabled", "is_autocast_ipu_enabled",
    "is_autocast_xla_enabled", "set_autocast_cache_enabled", "set_autocast_cpu_dtype", "set_autocast_cpu_enabled",
    "set_autocast_dtype", "set_autocast_enabled", "set_autocast_gpu_dtype", "set_autocast_ipu_dtype",
    "set_autocast_ipu_enabled", "set_autocast_xla_dtype", "set_autocast_xla_enabled",
]  # fmt: skip


def type_of(function: str, device_type: Any) -> str:
    """Returns the type of a device that is given by name; PyTorch's errors for what is no such name."""
    if not isinstance(device_type, str):
        raise TypeError(
            f"{function}(): argument 'device_type' (position 1) must be str, not {type(device_type).__name__}"
        )
    return as_device(device_type).type


def _switchable(function: str, device_type: Any) -> str:
    known = type_of(function, device_type)
    if known not in DEFAULT_DTYPES:
        raise RuntimeError("unknown device type for autocast in get_autocast_dispatch_key_from_device_type")
    return known


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Says whether autocast is on here for a type of device ("cuda" if None)."""
    known = _switchable("is_autocast_enabled", "cuda" if device_type is None else device_type)
    return known in state().enabled


def set_autocast_enabled(device_type: str | bool | None = None, enabled: bool | None = None) -> None:
    """Turns autocast on or off: `set_autocast_enabled("cpu", True)`; with the truth value alone, for "cuda"."""
    alone = enabled is None
    if alone and device_type is None:
        raise TypeError(
            "set_autocast_enabled() received an invalid combination of arguments - got (), expected (str, bool)"
        )
    value = device_type if alone else enabled
    if not isinstance(value, bool):
        place = 1 if alone else 2
        raise TypeError(
            f"set_autocast_enabled(): argument 'enabled' (position {place}) must be bool, not {type(value).__name__}"
        )
    known = _switchable("set_autocast_enabled", "cuda" if alone or device_type is None else device_type)
    before = state().enabled
    after = before | {known} if value else before - {known}
    if after != before:
        change(enabled=after)


def get_autocast_dtype(device_type: str) -> DType:
    """Returns the type that autocast takes on a type of device."""
    try:
        return state().dtypes[type_of("get_autocast_dtype", device_type)]
    except KeyError:
        raise RuntimeError("unsupported scalarType") from None


def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """Sets the type that autocast takes on a type of device."""
    known = type_of("set_autocast_dtype", device_type)
    if not isinstance(dtype, DType):
        raise TypeError(
            f"set_autocast_dtype(): argument 'dtype' (position 2) must be torch.dtype, not {type(dtype).__name__}"
        )
    change(dtypes={**state().dtypes, known: dtype})


def is_autocast_cache_enabled() -> bool:
    """Says whether autocast keeps the casts of parameters until it ends."""
    return state().caching


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Sets whether autocast keeps the casts of parameters until it ends."""
    if not isinstance(enabled, bool):
        raise TypeError(f"enabled must be a bool (got {type(enabled).__name__})")
    change(caching=enabled)


def clear_autocast_cache() -> None:
    """Drops the casts that autocast has kept."""
    state().cache.clear()


def autocast_increment_nesting() -> int:
    """Counts that autocast was entered; returns how deep it is nested now."""
    change(nesting=state().nesting + 1)
    return state().nesting


def autocast_decrement_nesting() -> int:
    """Counts that autocast was left; returns how deep it is nested now."""
    change(nesting=state().nesting - 1)
    return state().nesting


# ---- names of one type of device, which PyTorch has deprecated -----------------------------------------------------------


def _deprecated(old: str, new: str) -> None:
    warnings.warn(f"torch.{old} is deprecated. Please use torch.{new} instead.", DeprecationWarning, stacklevel=3)


def _is_enabled(name: str, device_type: str) -> Callable[[], bool]:
    def function() -> bool:
        _deprecated(f"{name}()", f"is_autocast_enabled('{device_type}')")
        return is_autocast_enabled(device_type)

    return _named(function, name, f"Says whether autocast is on for {device_type!r}; deprecated.")


def _set_enabled(name: str, device_type: str) -> Callable[[bool], None]:
    def function(enabled: bool) -> None:
        _deprecated(f"{name}(enabled)", f"set_autocast_enabled('{device_type}', enabled)")
        set_autocast_enabled(device_type, enabled)

    return _named(function, name, f"Turns autocast on or off for {device_type!r}; deprecated.")


def _get_dtype(name: str, device_type: str) -> Callable[[], DType]:
    def function() -> DType:
        _deprecated(f"{name}()", f"get_autocast_dtype('{device_type}')")
        return get_autocast_dtype(device_type)

    return _named(function, name, f"Returns the type that autocast takes for {device_type!r}; deprecated.")


def _set_dtype(name: str, device_type: str) -> Callable[[DType], None]:
    def function(dtype: DType) -> None:
        _deprecated(f"{name}(dtype)", f"set_autocast_dtype('{device_type}', dtype)")
        set_autocast_dtype(device_type, dtype)

    return _named(function, name, f"Sets the type that autocast takes for {device_type!r}; deprecated.")


def _named(function: Any, name: str, doc: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


is_autocast_cpu_enabled = _is_enabled("is_autocast_cpu_enabled", "cpu")
is_autocast_ipu_enabled = _is_enabled("is_autocast_ipu_enabled", "ipu")
is_autocast_xla_enabled = _is_enabled("is_autocast_xla_enabled", "xla")
set_autocast_cpu_enabled = _set_enabled("set_autocast_cpu_enabled", "cpu")
set_autocast_ipu_enabled = _set_enabled("set_autocast_ipu_enabled", "ipu")
set_autocast_xla_enabled = _set_enabled("set_autocast_xla_enabled", "xla")
get_autocast_cpu_dtype = _get_dtype("get_autocast_cpu_dtype", "cpu")
get_autocast_gpu_dtype = _get_dtype("get_autocast_gpu_dtype", "cuda")
get_autocast_ipu_dtype = _get_dtype("get_autocast_ipu_dtype", "ipu")
get_autocast_xla_dtype = _get_dtype("get_autocast_xla_dtype", "xla")
set_autocast_cpu_dtype = _set_dtype("set_autocast_cpu_dtype", "cpu")
set_autocast_gpu_dtype = _set_dtype("set_autocast_gpu_dtype", "cuda")
set_autocast_ipu_dtype = _set_dtype("set_autocast_ipu_dtype", "ipu")
set_autocast_xla_dtype = _set_dtype("set_autocast_xla_dtype", "xla")
