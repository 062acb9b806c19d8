"""Step counts: 0-d tensors in checkpoints, Python numbers in formulas, 0-d tensors again while compile traces."""

from __future__ import annotations

from typing import Any

from torchplug._core.modes import default_dtype
from torchplug._core.tensor import Tensor, array_of, wrap, write
from torchplug_spec import dtypes as dt

__all__ = ["advance", "count_tensor", "current", "device_for_steps", "number_of", "replace", "rescale", "scalar_kind"]


def device_for_steps(param: Tensor) -> Any:
    """Returns where a parameter's step count lives: beside it, or on the CPU when reading it would wait for a device.

    Immutable engines keep small written tensors on the host anyway.
    """
    kind = param._kind
    return "numpy/cpu" if kind.mutable and kind.device.type != "cpu" else kind.device


def count_tensor(param: Tensor, group: dict[str, Any], start: float = 0.0) -> Tensor:
    """Returns a new step count, float32 (float64 when that is the default dtype), as PyTorch keeps it."""
    from torchplug._core.device import resolve

    on_device = group.get("capturable") or group.get("fused")
    engine, native = resolve(param.device if on_device else device_for_steps(param))
    wide = default_dtype() is dt.float64 and not group.get("fused")
    kind = engine.kind(dt.float64 if wide else dt.float32, native)
    return wrap(kind.F.full((), start, kind.dtype, native), kind)


def number_of(tensor: Tensor) -> float:
    """Returns the value of a 0-d tensor as a Python number."""
    array = tensor._array
    if array is not None and tensor._kind.mutable:
        return array.item()
    return tensor.item()


def advance(count: Tensor, traced: bool) -> Any:
    """Adds 1 to a step count and returns it: a Python float, or a 0-d float64 tensor while compile traces."""
    if not traced:
        array = count._array
        if array is not None and count._kind.mutable and count._cell is not None and count._view is None:
            value = array.item() + 1.0  # what the lines below do, without their calls
            count._kind.F.assign(array, value)
            count._cell.version += 1
            return value
        value = number_of(count) + 1.0
        write(count, None, value)
        return value
    write(count, count._kind.F.add(array_of(count), 1.0))
    return current(count, traced)


def current(state: Tensor, traced: bool) -> Any:
    """Returns the value of a 0-d state: a Python float, or a 0-d float64 tensor while compile traces."""
    if not traced:
        return number_of(state)
    wide = scalar_kind(state._kind)
    return wrap(wide.F.astype(array_of(state), wide.dtype), wide)


def replace(state: Tensor, value: Any) -> None:
    """Writes a number, or a 0-d tensor while compile traces, into a 0-d state."""
    if isinstance(value, Tensor):
        write(state, state._kind.F.astype(array_of(value), state._kind.dtype))
    else:
        write(state, None, float(value))


def rescale(state: Tensor, factor: Any, traced: bool) -> Any:
    """Multiplies a 0-d state by a number, in the state's own precision, and returns it as `current` does."""
    kind = state._kind
    if isinstance(factor, Tensor):
        write(state, kind.F.multiply(array_of(state), kind.F.astype(array_of(factor), kind.dtype)))
    else:
        write(state, None, float(kind.dtype.numpy.type(number_of(state)) * kind.dtype.numpy.type(factor)))
    return current(state, traced)


def scalar_kind(kind: Any) -> Any:
    """Returns the kind in which numbers are computed while compile traces: float64 where the engine has it."""
    return kind.to(dt.float64 if "float64" in kind.F.backend.capabilities else dt.float32)
