"""The kernels of nets in one class."""

from __future__ import annotations

from torchplug_numpy.kernels.activations import ActivationKernels
from torchplug_numpy.kernels.attention import AttentionKernels
from torchplug_numpy.kernels.convolution import ConvolutionKernels
from torchplug_numpy.kernels.embedding import EmbeddingKernels
from torchplug_numpy.kernels.linear import LinearKernels
from torchplug_numpy.kernels.losses import LossKernels
from torchplug_numpy.kernels.normalization import NormalizationKernels
from torchplug_numpy.kernels.pooling import PoolingKernels
from torchplug_numpy.kernels.recurrent import RecurrentKernels
from torchplug_numpy.kernels.rows import SoftmaxKernels

__all__ = ["NetKernels"]


class NetKernels(
    ActivationKernels, AttentionKernels, ConvolutionKernels, EmbeddingKernels, LinearKernels, LossKernels,
    NormalizationKernels, PoolingKernels, RecurrentKernels, SoftmaxKernels,
):  # fmt: skip
    """What layers, losses and attention run on the NumPy engine."""
