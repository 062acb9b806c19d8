"""The strict engine: NumPy made opaque and immutable, with the required functions and nothing else.

It finds what a front end assumes beyond the contract, and stands in for a GPU or JAX where there is none.
"""

from collections.abc import Callable

from torchplug_spec.hookspecs import hookimpl
from torchplug_strict.array import StrictArray, StrictDType
from torchplug_strict.engine import StrictBackend

__all__ = ["Plugin", "StrictArray", "StrictBackend", "StrictDType", "plugin"]


class Plugin:
    """What the entry point `strict` of the group `torchplug.backends` names."""

    @hookimpl
    def register_backend(self, register: Callable[[Callable[[], StrictBackend]], None]) -> None:
        register(StrictBackend)


plugin = Plugin()
