"""The NumPy engine: the reference every other one is compared with, and the default."""

from torchplug_numpy.engine import NumPyBackend
from torchplug_spec.hookspecs import hookimpl

__all__ = ["NumPyBackend", "plugin"]


class Plugin:
    """What the entry point `numpy` of the group `torchplug.backends` names."""

    @hookimpl
    def register_backend(self, register):  # type: ignore[no-untyped-def]  # pluggy matches the name alone
        register(NumPyBackend)


plugin = Plugin()
