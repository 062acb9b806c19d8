"""Automatic mixed precision: where it is on, what each function computes in there, and the casts of arguments.

`CASTING` is empty unless autocast is on in some context: a function of the table asks that first, so that it costs nothing
where nobody uses autocast. Then `casting(name)` says how to call it here:

    if CASTING and (cast := casting("matmul")) is not None:
        return cast(matmul, input, other, out=out)

`declare` puts a function that asks around those of the table that do not ask themselves.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from torchplug._core.autocast_policies import (
    CASTABLE,
    DEFAULT_DTYPES,
    FLOAT32,
    LOWER,
    PROMOTE,
    REFUSED,
    policies_of,
)
from torchplug._core.modes import grad_enabled
from torchplug._core.node import AccumulateGrad
from torchplug._core.operands import convert
from torchplug._core.tensor import Tensor
from torchplug._core.tracing import current_trace
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["CASTING", "State", "casting", "change", "guards", "state", "uncast"]

_F = TypeVar("_F", bound=Callable[..., Any])

CASTING: list[None] = []
"""One entry for every state alive that has autocast on: empty means that no context anywhere can have it on."""


class State:
    """What autocast is set to: where it is on, with which types, how deeply nested, and whether casts are kept.

    States are not changed but replaced, see `change`; only the kept casts are shared by all states of a context.
    """

    __slots__ = ("cache", "caching", "dtypes", "enabled", "nesting", "quiet", "rules")

    def __init__(
        self,
        enabled: frozenset[str] = frozenset(),
        dtypes: Mapping[str, DType] = DEFAULT_DTYPES,
        nesting: int = 0,
        caching: bool = True,
        cache: dict[tuple[int, DType], Any] | None = None,
        inside: bool = False,
    ) -> None:
        self.enabled = enabled
        self.dtypes = dtypes
        self.nesting = nesting
        self.caching = caching
        self.cache = {} if cache is None else cache
        self.rules: Mapping[str, Cast] = {} if inside or not enabled else rules_for(enabled)
        self.quiet: State | None = None
        if self.rules:
            self.quiet = State(enabled, dtypes, nesting, caching, self.cache, inside=True)
            CASTING.append(None)

    def __del__(self) -> None:
        # A state whose making failed has no rules yet.
        if getattr(self, "rules", None):
            CASTING.pop()


_state: ContextVar[State] = ContextVar("autocast", default=State())  # noqa: B039 -- states are not changed
state = _state.get


def change(
    enabled: frozenset[str] | None = None,
    dtypes: Mapping[str, DType] | None = None,
    nesting: int | None = None,
    caching: bool | None = None,
) -> None:
    """Replaces the state of this context by one that differs in what is given."""
    now = _state.get()
    _state.set(
        State(
            now.enabled if enabled is None else enabled,
            now.dtypes if dtypes is None else dtypes,
            now.nesting if nesting is None else nesting,
            now.caching if caching is None else caching,
            # The default state is every context's: its kept casts are nobody's.
            now.cache if now.nesting or now.enabled else None,
        )
    )


def guards() -> Any:
    """Returns what a compiled function depends on: the types that autocast is on with."""
    if not CASTING:
        return None
    now = _state.get()
    return frozenset((kind, now.dtypes[kind]) for kind in now.enabled) if now.rules else None


class Cast:
    """How a function is called where autocast is on: `cast(function, *args, **kwargs)` with that function's arguments.

    A call with `out=` is not cast, as in PyTorch; nothing inside the call is.
    """

    __slots__ = ("name", "policies")

    def __init__(self, name: str, policies: dict[str, str]) -> None:
        self.name = name
        self.policies = policies

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        now = _state.get()
        token = _state.set(now.quiet or now)
        try:
            if kwargs.get("out") is None:
                device_type = self._device_type(args, kwargs)
                if device_type is not None:
                    args, kwargs = self._prepared(now, device_type, args, kwargs)
            return function(*args, **kwargs)
        finally:
            _state.reset(token)

    def _device_type(self, args: tuple, kwargs: dict[str, Any]) -> str | None:
        """Returns the type of device whose policy holds: an accelerator's before that of the host."""
        if len(self.policies) == 1:
            for value in args:
                if isinstance(value, Tensor) and value._kind.device.type in self.policies:
                    return value._kind.device.type
        found = {x._kind.device.type for x in _tensors((args, kwargs))} & self.policies.keys()
        if len(found) > 1:
            found.discard("cpu")
        return min(found) if found else None

    def _prepared(self, now: State, device_type: str, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        policy = self.policies[device_type]
        if policy is LOWER:
            dtype = now.dtypes[device_type]
        elif policy is FLOAT32:
            dtype = dt.float32
        elif policy is PROMOTE:
            dtype = _widest(now.dtypes[device_type], device_type, (args, kwargs))
        elif policy is REFUSED:
            raise RuntimeError(UNSAFE)
        else:  # FLOAT32_DTYPE
            if any(isinstance(value, DType) for value in (*args, *kwargs.values())):
                return args, kwargs
            dtype = dt.float32
            if args:
                return (_cast(args[0], dtype, device_type, now), *args[1:]), kwargs
        given = [_cast(x, dtype, device_type, now) if isinstance(x, CONTAINERS) else x for x in args]
        if any(isinstance(x, CONTAINERS) for x in kwargs.values()):
            kwargs = {name: _cast(x, dtype, device_type, now) for name, x in kwargs.items()}
        return tuple(given), kwargs


CONTAINERS = (Tensor, list, tuple)
"""Types of arguments that are tensors, or may hold some."""

UNSAFE = (
    "torch.nn.functional.binary_cross_entropy and torch.nn.BCELoss are unsafe to autocast.\n"
    "Many models use a sigmoid layer right before the binary cross entropy layer.\n"
    "In this case, combine the two layers using torch.nn.functional.binary_cross_entropy_with_logits\n"
    "or torch.nn.BCEWithLogitsLoss.  binary_cross_entropy_with_logits and BCEWithLogits are\n"
    "safe to autocast."
)

_RULES: dict[frozenset[str], dict[str, Cast]] = {}


def rules_for(enabled: frozenset[str]) -> dict[str, Cast]:
    """Returns the casts of all functions where autocast is on for these types of devices."""
    rules = _RULES.get(enabled)
    if rules is None:
        tables = {kind: policies_of(kind) for kind in enabled}
        rules = _RULES[enabled] = {
            name: Cast(name, {kind: table[name] for kind, table in tables.items() if name in table})
            for name in set().union(*tables.values())
        }
    return rules


def casting(name: str) -> Cast | None:
    """Returns how to call a function of the table here, None where autocast leaves it alone."""
    return _state.get().rules.get(name)


def asking(name: str, function: _F) -> _F:
    """Returns a function of the table as one that asks for its cast first; itself if it already does."""
    import functools

    if name not in CASTABLE or "CASTING" in function.__code__.co_names:
        return function

    @functools.wraps(function)
    def asks(*args: Any, **kwargs: Any) -> Any:
        if CASTING and (cast := casting(name)) is not None:
            return cast(function, *args, **kwargs)
        return function(*args, **kwargs)

    return asks  # type: ignore[return-value]  # the function it stands for


def uncast(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a function with autocast off inside: what writes in place is not cast."""
    now = _state.get()
    token = _state.set(now.quiet or now)
    try:
        return function(*args, **kwargs)
    finally:
        _state.reset(token)


# ---- casts of arguments ----------------------------------------------------------------------------------------------


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yields the tensors among arguments, also those in lists."""
    if isinstance(value, Tensor):
        yield value
    elif type(value) in (list, tuple):
        for item in value:
            yield from _tensors(item)
    elif type(value) is dict:
        yield from _tensors(list(value.values()))


def _widest(lower: DType, device_type: str, arguments: Any) -> DType:
    """Returns float32 if a tensor has it, the lower type if none has; PyTorch's error for a third type."""
    widest = lower
    for x in _tensors(arguments):
        dtype = x._kind.dtype
        if not dtype.is_floating_point or dtype is dt.float64 or x._kind.device.type != device_type:
            continue
        if dtype is dt.float32:
            widest = dt.float32
        elif widest is not dt.float32 and dtype is not lower:
            raise RuntimeError("Unexpected floating ScalarType in at::autocast::prioritize")
    return widest


def _cast(value: Any, dtype: DType, device_type: str, now: State) -> Any:
    """Returns an argument with the floating tensors of a type of device as `dtype`, float64 ones left alone."""
    if isinstance(value, Tensor):
        kind = value._kind
        own = kind.dtype
        if own is dtype or not own.is_floating_point or own is dt.float64 or kind.device.type != device_type:
            return value
        if own is dt.float32 and dtype is not own and now.caching and type(value._node) is AccumulateGrad:
            return _kept(value, dtype, now)
        return convert(value, dtype)
    if type(value) in (list, tuple):
        return type(value)(_cast(item, dtype, device_type, now) for item in value)
    return value


def _kept(leaf: Tensor, dtype: DType, now: State) -> Tensor:
    """Returns a leaf cast to the lower type, made once until autocast ends or the leaf is written."""
    if not grad_enabled() or current_trace() is not None or leaf._kind.engine.is_tracing(leaf._array):
        return convert(leaf, dtype)
    cell = leaf._cell
    if cell is not None and leaf._view is not None and leaf._view.base is not None:
        return convert(leaf, dtype)
    version = 0 if cell is None else cell.version
    known = now.cache.get((id(leaf), dtype))
    if known is not None:
        of, written, cast = known
        if of() is leaf and written == version:
            return cast
    cast = convert(leaf, dtype)
    now.cache[id(leaf), dtype] = weakref.ref(leaf), version, cast
    return cast
