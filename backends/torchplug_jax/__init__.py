"""The JAX engine: XLA on CPU, GPU and TPU. JAX itself is imported when the backend is built, not with this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torchplug_spec.errors import BackendUnavailableError
from torchplug_spec.hookspecs import hookimpl

if TYPE_CHECKING:
    from torchplug_jax.engine import JAXBackend

__all__ = ["Plugin", "build", "plugin"]


def build() -> JAXBackend:
    """Returns the engine over the devices JAX finds; BackendUnavailableError when JAX is missing or cannot start."""
    try:
        import jax
    except ImportError as error:
        unavailable = BackendUnavailableError(f"jax cannot be imported ({error})")
        unavailable.remedy = "pip install torchplug[jax]"
        raise unavailable from error
    try:
        jax.devices()
    except RuntimeError as error:
        unavailable = BackendUnavailableError(f"jax {jax.__version__} finds no device: {error}")
        unavailable.remedy = "set JAX_PLATFORMS=cpu to compute on the CPU"
        raise unavailable from error
    from torchplug_jax.engine import JAXBackend

    return JAXBackend()


class Plugin:
    """What the entry point `jax` of the group `torchplug.backends` names."""

    @hookimpl
    def register_backend(self, register: Callable[[Callable[[], JAXBackend]], None]) -> None:
        register(build)


plugin = Plugin()
