"""Checkpoints: `save` and `load` in PyTorch's formats, safetensors, and the list of what a file may name."""

from typing import TYPE_CHECKING, Any

from torchplug.serialization.loading import get_unsafe_globals_in_checkpoint, load
from torchplug.serialization.safe_globals import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals
from torchplug.serialization.saving import DEFAULT_PROTOCOL, save

if TYPE_CHECKING:
    from torchplug.serialization.legacy import MAGIC_NUMBER, PROTOCOL_VERSION
    from torchplug.serialization.locations import location_tag
    from torchplug.serialization.safetensors_files import load_safetensors, save_safetensors

__all__ = [
    "DEFAULT_PROTOCOL", "MAGIC_NUMBER", "PROTOCOL_VERSION", "add_safe_globals", "clear_safe_globals", "get_safe_globals",
    "get_unsafe_globals_in_checkpoint", "load", "load_safetensors", "location_tag", "safe_globals", "save", "save_safetensors",
]  # fmt: skip

_ON_FIRST_USE = {
    "MAGIC_NUMBER": "legacy", "PROTOCOL_VERSION": "legacy", "location_tag": "locations",
    "load_safetensors": "safetensors_files", "save_safetensors": "safetensors_files",
}  # fmt: skip


if not TYPE_CHECKING:  # checkers read the imports above, and so see misspelt names

    def __getattr__(name: str) -> Any:
        """Imports what few programs need when it is first named."""
        import importlib

        if name not in _ON_FIRST_USE:
            raise AttributeError(f"module 'torchplug.serialization' has no attribute '{name}'")
        value = globals()[name] = getattr(
            importlib.import_module(f"torchplug.serialization.{_ON_FIRST_USE[name]}"), name
        )
        return value
