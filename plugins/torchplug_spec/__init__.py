"""The socket: what a torchplug backend is, how it is found, and the words both sides share."""

from torchplug_spec.array_api import ArrayAPIBackend
from torchplug_spec.backend import API_VERSION, CAPABILITIES, Backend, capability_for, kernel, required_functions
from torchplug_spec.dtypes import DType
from torchplug_spec.errors import (
    BackendContractError,
    BackendError,
    BackendNotFoundError,
    BackendUnavailableError,
    NotSupportedError,
)
from torchplug_spec.ops import OpDeclaration

__all__ = [
    "API_VERSION",
    "CAPABILITIES",
    "ArrayAPIBackend",
    "Backend",
    "BackendContractError",
    "BackendError",
    "BackendNotFoundError",
    "BackendUnavailableError",
    "DType",
    "NotSupportedError",
    "OpDeclaration",
    "capability_for",
    "kernel",
    "required_functions",
]
