"""Neural networks: Module, layers, containers, losses, initialization."""

from torchplug.nn import init, parameter
from torchplug.nn.modules.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from torchplug.nn.modules.module import Module
from torchplug.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter
