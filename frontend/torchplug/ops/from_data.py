"""Tensors from Python data and from other libraries' arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from torchplug._core.declare import declare
from torchplug._core.device import DeviceLike, resolve
from torchplug._core.modes import default_dtype
from torchplug._core.numbers import stored
from torchplug._core.promotion import promote_types, scalar_dtype
from torchplug._core.tensor import Tensor, alias, cell_of, shape_of
from torchplug.ops.creation import as_leaf, finish, kind_for
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["as_tensor", "asarray", "from_dlpack", "from_numpy", "tensor"]


@declare(method=False)
def tensor(
    data: Any,
    *,
    dtype: DType | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    names: Any = None,
) -> Tensor:
    """Returns a new tensor with a copy of the data: numbers, nested sequences, NumPy arrays, tensors."""
    if isinstance(data, Tensor):
        import warnings

        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            UserWarning, stacklevel=2,
        )  # fmt: skip
        copied = (
            data.detach().to(dtype=dtype or data._kind.dtype, device=data.device if device is None else device).clone()
        )
        return as_leaf(copied) if requires_grad else copied
    values, found = _host_values(data, dtype)
    kind = kind_for(dtype or found, device)
    array = kind.F.from_numpy(_converted(values, kind.dtype, copy=True), kind.native_device)
    return finish(array, kind, requires_grad)


def _converted(values: np.ndarray, dtype: DType, copy: bool) -> np.ndarray:
    if values.dtype == dtype.numpy:
        return np.array(values) if copy else values
    if values.dtype.kind == "c" and not dtype.is_complex and dtype is not dt.bool_:
        whole = dtype.kind in ("int", "uint")
        raise TypeError(
            "'complex' object cannot be interpreted as an integer" if whole else "must be real number, not complex"
        )
    with np.errstate(all="ignore"):
        return values.astype(dtype.numpy)


def _host_values(data: Any, dtype: DType | None) -> tuple[np.ndarray, DType]:
    """Returns the data as a host array and the dtype PyTorch would choose for it."""
    if isinstance(data, np.ndarray) or isinstance(data, np.generic):
        values = np.asarray(data)
        return values, dt.from_numpy_dtype(values.dtype)
    if isinstance(data, (bool, int, float, complex)):
        return _number(data, dtype), scalar_dtype(data)
    if isinstance(data, (str, bytes)) or data is None:
        raise TypeError(
            f"new(): invalid data type '{type(data).__name__}'"
            if not isinstance(data, type(None))
            else "Could not infer dtype of NoneType"
        )
    if hasattr(data, "__array__") and not isinstance(data, (list, tuple)):
        values = np.asarray(data)
        return values, dt.from_numpy_dtype(values.dtype)
    if hasattr(data, "__len__") and hasattr(data, "__getitem__"):
        return _sequence(data, dtype)
    raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")


def _number(value: Any, dtype: DType | None) -> np.ndarray:
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        raise ValueError("Overflow when unpacking long long")
    if dtype is not None and dtype.kind in ("int", "uint") and not isinstance(value, complex):
        value = stored(value, dtype, dtype.name)
    return np.asarray(value)


def _sequence(data: Any, dtype: DType | None) -> tuple[np.ndarray, DType]:
    shape = _nested_shape(data)
    flat: list[Any] = []
    _flatten(data, shape, 0, flat)
    if not flat:
        return np.empty(shape, (default_dtype()).numpy), default_dtype()
    found = _common_dtype(flat)
    target = dtype or found
    if target.kind in ("int", "uint"):
        for value in flat:
            _number(value, target)
    # In double precision, because the dtype asked for may be wider than the default one.
    precise = np.complex128 if found.is_complex else np.float64
    layout = np.dtype(precise) if found.is_floating_point or found.is_complex else found.numpy
    try:
        return np.array(flat, dtype=layout).reshape(shape), found
    except OverflowError:
        raise ValueError("Overflow when unpacking long long") from None


def _nested_shape(data: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(data, (list, tuple, range)) or (
        hasattr(data, "__len__") and not isinstance(data, (str, bytes, Tensor, np.ndarray))
    ):
        shape.append(len(data))
        if not len(data):
            break
        data = data[0]
    if isinstance(data, Tensor):
        shape.extend(shape_of(data))
    elif isinstance(data, np.ndarray):
        shape.extend(data.shape)
    return tuple(shape)


def _flatten(data: Any, shape: tuple[int, ...], depth: int, flat: list[Any]) -> None:
    if isinstance(data, (str, bytes)):
        raise ValueError(f"too many dimensions '{type(data).__name__}'")
    if isinstance(data, Tensor):
        data = data.detach().cpu().tolist() if shape_of(data) else data.item()
    elif isinstance(data, np.ndarray):
        data = data.tolist()
    elif isinstance(data, np.generic):
        data = data.item()
    if depth == len(shape):
        if not isinstance(data, (bool, int, float, complex)):
            if hasattr(data, "__len__"):
                raise ValueError(
                    f"expected {'number' if depth else 'sequence'}, got sequence of length {len(data)} at dim {depth}"
                )
            raise TypeError(f"must be real number, not {type(data).__name__}")
        flat.append(data)
        return
    if not hasattr(data, "__len__"):
        raise (
            TypeError(f"expected a sequence of length {shape[depth]} at dim {depth}, got {type(data).__name__}")
            if not isinstance(data, (int, float))
            else TypeError(f"expected sequence of length {shape[depth]} at dim {depth} (got {type(data).__name__})")
        )
    if len(data) != shape[depth]:
        raise ValueError(f"expected sequence of length {shape[depth]} at dim {depth} (got {len(data)})")
    for entry in data:
        _flatten(entry, shape, depth + 1, flat)


def _common_dtype(flat: list[Any]) -> DType:
    kinds = {type(value) for value in flat}
    found: DType | None = None
    for kind in kinds:
        dtype = scalar_dtype(kind(0))
        found = dtype if found is None else promote_types(found, dtype)
    assert found is not None
    return found


@declare(method=False)
def from_numpy(ndarray: np.ndarray) -> Tensor:
    """Returns a tensor on the memory of a NumPy array (numpy backend; a copy on the default device of any other)."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    if any(step < 0 for step in ndarray.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently "
            "supported. (You can probably work around this by making a copy of your array  with array.copy().) "
        )
    if ndarray.dtype.byteorder == ">" or (ndarray.dtype.byteorder == "=" and False):
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is currently not supported."
        )
    engine, native = resolve(None)
    kind = engine.kind(dt.from_numpy_dtype(ndarray.dtype), native)
    out = finish(kind.F.from_numpy(ndarray, native), kind)
    if kind.mutable:
        cell_of(out)
    return out


@declare(method=False)
def as_tensor(data: Any, dtype: DType | None = None, device: DeviceLike = None) -> Tensor:
    """Returns data as a tensor, sharing memory where possible: the same tensor, or a NumPy array's memory."""
    if isinstance(data, Tensor):
        return data.to(dtype=dtype or data._kind.dtype, device=data.device if device is None else device)
    if isinstance(data, np.ndarray):
        found = dt.from_numpy_dtype(data.dtype)
        kind = kind_for(dtype or found, device)
        if kind.dtype is found:
            return finish(
                kind.F.from_numpy(data if all(s >= 0 for s in data.strides) else data.copy(), kind.native_device), kind
            )
    return tensor(data, dtype=dtype, device=device)


@declare(method=False)
def asarray(
    obj: Any,
    *,
    dtype: DType | None = None,
    device: DeviceLike = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Returns an object as a tensor; `copy` True always copies, False never does."""
    out = as_tensor(obj, dtype, device)
    if copy:
        out = out.detach().clone()
    elif copy is False and not isinstance(obj, (Tensor, np.ndarray)):
        raise ValueError("can't alias arbitrary sequence into a tensor.")
    return as_leaf(out) if requires_grad else out


@declare(method=False)
def from_dlpack(ext_tensor: Any, *, device: DeviceLike = None, copy: bool | None = None) -> Tensor:
    """Returns a tensor on the memory of another library's array, through DLPack."""
    if isinstance(ext_tensor, Tensor):
        return alias(ext_tensor)
    engine, native = resolve(device)
    importer = getattr(engine.backend, "from_dlpack", None)
    if importer is not None:
        array = importer(ext_tensor)
        kind = engine.adopt(array)
    else:
        values = np.from_dlpack(ext_tensor)
        kind = engine.kind(dt.from_numpy_dtype(values.dtype), native)
        array = kind.F.from_numpy(values, native)
    out = finish(array, kind)
    return out.clone() if copy else out


@declare(samples=lambda make: [], method=True)
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """Returns a copy with history."""
    from torchplug._core.layout import contiguous_format
    from torchplug.ops.views import CLONE, contiguous

    if memory_format is contiguous_format:
        dense = contiguous(input)
        if dense is not input:
            return dense
    return CLONE(input)
