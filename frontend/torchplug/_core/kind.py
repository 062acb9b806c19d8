"""What a tensor is made of: an engine's kernels bound for one device and one element type."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torchplug._core.kernels import COMPOSITIONS, OPS, known_kernels
from torchplug._core.numbers import wrapped
from torchplug_spec import Backend, DType, NotSupportedError, capability_for
from torchplug_spec import dtypes as _dtypes
from torchplug_spec.backend import in_place_of

__all__ = ["Engine", "Kind", "Namespace", "engine_for", "forget", "loaded"]


class Namespace:
    """The kernels of one engine over its raw arrays, by name: `F.softmax(x, 1)`.

    A name resolves once, to the first of: a kernel contributed by a plugin, the backend's own function, the default
    composition bound to this namespace. The result is stored, so that every later use is one attribute look-up.
    """

    backend: Backend
    raw = True

    def __init__(self, backend: Backend, overrides: dict[str, Callable[..., Any]]) -> None:
        self.backend = backend
        self._overrides = own = _own_kernels(backend)
        for name, function in overrides.items():
            own[name] = in_place_of(own[name], function) if name in own else function

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        function = self.find(name)
        setattr(self, name, function)
        return function

    def find(self, name: str) -> Callable[..., Any]:
        """Returns the kernel `name`; AttributeError when neither engine nor composition has it."""
        own = self._overrides.get(name)
        if own is not None and not getattr(own, "__torchplug_partial__", False):
            return own
        default = self._default(name)
        return default if own is None else in_place_of(default, own)

    def _default(self, name: str) -> Callable[..., Any]:
        if name not in COMPOSITIONS:
            return getattr(self.backend, name)
        composed = functools.partial(COMPOSITIONS[name], self)
        fuse = getattr(self.backend, "fuse", None)
        return composed if fuse is None else fuse(composed)

    def has_own(self, name: str) -> bool:
        """Says whether the engine (or a plugin for it) implements `name` itself."""
        return name in self._overrides or (name not in COMPOSITIONS and hasattr(self.backend, name))

    def has_part(self, name: str) -> bool:
        """Says whether the engine's own `name` leaves some arguments to the composition."""
        return name in COMPOSITIONS and getattr(self._overrides.get(name), "__torchplug_partial__", False)


def _own_kernels(backend: Backend) -> dict[str, Callable[..., Any]]:
    own = dict(backend.extra_kernels()) if hasattr(backend, "extra_kernels") else {}
    for attribute in dir(type(backend)):
        name = getattr(getattr(type(backend), attribute), "__torchplug_kernel__", None)
        if name is not None:
            own[name] = getattr(backend, attribute)
    return own


class Kind:
    """Engine, device and element type of a tensor: one object per combination, compared by identity.

    `x._kind is y._kind` is the whole test that two tensors need no promotion and no transfer.
    """

    __slots__ = (
        "F",
        "_scalars",
        "by_native",
        "device",
        "dtype",
        "engine",
        "inexact",
        "mutable",
        "native_device",
        "table",
    )

    def __init__(self, engine: Engine, native_device: str, dtype: DType) -> None:
        from torchplug._core.device import device_of_engine

        self.engine = engine
        self.F = engine.F
        self.table = engine.table
        self.native_device = native_device
        self.device = device_of_engine(engine, native_device)
        self.dtype = dtype
        self.inexact = dtype.is_floating_point or dtype.is_complex
        self.mutable = engine.mutable
        self.by_native: dict[Any, Kind] = engine.by_native.setdefault(native_device, {})
        self._scalars: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"<{self.engine.name} {self.native_device} {self.dtype.name}>"

    def to(self, dtype: DType) -> Kind:
        """Returns the kind of the same device with another element type."""
        return self.engine.kind(dtype, self.native_device)

    def of(self, array: Any) -> Kind:
        """Returns the kind of an engine array of this kind's device."""
        found = self.by_native.get(array.dtype)
        return found if found is not None else self.engine.learn(array, self)

    def scalar(self, value: Any) -> Any:
        """Returns a Python number as a 0-d array of this kind, kept for the next use (zeros and NaN are not kept:
        0.0 == -0.0 and NaN equals nothing). An integer out of range is converted as from int64, modulo 2**bits."""
        array = self._scalars.get(value)
        if array is None:
            fitting = value if self.inexact else wrapped(int(value), self.dtype)
            array = self.F.full((), fitting, self.dtype, self.native_device)
            if value == value and value != 0 and not self.engine.is_tracing(array):
                if len(self._scalars) >= 1024:
                    self._scalars.clear()
                self._scalars[value] = array
        return array


class Engine:
    """A loaded backend: its raw namespace, its kernel table (one slot per declared op) and its kinds."""

    def __init__(
        self, backend: Backend, overrides: dict[str, Callable[..., Any]] | None = None, name: str | None = None
    ) -> None:
        self.backend = backend
        self.name = name or backend.name
        self.mutable = "mutable" in backend.capabilities
        self.F = Namespace(backend, overrides or {})
        self.table: list[Callable[..., Any]] = []
        self.by_native: dict[str, dict[Any, Kind]] = {}
        self._kinds: dict[tuple[str, DType], Kind] = {}
        self.is_tracing = backend.is_tracer
        self.extend_table()

    def __repr__(self) -> str:
        return f"<engine {self.name}>"

    def extend_table(self) -> None:
        """Binds the kernels of ops declared since the last call."""
        for op in OPS[len(self.table) :]:
            self.table.append(self.F.find(op.kernel))

    def set_threads(self, count: int) -> None:
        """Tells the backend how many threads to use for one op, where it can be told."""
        setter = getattr(self.backend, "set_num_threads", None)
        if setter is not None:
            setter(count)

    def refuse(self, refusal: Callable[..., Any]) -> None:
        """Puts a function that raises in the place of every kernel: this process was forked and must not use the engine."""
        self.table[:] = [refusal] * len(self.table)
        for name in vars(self.F):
            if not name.startswith("_") and name != "backend":
                setattr(self.F, name, refusal)

    def default_device(self) -> str:
        return self.backend.devices()[0]

    def kind(self, dtype: DType, native_device: str | None = None) -> Kind:
        """Returns the one Kind of `dtype` on a device (the default one if None)."""
        if native_device is None:
            native_device = self.default_device()
        found = self._kinds.get((native_device, dtype))
        if found is None:
            self._check_capability(dtype)
            found = self._kinds[native_device, dtype] = Kind(self, native_device, dtype)
        return found

    def learn(self, array: Any, like: Kind) -> Kind:
        """Returns the kind of an array whose native dtype is new on its device: the engine is asked for one array of
        every type it can hold, once."""
        for dtype in _dtypes.ALL:
            if self.lacks(dtype) is None:
                sample = self.F.full((), 0, dtype, like.native_device)
                like.by_native.setdefault(sample.dtype, self.kind(dtype, like.native_device))
        try:
            return like.by_native[array.dtype]
        except KeyError:
            raise TypeError(
                f"backend '{self.name}' returned an array of type {array.dtype}, which has no torch dtype"
            ) from None

    def adopt(self, array: Any) -> Kind:
        """Returns the kind of a raw array of this engine, whatever its device."""
        device = self.backend.device_of(array)
        return self.kind(_dtypes.float32, device).of(array)

    def lacks(self, dtype: DType) -> str | None:
        """Returns the capability that tensors of a dtype need and the backend does not have, None if it can hold them."""
        needed = capability_for(dtype)
        return needed if needed is not None and needed not in self.backend.capabilities else None

    def _check_capability(self, dtype: DType) -> None:
        missing = self.lacks(dtype)
        if missing is not None:
            raise NotSupportedError(f"a tensor of dtype {dtype}", self.name, missing)


_ENGINES: dict[str, Engine] = {}


def engine_for(name: str) -> Engine:
    """Returns the engine of a backend, loading it on first use; BackendError when it cannot be used."""
    engine = _ENGINES.get(name)
    if engine is None:
        from torchplug_spec import registry

        known = known_kernels()
        backend = registry.get(name, known)
        engine = _ENGINES[name] = Engine(backend, registry.kernels_for(name, known), name)
        registry.on_fork(backend.name, engine.refuse)
    if len(engine.table) != len(OPS):
        engine.extend_table()
    return engine


def forget(name: str) -> None:
    """Drops an engine, and those made of it and plugins, so that a backend registered anew under its name is used."""
    for known in [*_ENGINES]:
        if known.partition("+")[0] == name:
            del _ENGINES[known]


def loaded() -> tuple[str, ...]:
    """Returns the names of the engines in use in this process."""
    return tuple(_ENGINES)
