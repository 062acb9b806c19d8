"""The NumPy engine: the reference every other one is compared with, and the default."""

from collections.abc import Callable

from torchplug_numpy.engine import NumPyBackend
from torchplug_spec.hookspecs import hookimpl

__all__ = ["NumPyBackend", "plugin"]


class Plugin:
    """What the entry point `numpy` of the group `torchplug.backends` names."""

    @hookimpl
    def register_backend(self, register: Callable[[Callable[[], NumPyBackend]], None]) -> None:
        register(NumPyBackend)


plugin = Plugin()
