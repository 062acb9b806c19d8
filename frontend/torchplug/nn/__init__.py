"""Neural networks: Module, layers, containers, losses, initialization, functions."""

from torchplug.nn import functional, init, modules, parameter, utils
from torchplug.nn.modules import *  # noqa: F403 -- every layer is listed in modules/__init__.py
from torchplug.nn.modules import __all__ as _layers
from torchplug.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "functional",
    "init",
    "modules",
    "parameter",
    "utils",
]
__all__ += _layers
