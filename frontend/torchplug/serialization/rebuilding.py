"""The functions that files may call: each checks its arguments before it makes anything of them."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, TypeVar

from torchplug._core import layout as layouts
from torchplug._core.device import Device
from torchplug._core.random import Generator
from torchplug._core.size import Size
from torchplug._core.tensor import Parameter, Tensor
from torchplug.serialization.storages import LoadedStorage
from torchplug_spec import DType

__all__: list[str] = []

_MOST_DIMENSIONS = 64
_MOST_ELEMENTS = 1 << 48
_F = TypeVar("_F", bound=Callable[..., Any])


def _pickled(name: str) -> Callable[[_F], _F]:
    def mark(function: _F) -> _F:
        function.pickled_name = name  # type: ignore[attr-defined]
        return function

    return mark


def _require(condition: bool, what: str, value: Any) -> None:
    if not condition:
        raise UnpicklingError(f"got {type(value).__name__} {_short(value)}, expected {what}")


def _short(value: Any) -> str:
    if isinstance(value, (int, float, str, bytes, type(None))):
        text = (
            repr(value[:60]) if isinstance(value, (str, bytes)) else "a huge number" if _is_huge(value) else repr(value)
        )
        return text
    return ""


def _is_huge(value: Any) -> bool:
    return type(value) is int and abs(value) > 1 << 200


# ---- tensors ---------------------------------------------------------------------------------------------------------


def _integers(value: Any, what: str) -> tuple[int, ...]:
    _require(
        isinstance(value, (tuple, list)) and len(value) <= _MOST_DIMENSIONS, f"at most 64 integers as {what}", value
    )
    for item in value:
        _require(type(item) is int and 0 <= item < 1 << 63, f"{what} of integers, none negative", item)
    return tuple(value)


def _laid_over(storage: Any, offset: Any, size: Any, stride: Any, dtype: DType | None = None) -> Tensor:
    _require(isinstance(storage, LoadedStorage), "a storage", storage)
    _require(type(offset) is int and 0 <= offset < 1 << 63, "a storage offset that is not negative", offset)
    lengths, steps = _integers(size, "a size"), _integers(stride, "strides")
    _require(len(lengths) == len(steps), f"{len(lengths)} strides", stride)
    _require(math.prod(lengths) <= _MOST_ELEMENTS, f"at most {_MOST_ELEMENTS} elements", math.prod(lengths))
    return storage.tensor(lengths, steps, offset, dtype)


@_pickled("_rebuild_tensor")
def tensor(storage: Any, storage_offset: Any, size: Any, stride: Any) -> Tensor:
    """Returns a tensor over a storage."""
    return _laid_over(storage, storage_offset, size, stride)


@_pickled("_rebuild_tensor_v2")
def tensor_v2(
    storage: Any,
    storage_offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any,
    backward_hooks: Any,
    metadata: Any = None,
) -> Tensor:
    """Returns a tensor over a storage; `metadata` says whether it is a lazy conjugate or negative."""
    made = _with_metadata(_laid_over(storage, storage_offset, size, stride), metadata)
    return _with_grad(made, requires_grad, backward_hooks)


@_pickled("_rebuild_tensor_v3")
def tensor_v3(
    storage: Any,
    storage_offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any,
    backward_hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Tensor:
    """Returns a tensor of `dtype` over untyped bytes."""
    _require(type(dtype) is DType, "a dtype", dtype)
    made = _with_metadata(_laid_over(storage, storage_offset, size, stride, dtype), metadata)
    return _with_grad(made, requires_grad, backward_hooks)


def _with_metadata(made: Tensor, metadata: Any) -> Tensor:
    if not metadata:
        return made
    _require(type(metadata) is dict and set(metadata) <= {"conj", "neg"}, "the metadata conj and neg", metadata)
    if metadata.get("conj"):
        made = made.conj()
    return -made if metadata.get("neg") else made


def _with_grad(made: Tensor, requires_grad: Any, hooks: Any) -> Tensor:
    _require(type(requires_grad) is bool, "True or False as requires_grad", requires_grad)
    _require(not hooks, "no backward hooks: a file cannot bring functions", hooks)
    return made.requires_grad_() if requires_grad else made


@_pickled("_rebuild_parameter")
def parameter_v1(data: Any, requires_grad: Any, backward_hooks: Any) -> Parameter:
    """Returns a parameter on the memory of a tensor."""
    _require(not backward_hooks, "no backward hooks: a file cannot bring functions", backward_hooks)
    return parameter(data, requires_grad)


@_pickled("_rebuild_parameter_with_state")
def parameter_with_state(data: Any, requires_grad: Any, backward_hooks: Any, state: Any) -> Parameter:
    """Returns a parameter with Python attributes."""
    made = parameter_v1(data, requires_grad, backward_hooks)
    _set_attributes(made, state)
    return made


def parameter(data: Any = None, requires_grad: Any = True) -> Parameter:
    """Returns `Parameter(data, requires_grad)`."""
    _require(isinstance(data, Tensor), "a tensor", data)
    _require(type(requires_grad) is bool, "True or False as requires_grad", requires_grad)
    return Parameter(data, requires_grad)


def from_type(function: Any, cls: Any, args: Any, state: Any) -> Tensor:
    """Returns a tensor with Python attributes, or of a class that was added to the safe globals."""
    _require(
        function in (tensor, tensor_v2, tensor_v3, parameter_v1) and type(args) is tuple,
        "a function that rebuilds",
        function,
    )
    made = function(*args)
    _require(isinstance(cls, type) and issubclass(cls, Tensor), "a class of tensors", cls)
    if type(made) is not cls:
        made = made.as_subclass(cls)
    if state:
        _set_attributes(made, state)
    return made


def _set_attributes(made: Tensor, state: Any) -> None:
    _require(
        type(state) is dict and all(type(name) is str and name.isidentifier() for name in state),
        "attributes by name",
        state,
    )
    made.__dict__.update(state)


# ---- the small things beside them ------------------------------------------------------------------------------------


def size(lengths: Any = ()) -> Size:
    """Returns a torch.Size."""
    _require(isinstance(lengths, (tuple, list)) and all(type(length) is int for length in lengths), "integers", lengths)
    return Size(lengths)


def device(kind: Any, index: Any = None) -> Device:
    """Returns a torch.device; it need not exist here."""
    _require(type(kind) is str and len(kind) < 100, "the name of a device", kind)
    _require(index is None or type(index) is int and -1 <= index < 1 << 15, "the index of a device", index)
    return Device(kind) if index is None or index < 0 else Device(kind, index)


def layout(name: Any) -> layouts.Layout:
    """Returns a layout by its printed name."""
    known = {repr(each): each for each in (layouts.strided, layouts.sparse_coo)}
    _require(type(name) is str and name in known, "torch.strided or torch.sparse_coo", name)
    return known[name]


def generator(where: Any = "cpu") -> Generator:
    """Returns a fresh generator; its state follows."""
    _require(isinstance(where, (Device, str)), "a device", where)
    return Generator(where)


def fill_generator(made: Generator, state: Any) -> None:
    """Gives a generator the state that was saved: (seed, offset, state tensor)."""
    _require(
        isinstance(state, tuple) and len(state) == 3 and isinstance(state[2], Tensor), "a generator's state", state
    )
    made.set_state(state[2])


# ---- Python's own ----------------------------------------------------------------------------------------------------


def check_key(key: Any, depth: int = 0) -> None:
    """Raises UnpicklingError for keys that could not be hashed in bounded time and depth."""
    if isinstance(key, (tuple, frozenset)) and depth < 8 and len(key) < 1000:
        for item in key:
            check_key(item, depth + 1)
        return
    if type(key) is int:
        # Integers beyond the modulus of Python's hash can be chosen to collide, which makes a dict quadratic.
        _require(-1 << 60 < key < 1 << 60, "a key below 2**60", key)
    known = (str, bytes, int, float, complex, type(None), DType, Device, type)
    _require(isinstance(key, known), "a key that is a name or a number", key)


def _pairs(args: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    _require(len(args) <= 1, "at most one argument", args)
    if not args:
        return []
    items = args[0]
    _require(isinstance(items, (list, tuple, dict)), "a list of pairs", items)
    pairs = list(items.items()) if isinstance(items, dict) else list(items)
    for pair in pairs:
        _require(isinstance(pair, (list, tuple)) and len(pair) == 2, "a pair", pair)
        check_key(pair[0])
    return [(key, value) for key, value in pairs]


def ordered_dict(*args: Any) -> OrderedDict[Any, Any]:
    """Returns an OrderedDict, empty or of pairs."""
    return OrderedDict(_pairs(args))


def counter(*args: Any) -> Counter[Any]:
    """Returns a Counter of counts by key."""
    pairs = _pairs(args)
    for _, count in pairs:
        _require(type(count) is int and not _is_huge(count), "a count", count)
    return Counter(dict(pairs))


_FACTORIES = (dict, list, set, int, float, str, bool, OrderedDict, Counter, None)


def default_dict(*args: Any) -> defaultdict[Any, Any]:
    """Returns a defaultdict that makes plain empty values."""
    factory = args[0] if args else None
    _require(any(factory is each for each in _FACTORIES), "dict, list, set, int, float, str or bool", factory)
    return defaultdict(factory, _pairs(args[1:]))


def encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Returns bytes that were written as text: how old pickle protocols keep bytes."""
    _require(
        type(text) is str and encoding in ("latin1", "latin-1", "ascii", "utf-8"), "text to encode as latin1", text
    )
    return text.encode(encoding)


def byte_array(*args: Any) -> bytearray:
    """Returns a bytearray of given bytes."""
    if len(args) == 2:
        return bytearray(encode(*args))
    _require(not args or isinstance(args[0], (bytes, bytearray)) and len(args) == 1, "bytes", args[0] if args else None)
    return bytearray(*args)


def plain_set(items: Any = ()) -> set[Any]:
    """Returns a set of names and numbers."""
    _require(isinstance(items, (list, tuple)), "a list", items)
    for item in items:
        check_key(item)
    return set(items)


def frozen_set(items: Any = ()) -> frozenset[Any]:
    """Returns a frozenset of names and numbers."""
    return frozenset(plain_set(items))


def complex_number(real: Any = 0.0, imag: Any = 0.0) -> complex:
    """Returns a complex number."""
    for part in (real, imag):
        _require(type(part) in (int, float) and not _is_huge(part), "a number", part)
    return complex(real, imag)


def plain_slice(*bounds: Any) -> slice:
    """Returns a slice."""
    _check_bounds(bounds)
    return slice(*bounds)


def plain_range(*bounds: Any) -> range:
    """Returns a range."""
    _check_bounds(bounds)
    return range(*bounds)


def _check_bounds(bounds: tuple[Any, ...]) -> None:
    _require(1 <= len(bounds) <= 3, "one to three bounds", bounds)
    for bound in bounds:
        _require(bound is None or type(bound) is int, "an integer or None", bound)
