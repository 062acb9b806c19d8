"""The storages of a file on their way to tensors: bytes on the host, then memory on a device, shared by all that look at it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from torchplug._core import geometry as geo
from torchplug._core.device import resolve
from torchplug._core.tensor import Tensor, wrap
from torchplug._tensor.storage import TypedStorage, UntypedStorage, flat_alias, tensor_over
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["LoadedStorage"]


class LoadedStorage(TypedStorage):
    """A storage of a file. Its memory is made when the first tensor over it is, in that tensor's shape if it fills it all."""

    __slots__ = ("_device", "_flat", "_values")

    def __init__(self, values: np.ndarray, dtype: DType, device: Any) -> None:
        self.dtype = dtype
        self._values: Any = values
        self._device = device
        self._flat: Tensor | None = None

    def tensor(self, size: tuple[int, ...], stride: tuple[int, ...], offset: int, dtype: DType | None = None) -> Tensor:
        """Returns a tensor over this memory; RuntimeError, in PyTorch's words, for places outside it."""
        dtype = dtype or self.dtype
        fills = offset == 0 and math.prod(size) * dtype.itemsize == self._values.nbytes if self._flat is None else False
        if fills and geo.is_contiguous(size, stride):
            made = self._make(dtype, size)
            self._flat = flat_alias(made)
            return made
        return tensor_over(self._memory(), dtype, size, stride, offset)

    def _memory(self) -> Tensor:
        if self._flat is None:
            self._flat = flat_alias(self._make(self.dtype, (self._values.nbytes // self.dtype.itemsize,)))
        return self._flat

    def _make(self, dtype: DType, size: tuple[int, ...]) -> Tensor:
        engine, native = resolve(self._device)
        kind = engine.kind(dtype, native)
        values = self._values[: math.prod(size) * dtype.itemsize].view(dtype.numpy).reshape(size)
        if dtype is dt.bool_:
            # Any byte but 0 and 1 would be neither True nor False to a library.
            values = values.view(np.uint8) != 0
        self._values = None
        return wrap(kind.F.from_numpy(values, native), kind)

    @property
    def _untyped_storage(self) -> UntypedStorage:  # type: ignore[override]
        storage = object.__new__(UntypedStorage)
        storage._flat = self._memory()
        return storage
