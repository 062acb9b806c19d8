"""The legacy constructors: `torch.Tensor(2, 3)`, `torch.FloatTensor([1.0])`, and the classes isinstance knows."""

from __future__ import annotations

from typing import Any

from torchplug._core.device import DeviceLike
from torchplug._core.modes import default_dtype
from torchplug._core.naming import tensor_type_name
from torchplug._core.size import Size
from torchplug._core.tensor import Tensor, alias
from torchplug.ops.creation import empty
from torchplug.ops.from_data import tensor
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["TYPED", "dtype_of_name"]


def _construct(dtype: DType, device: Any, args: tuple) -> Tensor:
    if not args:
        return empty(0, dtype=dtype, device=device)
    first = args[0]
    if len(args) == 1 and isinstance(first, Tensor):
        if first._kind.dtype is not dtype:
            raise TypeError(f"expected {dtype} (got {first._kind.dtype})")
        return alias(first)
    if isinstance(first, Size) and len(args) == 1:
        return empty(first, dtype=dtype, device=device)
    if all(isinstance(arg, int) for arg in args):
        return empty(*args, dtype=dtype, device=device)
    if len(args) == 1 and (hasattr(first, "__len__") or hasattr(first, "__array__")):
        return tensor(first, dtype=dtype, device=device)
    raise TypeError(
        f"new(): got ({', '.join(type(arg).__name__ for arg in args)}), expected sizes, a sequence of data, a torch.Size or a Tensor"
    )


def _new(cls: type[Tensor], *args: Any, device: DeviceLike = None, **keywords: Any) -> Tensor:
    """Returns `cls(sizes...)` (zeros), `cls(data)` or an alias of a tensor, in the default dtype."""
    if keywords:
        raise TypeError(f"new() received an invalid combination of arguments - got unexpected {', '.join(keywords)}")
    if len(args) == 1 and isinstance(args[0], Tensor):
        made = alias(args[0])
    else:
        made = _construct(default_dtype(), device, args)
    return made if cls is Tensor else made.as_subclass(cls)


def _new_like(self: Tensor, *args: Any, device: DeviceLike = None) -> Tensor:
    """Returns a tensor of this one's dtype and device from sizes (its values are arbitrary), data, or another tensor's memory."""
    return _construct(self._kind.dtype, self._kind.device if device is None else device, args)


Tensor.new = _new_like  # type: ignore[method-assign, assignment]  # attached here
Tensor.__new__ = staticmethod(_new)  # type: ignore[method-assign, assignment]  # attached here


class _TypedTensor(type):
    """The type of torch.FloatTensor and its like: calling makes a tensor of the dtype, isinstance asks for dtype and device."""

    dtype: DType
    device_type: str

    def __call__(cls, *args: Any, **keywords: Any) -> Tensor:
        device = keywords.pop("device", None if cls.device_type == "cpu" else cls.device_type)
        return _construct(cls.dtype, device, args)

    def __instancecheck__(cls, instance: Any) -> bool:
        return (
            isinstance(instance, Tensor)
            and instance._kind.dtype is cls.dtype
            and instance._kind.device.type == cls.device_type
        )


def _typed(dtype: DType, device_type: str) -> Any:
    name = tensor_type_name(dtype)
    module = "torch" if device_type == "cpu" else f"torch.{device_type}"
    return _TypedTensor(
        name, (), {"dtype": dtype, "device_type": device_type, "__module__": module, "is_cuda": device_type == "cuda"}
    )


_LEGACY = (dt.float32, dt.float64, dt.float16, dt.bfloat16, dt.uint8, dt.int8, dt.int16, dt.int32, dt.int64, dt.bool_)
TYPED: dict[str, dict[str, Any]] = {
    device: {tensor_type_name(dtype): _typed(dtype, device) for dtype in _LEGACY} for device in ("cpu", "cuda")
}
"""Device type -> name -> class: TYPED["cpu"]["FloatTensor"]."""


def dtype_of_name(name: Any) -> tuple[DType, str | None]:
    """Returns (dtype, device type or None) of a typed class or of its name, "torch.cuda.FloatTensor"."""
    if isinstance(name, _TypedTensor):
        return name.dtype, None if name.device_type == "cpu" else name.device_type
    if isinstance(name, type) and issubclass(name, Tensor):
        return default_dtype(), None
    parts = str(name).split(".")
    found = TYPED["cuda" if "cuda" in parts else "cpu"].get(parts[-1])
    if found is None:
        if parts[-1] == "Tensor":
            return default_dtype(), None
        raise ValueError(f"invalid type: '{name}'")
    return found.dtype, "cuda" if "cuda" in parts else None
