"""The hooks a plugin may implement: each hands it a `register` to call.

Importing this module imports pluggy, so only plugins and the loader do, never `import torchplug`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pluggy

from torchplug_spec.backend import Backend
from torchplug_spec.ops import OpDeclaration

__all__ = ["hookimpl", "hookspec", "register_backend", "register_kernels", "register_ops", "set_num_threads"]

hookspec = pluggy.HookspecMarker("torchplug")
"""Marks a specification; only this file needs it."""

hookimpl = pluggy.HookimplMarker("torchplug")
"""Marks a plugin's implementation of a hook: `@hookimpl def register_backend(self, register): ...`."""


@hookspec
def register_backend(register: Callable[[Callable[[], Backend]], None]) -> None:
    """Offers a backend: call `register(MyBackend)` with the class, or with a function that returns an instance.

    Nothing is built before a program asks for the backend. Building it may raise BackendUnavailableError (or
    ImportError) with the reason it cannot be used on this machine. Its `name` must be the name of the entry point.
    """


@hookspec
def register_kernels(register: Callable[[str, str, Callable[..., Any]], None]) -> None:
    """Offers kernels for somebody else's backend: call `register(backend, kernel, function)` once for each.

    `function` takes what a method marked `@kernel(kernel)` takes after `self`. Marked `@kernel(kernel, partial=True)`
    it may return NotImplemented, and the kernel it replaces takes the call. It is used once a program selects the plugin
    by name ("numpy+name" for a backend, `enable`, or `TORCHPLUG_PLUGINS`), never because the plugin is installed.
    """


@hookspec
def register_ops(register: Callable[[OpDeclaration], None]) -> None:
    """Offers ops: call `register(OpDeclaration(name, function, ...))` once for each.

    Each becomes `torchplug.<name>` and a method of Tensor once a program selects the plugin by name, as with
    `register_kernels`. A name that torchplug or another selected plugin has already is refused.
    """


@hookspec
def set_num_threads(count: int) -> None:
    """Tells how many threads a kernel may use: called once the plugin has loaded, and by `torch.set_num_threads`."""
