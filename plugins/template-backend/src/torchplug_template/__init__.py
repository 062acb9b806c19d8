"""The torchplug backend template: the plugin that the entry point names."""

from collections.abc import Callable

from torchplug_spec import Backend
from torchplug_spec.hookspecs import hookimpl

from torchplug_template.backend import TemplateBackend

__all__ = ["TemplateBackend", "plugin"]


class Plugin:
    """What this distribution brings to torchplug."""

    @hookimpl
    def register_backend(self, register: Callable[[Callable[[], Backend]], None]) -> None:
        register(TemplateBackend)


plugin = Plugin()
