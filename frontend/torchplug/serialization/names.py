"""The names by which PyTorch pickles things, and what they mean here."""

from __future__ import annotations

import sys
from typing import Any

from torchplug._core.device import Device
from torchplug._core.random import Generator
from torchplug._core.size import Size
from torchplug._core.tensor import Parameter, Tensor
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["DTYPE_OF_STORAGE", "STORAGE_OF_DTYPE", "Global", "StorageType", "torch_name"]

STORAGE_OF_DTYPE: dict[DType, str] = {
    dt.float64: "DoubleStorage", dt.float32: "FloatStorage", dt.float16: "HalfStorage", dt.bfloat16: "BFloat16Storage",
    dt.int64: "LongStorage", dt.int32: "IntStorage", dt.int16: "ShortStorage", dt.int8: "CharStorage",
    dt.uint8: "ByteStorage", dt.bool_: "BoolStorage", dt.complex64: "ComplexFloatStorage",
    dt.complex128: "ComplexDoubleStorage",
}  # fmt: skip
DTYPE_OF_STORAGE = {name: dtype for dtype, name in STORAGE_OF_DTYPE.items()}


class Global:
    """A name in a pickle, written where an object is meant; one object per name, so that repeats are short."""

    __slots__ = ("module", "name")
    module: str
    name: str
    _known: dict[tuple[str, str], Global] = {}

    def __new__(cls, module: str, name: str) -> Global:
        found = cls._known.get((module, name))
        if found is None:
            found = cls._known[module, name] = object.__new__(cls)
            found.module, found.name = module, name
        return found

    def __call__(self, *_: Any) -> None:
        """Exists because picklers ask whether what rebuilds an object can be called."""
        raise TypeError(f"{self.module}.{self.name} is a name, not a function")


class StorageType:
    """What a storage class in a file stands for: the type of its elements; None for untyped bytes."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: DType | None) -> None:
        self.dtype = dtype


_EXACT: dict[Any, tuple[str, str]] = {
    Tensor: ("torch", "Tensor"), Parameter: ("torch.nn.parameter", "Parameter"), Size: ("torch", "Size"),
    Device: ("torch", "device"), DType: ("torch", "dtype"), Generator: ("torch._C", "Generator"),
}  # fmt: skip


def torch_name(obj: Any) -> tuple[str, str] | None:
    """Returns module and name of PyTorch's counterpart of a class or function of ours; None for everything else."""
    if type(obj) is Global:
        return obj.module, obj.name
    try:
        known = _EXACT.get(obj)
    except TypeError:
        return None
    if known is not None:
        return known
    module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    first, _, rest = module.partition(".")
    if first == "torch":
        return module, name
    if first != "torchplug":
        return None
    if rest.startswith(("ops.", "_")):
        return _public_name(obj, name)
    if rest.startswith("optim.lr_scheduler."):
        rest = "optim.lr_scheduler"
    return f"torch.{rest}" if rest else "torch", name


def _public_name(obj: Any, name: str) -> tuple[str, str]:
    """Returns where users find a function whose module is private."""
    for module in ("nn.functional", "", "special", "linalg", "fft"):
        place = sys.modules.get(f"torchplug.{module}" if module else "torchplug")
        if getattr(place, name, None) is obj:
            return f"torch.{module}" if module else "torch", name
    return "torch", name
