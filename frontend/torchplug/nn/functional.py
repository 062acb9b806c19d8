"""`torch.nn.functional`: the stateless functions of layers, as PyTorch lists them."""

from __future__ import annotations

import warnings
from torchplug_spec import DType

from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops import activations as _activations
from torchplug.ops import softmax as _softmax
from torchplug.ops.activations import (
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    prelu,
    relu6,
    selu,
    silu,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from torchplug.ops.activations import relu as _relu
from torchplug.ops.class_losses import cross_entropy, nll_loss
from torchplug.ops.convolution import conv1d, conv2d, conv3d
from torchplug.ops.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
    rrelu,
)
from torchplug.ops.exponential import sigmoid
from torchplug.ops.linear import linear
from torchplug.ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    gaussian_nll_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
)
from torchplug.ops.padding import pad
from torchplug.ops.pooling import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from torchplug.ops.trigonometry import tanh
from torchplug.ops.transposed_convolution import conv_transpose1d, conv_transpose2d, conv_transpose3d


# ---- in place --------------------------------------------------------------------------------------------------------


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns max(x, 0); the gradient at 0 is 0."""
    return relu_(input) if inplace else _relu(input)


def relu_(input: Tensor) -> Tensor:
    """Writes max(x, 0) into the input."""
    return input.relu_()


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Writes `elu` into the input."""
    return elu(input, alpha, inplace=True)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Writes `celu` into the input."""
    return celu(input, alpha, inplace=True)


def selu_(input: Tensor) -> Tensor:
    """Writes `selu` into the input."""
    return selu(input, inplace=True)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Writes `leaky_relu` into the input."""
    return leaky_relu(input, negative_slope, inplace=True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Writes `hardtanh` into the input."""
    return hardtanh(input, min_val, max_val, inplace=True)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """Writes `threshold` into the input."""
    return _activations.threshold(input, threshold, value, inplace=True)


def rrelu_(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    """Writes `rrelu` into the input."""
    return rrelu(input, lower, upper, training, inplace=True)


# ---- softmax ---------------------------------------------------------------------------------------------------------


def _implicit_dim(name: str, ndim: int, stacklevel: int) -> int:
    """Returns the dimension old programs leave out, with PyTorch's warning."""
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=stacklevel + 1,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """Returns exp(x) / sum(exp(x)) over `dim`; `dtype` converts the input first."""
    if dim is None:
        dim = _implicit_dim("softmax", len(shape_of(input)), _stacklevel)
    return _softmax.softmax(input, dim, dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """Returns softmax(-x) over `dim`."""
    if dim is None:
        dim = _implicit_dim("softmin", len(shape_of(input)), _stacklevel)
    return _softmax.softmax(-input, dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """Returns log(softmax(x)) over `dim`, stable where softmax underflows; `dtype` converts the input first."""
    if dim is None:
        dim = _implicit_dim("log_softmax", len(shape_of(input)), _stacklevel)
    return _softmax.log_softmax(input, dim, dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """Returns a sample of the Gumbel-softmax distribution; with `hard` one-hot, with the soft sample's gradient.

    Source: Jang et al. 2017, equation 2.
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    gumbels = -logits.detach().new_empty(shape_of(logits)).exponential_().log()
    soft = _softmax.softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    chosen = logits.detach().new_zeros(shape_of(logits)).scatter_(dim, index, 1.0)
    return chosen - soft.detach() + soft
