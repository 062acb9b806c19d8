"""Generators of random numbers: PyTorch's CPU stream, delivered to whatever engine a tensor lives on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from torchplug._core.device import Device, as_device
from torchplug._core.mt19937 import HostGenerator
from torchplug._core.tensor import Tensor, laid_out, memory_order, shape_of, wrap
from torchplug._core.tracing import current_trace
from torchplug_spec import dtypes as dt

__all__ = [
    "Generator", "default_generator", "draw", "draw_like", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state",
]  # fmt: skip


class Generator:
    """A stream of random numbers: the same numbers as torch.Generator's from the same seed, on every engine.

    `device` is kept for programs that ask; the stream is drawn on the host whatever it is.
    """

    __slots__ = ("__weakref__", "_device", "_host")
    __module__ = "torch"

    def __init__(self, device: Any = "cpu") -> None:
        self._device = as_device(device)
        self._host: HostGenerator | None = None

    @property
    def host(self) -> HostGenerator:
        """The stream itself, made at the first use: it brings numpy.random with it."""
        if self._host is None:
            self._host = HostGenerator()
        return self._host

    @property
    def device(self) -> Device:
        """The device the generator was made for."""
        return self._device

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream of `seed`; returns self."""
        self.host.manual_seed(_as_seed(seed))
        return self

    def seed(self) -> int:
        """Starts the stream of a seed from the operating system; returns the seed."""
        return self.host.seed()

    def initial_seed(self) -> int:
        """Returns the seed the stream was started with."""
        return self.host.initial_seed()

    def get_state(self) -> Tensor:
        """Returns the state as a ByteTensor in PyTorch's layout (5056 bytes)."""
        return _state_tensor(self.host.get_state())

    def set_state(self, new_state: Tensor) -> None:
        """Continues from a state that `get_state` (or PyTorch's) returned."""
        self.host.set_state(_state_array(new_state))

    def clone_state(self) -> Generator:
        """Returns a generator with the same state."""
        other = Generator(self._device)
        other._host = self.host.clone()
        return other

    def __reduce__(self) -> Any:
        return _restore, (str(self._device), self.host.get_state())


def _restore(device: str, state: np.ndarray) -> Generator:
    generator = Generator(device)
    generator.host.set_state(state)
    return generator


def _as_seed(seed: Any) -> int:
    if isinstance(seed, float) or not (hasattr(seed, "__index__") or isinstance(seed, Tensor)):
        raise TypeError(f"manual_seed expected a long, but got {type(seed).__name__}")
    return int(seed)


def _state_tensor(state: np.ndarray) -> Tensor:
    from torchplug._core.kind import engine_for

    kind = engine_for("numpy").kind(dt.uint8)
    return wrap(state, kind)


def _state_array(state: Any) -> np.ndarray:
    if not isinstance(state, Tensor):
        raise TypeError(f"expected a torch.ByteTensor, but got {type(state).__name__}")
    if state._kind.dtype is not dt.uint8:
        raise TypeError(f"expected a torch.ByteTensor, but got {state._kind.dtype}")
    from torchplug._core.host import host_array

    return np.ascontiguousarray(host_array(state))


default_generator = Generator()


def draw(kind: Any, generator: Generator | None, method: str, *args: Any) -> Tensor:
    """Returns a tensor of `kind` drawn by a HostGenerator method; while compile traces, drawn anew at every run."""
    host = (generator or default_generator).host
    trace = current_trace()
    if trace is not None:
        return wrap(trace.host_input(kind, host, method, args), kind)
    return wrap(kind.F.from_numpy(getattr(host, method)(*args), kind.native_device), kind)


def draw_like(x: Tensor, kind: Any, generator: Generator | None, method: str, *args: Any) -> Tensor:
    """Returns a tensor of the size of `x`, its numbers drawn in the order in which the elements of `x` lie in memory.

    `args` follow the size in the call of the method.
    """
    order = memory_order(x)
    shape = shape_of(x)
    if order is None:
        return draw(kind, generator, method, shape, *args)
    return laid_out(draw(kind, generator, method, tuple(shape[dim] for dim in order), *args), order)


def manual_seed(seed: int) -> Generator:
    """Starts the default stream of `seed`; returns the default generator."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Starts the default stream of a seed from the operating system; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """Returns the seed of the default stream."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """Returns the state of the default generator, a ByteTensor."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Sets the state of the default generator."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, *, device_type: str = "cuda") -> Iterator[None]:
    """Restores the default generator's state at the end of the block."""
    if not enabled:
        yield
        return
    state = default_generator.host.get_state()
    try:
        yield
    finally:
        default_generator.host.set_state(state)
