"""Making a module without drawing its weights."""

from __future__ import annotations

from typing import Any

from torchplug.nn.modules.module import Module

__all__ = ["skip_init"]


def skip_init(module_cls: type, *args: Any, **kwargs: Any) -> Module:
    """Returns `module_cls(*args, **kwargs)` for weights that will be loaded: their start is unspecified.

    Raises RuntimeError for a class that is no Module or takes no `device`. The generator is left as it was.
    """
    import inspect

    from torchplug._core.random import fork_rng

    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    with fork_rng():
        return module_cls(*args, **kwargs)
