"""The host side of an immutable engine's storage: the strided functions that views need, over NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from torchplug_spec import DType

__all__ = ["HOST"]


class _HostNamespace:
    @staticmethod
    def slice(x: np.ndarray, key: tuple) -> np.ndarray:
        return x[(*key, ...)]

    @staticmethod
    def permute_dims(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        return x.transpose(axes)

    @staticmethod
    def reshape(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return x.reshape(shape)

    @staticmethod
    def broadcast_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        lead = len(shape) - x.ndim
        kept = [step if old == new else 0 for old, new, step in zip(x.shape, shape[lead:], x.strides, strict=True)]
        flat, offset = _HostNamespace.storage_of(x)
        return np.ndarray(shape, x.dtype, flat, offset * x.itemsize, (*(0,) * lead, *kept))

    @staticmethod
    def reshapes_in_place(x: np.ndarray) -> bool:
        return x.flags.c_contiguous

    @staticmethod
    def strides_of(x: np.ndarray) -> tuple[int, ...]:
        return tuple(step // x.itemsize for step in x.strides)

    @staticmethod
    def storage_of(x: np.ndarray) -> tuple[np.ndarray, int]:
        base = x
        while isinstance(base.base, np.ndarray):
            base = base.base
        flat = base.reshape(-1).view(x.dtype)
        return flat, (x.__array_interface__["data"][0] - flat.__array_interface__["data"][0]) // x.itemsize

    @staticmethod
    def as_strided(x: np.ndarray, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> np.ndarray:
        # The constructor keeps `x` as the base of the view; as_strided of NumPy hides it.
        return np.ndarray(shape, x.dtype, x, offset * x.itemsize, tuple(step * x.itemsize for step in strides))

    @staticmethod
    def view_as_real(x: np.ndarray) -> np.ndarray:
        return x[..., None].view(x.real.dtype)

    @staticmethod
    def view_as_complex(x: np.ndarray) -> np.ndarray:
        return x.view(np.result_type(x.dtype, np.complex64))[..., 0]

    @staticmethod
    def real(x: np.ndarray) -> np.ndarray:
        return x.real

    @staticmethod
    def imag(x: np.ndarray) -> np.ndarray:
        return x.imag

    @staticmethod
    def reinterpret(x: np.ndarray, dtype: DType) -> np.ndarray:
        return x.view(dtype.numpy)


HOST: Any = _HostNamespace
