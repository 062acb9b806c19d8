"""JAX as a torchplug backend: immutable arrays, every function a cached `jax.jit`, which traces through unchanged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import jaxpr_as_fun

from torchplug_jax import meanings
from torchplug_jax.cache import use_cache
from torchplug_jax.fusion import Fusion
from torchplug_jax.losses import JAXLosses
from torchplug_jax.memory import JAXMemory
from torchplug_jax.nets import JAXNets
from torchplug_jax.recurrent import RecurrentKernels
from torchplug_spec.array_api import EXTRA_ELEMENTWISE, ArrayAPIBackend
from torchplug_spec.backend import Array, Shape
from torchplug_spec.dtypes import DType

__all__ = ["JAXBackend"]

_PLAIN = (
    "add", "subtract", "multiply", "divide", "maximum", "minimum", "equal", "less", "bitwise_and",
    "bitwise_or", "bitwise_invert", "abs", "exp", "log", "sin", "cos", "atan", "sqrt", "floor", "round", "where",
    "real", "imag", "conj",
)  # fmt: skip
"""Functions of the contract whose meaning in jax.numpy is PyTorch's."""

_STATIC = {
    "complex": (), "scatter_add": (), "matmul": (), "reshape": (1,), "permute_dims": (1,), "broadcast_to": (1,),
    "concat": (1,), "take": (2,), "argsort": (1, 2), "sum": (1, 2), "prod": (1, 2), "max": (1, 2), "argmax": (1, 2),
    "astype": (1,),
}  # fmt: skip
"""Functions of the contract written in `meanings`, with the places of their arguments that are not arrays."""

_STATIC_EXTRA = {
    "min": (1, 2), "all": (1, 2), "any": (1, 2), "argmin": (1, 2), "flip": (1,), "roll": (1, 2), "tril": (1,),
    "triu": (1,), "expand_dims": (1,), "squeeze": (1,), "stack": (1,), "cumulative_sum": (1,), "cumulative_prod": (1,),
    "sort": (1, 2), "take_along_axis": (2,), "searchsorted": (2,), "logaddexp": (),
}  # fmt: skip
"""The same for the functions beyond the contract."""

_LONGEST_HOST_RANGE = 65536
"""Longer ranges are computed on the device, where a fused multiply-add may round the last place otherwise."""


def _jit(function: Callable[..., Any], static: tuple[int, ...] = ()) -> Callable[..., Any]:
    # Inlined, so that a function called while another is traced leaves its operations there and no nested call.
    return jax.jit(function, static_argnums=static, inline=True)


class JAXBackend(JAXLosses, JAXNets, RecurrentKernels, JAXMemory, ArrayAPIBackend):
    """JAX arrays. Turns on 64-bit types for the process; subnormal numbers flush to zero, as XLA does."""

    name: ClassVar[str] = "jax"
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"complex", "float64", "float16", "bfloat16", "compile", "devices", "streams"}
    )
    fork_safe: ClassVar[bool] = False
    xp = jnp

    def __init__(self) -> None:
        self._fusion = Fusion()
        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]  # jax leaves it untyped
        super().__init__()
        for name in _PLAIN:
            setattr(self, name, _jit(getattr(jnp, name)))
        for name, static in _STATIC.items():
            setattr(self, name, _jit(getattr(meanings, name), static))
        self._floor_divide = _jit(meanings.floor_divide)
        self._remainder = _jit(jnp.remainder)
        self._pow = _jit(meanings.pow)
        self._powers = {exponent: _jit(power) for exponent, power in meanings.POWERS.items()}
        self._has_zero = _jit(lambda x: jnp.any(x == 0))
        self._filled = _jit(lambda shape, value, dtype: lax.full(shape, value, dtype), (0, 2))
        self._range = _jit(_range, (0, 3))
        self._spelling, self._devices = _spelled_devices()
        self._default = next(iter(self._devices))

    def extra_kernels(self) -> dict[str, Callable[..., Any]]:
        plain = {name: _jit(getattr(jnp, name)) for name in EXTRA_ELEMENTWISE if hasattr(jnp, name)}
        static = {name: _jit(getattr(meanings, name), places) for name, places in _STATIC_EXTRA.items()}
        return plain | static

    # ---- devices and transfer ---------------------------------------------------------------------------------------

    def devices(self) -> Sequence[str]:
        return list(self._devices)

    def device_of(self, x: Array) -> str:
        """Returns the device of `x`; the default one for a traced array, which has none yet."""
        if isinstance(x, jax.core.Tracer):
            return self._default
        return self._spelling[next(iter(x.devices()))]

    def to_device(self, x: Array, device: str) -> Array:
        return jax.device_put(x, self._devices[device])

    def synchronize(self, device: str) -> None:
        target = self._devices[device]
        for x in target.client.live_arrays():
            if target in x.devices() and not x.is_deleted():
                x.block_until_ready()

    def from_numpy(self, x: np.ndarray, device: str) -> Array:
        """Returns a copy, made here: JAX may look into the memory it is given, or copy it only later."""
        if device == self._default:
            return jnp.asarray(np.array(x))
        return jax.device_put(np.array(x), self._devices[device])

    def to_numpy(self, x: Array) -> np.ndarray:
        """Returns a copy, which may be written."""
        return np.array(x)

    # ---- creation ---------------------------------------------------------------------------------------------------

    def full(self, shape: Shape, value: complex, dtype: DType, device: str) -> Array:
        return self._placed(self._filled(tuple(shape), value, dtype.numpy), device)

    def arange(self, start: float, stop: float, step: float, dtype: DType, device: str) -> Array:
        """Element i is start + i * step in float64 (int64 for integers), rounded once."""
        count = max(0, math.ceil((stop - start) / step))
        wide: Any = np.float64 if dtype.is_floating_point else np.int64
        if count <= _LONGEST_HOST_RANGE:
            places = np.arange(count, dtype=wide) * wide(step) + wide(start)
            return self.from_numpy(places.astype(dtype.numpy), device)
        return self._placed(self._range(count, wide(start), wide(step), dtype.numpy), device)

    def _placed(self, x: Array, device: str) -> Array:
        if device == self._default or isinstance(x, jax.core.Tracer):
            return x
        return jax.device_put(x, self._devices[device])

    # ---- elementwise ------------------------------------------------------------------------------------------------

    def floor_divide(self, x: Array, y: Array) -> Array:
        """Raises RuntimeError("ZeroDivisionError") for an integer division by zero that can be seen now, on a CPU."""
        self._refuse_zero_divisor(y)
        return self._floor_divide(x, y)

    def remainder(self, x: Array, y: Array) -> Array:
        """Raises RuntimeError("ZeroDivisionError") for an integer division by zero that can be seen now, on a CPU."""
        self._refuse_zero_divisor(y)
        return self._remainder(x, y)

    def _refuse_zero_divisor(self, y: Array) -> None:
        # PyTorch raises on CPUs only, where looking costs no transfer.
        if isinstance(y, int):
            has_zero = y == 0
        elif isinstance(y, float) or y.dtype.kind not in "iu" or self.is_tracer(y):
            has_zero = False
        else:
            has_zero = self.device_of(y).startswith("cpu") and bool(self._has_zero(y))
        if has_zero:
            raise RuntimeError("ZeroDivisionError")

    def pow(self, x: Array, y: Array) -> Array:
        if (type(y) is float or type(y) is int) and x.dtype.kind not in "iu":
            special = self._powers.get(y)
            if special is not None:
                return special(x)
        return self._pow(x, y)

    # ---- capability `compile` ---------------------------------------------------------------------------------------

    def compile(self, fn: Callable[..., Any], donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        """Returns `fn`, from a list of arrays to a list of arrays, traced once per shapes and types, then run by XLA.

        `donate` gives the places of arrays whose memory the results may take; they must not be used afterwards.
        """

        use_cache()

        def flat(*arrays: Array) -> Any:
            return fn(list(arrays))

        flat.__name__ = flat.__qualname__ = getattr(fn, "__name__", "compiled")
        # Memory that is given but not read is kept too: results are put there.
        traced = jax.jit(flat, donate_argnums=donate, keep_unused=bool(donate))

        def compiled(arrays: Sequence[Array]) -> Any:
            return traced(*arrays)

        return compiled

    def trace(self, fn: Callable[..., Any], arrays: Sequence[Array]) -> Callable[..., Any]:
        """Returns what `fn`, from a list of arrays to a list of arrays, computes from arrays of these shapes and types.

        `fn` runs once, here; the result runs none of its Python again, and may be called within other traced functions.
        """
        program = jaxpr_as_fun(jax.jit(lambda *given: fn(list(given))).trace(*arrays).jaxpr)

        def traced(given: Sequence[Array]) -> Any:
            return program(*given)

        return traced

    def duplicate(self, x: Array) -> Array:
        """Returns an array with memory of its own, which may be donated."""
        return jnp.array(x, copy=True)

    def is_tracer(self, x: Array) -> bool:
        traced = isinstance(x, jax.core.Tracer)
        if traced:
            self._fusion.refuse()
        return traced

    def fuse(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a composition of this backend's functions compiled as a whole for eager calls."""
        return self._fusion.fused(function)


def _range(count: int, start: Array, step: Array, dtype: Any) -> Array:
    return (lax.iota(start.dtype, count) * step + start).astype(dtype)


def _spelled_devices() -> tuple[dict[Any, str], dict[str, Any]]:
    """Returns device -> spelling and spelling -> device: the default platform's first, then the CPU's."""
    found = list(jax.local_devices())
    if found[0].platform != "cpu":
        try:
            found += jax.local_devices(backend="cpu")
        except RuntimeError:  # JAX_PLATFORMS may name the accelerator alone
            pass
    spelling = {}
    places: dict[str, int] = {}
    for device in found:
        kind = {"gpu": "cuda", "rocm": "cuda"}.get(device.platform, device.platform)
        place = places[kind] = places.get(kind, -1) + 1
        spelling[device] = "cpu" if kind == "cpu" and place == 0 else f"{kind}:{place}"
    return spelling, {spelled: device for device, spelled in spelling.items()}
