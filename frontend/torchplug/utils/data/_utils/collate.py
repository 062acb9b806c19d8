"""Collating: from a list of samples to one batch of tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from torchplug._core.tensor import Tensor, array_of, wrap
from torchplug.ops.from_data import as_tensor, tensor
from torchplug.ops.joining import stack
from torchplug_spec import dtypes as dt

__all__ = ["collate", "default_collate", "default_collate_err_msg_format", "default_collate_fn_map", "default_convert"]

CollateMap = dict[type | tuple[type, ...], Callable[..., Any]]

default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def default_collate(batch: Any) -> Any:
    """Returns samples as one batch: a new dimension in front of every tensor, the structure of the samples kept.

    Tensors and arrays are stacked, numbers become tensors (floats float64), dicts, named tuples, lists and tuples (as
    lists) are collated entry by entry, strings and bytes stay a list. `default_collate_fn_map` may be extended.

    Raises: RuntimeError for tensors or sequences of different sizes, TypeError for samples of other types.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def collate(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    """Returns samples as one batch, with a function per element type; see `default_collate`."""
    sample = batch[0]
    function = _function_for(sample, collate_fn_map or {})
    if function is not None:
        return function(batch, collate_fn_map=collate_fn_map)
    if isinstance(sample, Mapping):
        return _rebuilt_mapping(
            sample, lambda key: collate([each[key] for each in batch], collate_fn_map=collate_fn_map)
        )
    if not isinstance(sample, Sequence):
        raise TypeError(default_collate_err_msg_format.format(type(sample)))
    if any(len(each) != len(sample) for each in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    columns = [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch, strict=True)]
    return _rebuilt_sequence(sample, columns)


def _function_for(sample: Any, functions: CollateMap) -> Callable[..., Any] | None:
    exact = functions.get(type(sample))
    if exact is not None:
        return exact
    return next((function for kind, function in functions.items() if isinstance(sample, kind)), None)


def _rebuilt_mapping(old: Any, value: Callable[[Any], Any]) -> Any:
    entries = {key: value(key) for key in old}
    try:
        if not isinstance(old, MutableMapping):
            return type(old)(entries)  # mappings take a mapping; those that do not are caught
        clone = copy.copy(old)  # keeps what a subclass carries beside its entries
        clone.update(entries)
    except TypeError:
        return entries
    return clone


def _rebuilt_sequence(old: Any, entries: list[Any]) -> Any:
    if isinstance(old, tuple):
        return type(old)(*entries) if hasattr(old, "_fields") else entries
    try:
        if not isinstance(old, MutableSequence):
            return type(old)(entries)  # as for mappings
        clone = copy.copy(old)
        for place, entry in enumerate(entries):
            clone[place] = entry
    except TypeError:
        return entries
    return clone


def collate_tensor_fn(batch: Sequence[Tensor], *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Returns tensors of one size stacked along a new first dimension."""
    joined = _joined(batch)
    return stack(batch, 0) if joined is None else joined


def _joined(batch: Sequence[Tensor]) -> Tensor | None:
    """Returns the stack of plain tensors of one kind and size by a single copy into one new array, else None."""
    kind, shape = batch[0]._kind, array_of(batch[0]).shape
    arrays = []
    for each in batch:
        array = each._array
        if array is None:
            array = array_of(each)
        if each._kind is not kind or array.shape != shape or each._node is not None or type(each) is not Tensor:
            return None
        arrays.append(array)
    F = kind.F
    if not shape:
        arrays = [F.reshape(array, (1,)) for array in arrays]
    return wrap(F.reshape(F.concat(arrays, 0), (len(arrays), *shape)), kind)


def collate_numpy_array_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Returns NumPy arrays of one size stacked, as a tensor."""
    first = batch[0]
    if first.dtype.kind in "SUO":
        raise TypeError(default_collate_err_msg_format.format(first.dtype))
    if all(type(each) is np.ndarray and each.dtype == first.dtype and each.shape == first.shape for each in batch):
        return as_tensor(np.stack(batch))
    return collate([as_tensor(each) for each in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Returns NumPy scalars as a tensor of their type."""
    return as_tensor(np.asarray(batch))


def collate_float_fn(batch: Sequence[float], *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Returns Python floats as a float64 tensor."""
    if all([type(each) is float for each in batch]):
        return as_tensor(np.array(batch, np.float64))
    return tensor(batch, dtype=dt.float64)


def collate_int_fn(batch: Sequence[int], *, collate_fn_map: CollateMap | None = None) -> Tensor:
    """Returns Python ints (or bools) as a tensor."""
    if all([type(each) is int for each in batch]):
        values = np.array(batch)
        if values.dtype == np.int64:
            return as_tensor(values)
    return tensor(batch)


def collate_str_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    """Returns strings as they are."""
    return batch


default_collate_fn_map: CollateMap = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def default_convert(data: Any) -> Any:
    """Returns one sample with its NumPy arrays and scalars as tensors, structure kept; all else as it is.

    This is the collate_fn of a DataLoader that does not batch.
    """
    if isinstance(data, Tensor | str | bytes):
        return data
    if isinstance(data, np.ndarray | np.generic):
        return data if data.dtype.kind in "SUO" else as_tensor(data)
    if isinstance(data, Mapping):
        return _rebuilt_mapping(data, lambda key: default_convert(data[key]))
    if isinstance(data, Sequence):
        return _rebuilt_sequence(data, [default_convert(entry) for entry in data])
    return data
