"""The torchplug backend array-api-strict: the plugin that the entry point names."""

from collections.abc import Callable

from torchplug_spec import Backend
from torchplug_spec.hookspecs import hookimpl

from torchplug_array_api_strict.backend import ArrayApiStrictBackend

__all__ = ["ArrayApiStrictBackend", "plugin"]


class Plugin:
    """What this distribution brings to torchplug."""

    @hookimpl
    def register_backend(self, register: Callable[[Callable[[], Backend]], None]) -> None:
        register(ArrayApiStrictBackend)


plugin = Plugin()
