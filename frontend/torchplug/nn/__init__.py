"""Neural networks: Module, layers, containers, losses, initialization, functions."""

from torchplug.nn import common_types, functional, init, modules, parallel, parameter, utils
from torchplug.nn.modules import *  # noqa: F403 -- every layer is listed in modules/__init__.py
from torchplug.nn.modules import __all__ as _layers
from torchplug.nn.parallel import DataParallel
from torchplug.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

__all__ = [
    "Buffer", "DataParallel", "Parameter", "UninitializedBuffer", "UninitializedParameter", "common_types", "functional",
    "init", "modules", "parallel", "parameter", "utils",
]  # fmt: skip
__all__ += _layers
