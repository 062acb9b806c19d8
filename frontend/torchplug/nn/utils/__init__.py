"""Tools for training modules: gradient clipping, parameters as one vector."""

from torchplug.nn.utils.clip_grad import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from torchplug.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from torchplug.nn.utils.init import skip_init

__all__ = [
    "clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm",
    "parameters_to_vector", "skip_init", "vector_to_parameters",
]  # fmt: skip
