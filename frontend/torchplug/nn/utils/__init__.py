"""Tools for training modules: gradient clipping, parameters as one vector, normalized weights, parametrizations."""

from torchplug.nn.utils import parametrizations, parametrize, rnn
from torchplug.nn.utils.clip_grad import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from torchplug.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from torchplug.nn.utils.init import skip_init
from torchplug.nn.utils.spectral_norm import remove_spectral_norm, spectral_norm
from torchplug.nn.utils.weight_norm import remove_weight_norm, weight_norm

__all__ = [
    "clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm",
    "parameters_to_vector", "parametrizations", "parametrize", "remove_spectral_norm", "remove_weight_norm",
    "rnn", "skip_init", "spectral_norm", "vector_to_parameters", "weight_norm",
]  # fmt: skip
