"""Spectral normalization by a hook: a weight divided by its largest singular value."""

from __future__ import annotations

from typing import Any, TypeVar

from torchplug._core.tensor import Parameter, Tensor
from torchplug.autograd.grad_mode import no_grad
from torchplug.nn import functional as F
from torchplug.nn.modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from torchplug.nn.modules.module import Module

__all__ = ["SpectralNorm", "as_matrix", "iterate_power", "remove_spectral_norm", "spectral_norm", "spectral_value"]

M = TypeVar("M", bound=Module)


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """Returns a weight as a matrix whose rows are its slices along `dim`."""
    if dim != 0:
        weight = weight.permute(dim, *(place for place in range(weight.dim()) if place != dim))
    return weight.reshape(weight.size(0), -1)


def iterate_power(matrix: Tensor, u: Tensor, v: Tensor, steps: int, eps: float, v_first: bool) -> None:
    """Moves u and v, in place, towards the left and right singular vectors of the largest singular value."""
    with no_grad():
        for _ in range(steps):
            updates = [(v, matrix.t(), u), (u, matrix, v)]
            for target, left, source in updates if v_first else updates[::-1]:
                target.copy_(F.normalize(left.mv(source), dim=0, eps=eps))


def spectral_value(matrix: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Returns uᵀ W v, with gradients for W only; u and v may be moved afterwards."""
    return u.clone().dot(matrix.mv(v.clone()))


class SpectralNorm:
    """The hook that computes the weight before each call, from <name>_orig and the vectors <name>_u and <name>_v."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.name = name
        self.dim = dim
        self.n_power_iterations = n_power_iterations
        self.eps = eps

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """Returns the weight over its estimated largest singular value, after moving the estimate while training."""
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            iterate_power(matrix, u, v, self.n_power_iterations, self.eps, v_first=True)
        return weight / spectral_value(matrix, u, v)

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, do_power_iteration=module.training))

    def remove(self, module: Module) -> None:
        """Makes the weight a plain parameter again."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        for part in (self.name, f"{self.name}_u", f"{self.name}_v", f"{self.name}_orig"):
            delattr(module, part)
        module.register_parameter(self.name, Parameter(weight.detach()))


def _hook_of(module: Module, name: str) -> tuple[int, SpectralNorm] | None:
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            return key, hook
    return None


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Divides a weight by its largest singular value, estimated by power iteration; returns the module.

    `dim` is that of the outputs: 1 for transposed convolutions, else 0, unless given. Source: Miyato et al. 2018.
    """
    if dim is None:
        dim = 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0
    if _hook_of(module, name) is not None:
        raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    hook = SpectralNorm(name, n_power_iterations, dim, eps)
    weight = module._parameters[name]
    if weight is None:
        raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
    with no_grad():
        rows, columns = as_matrix(weight, dim).shape
        u = F.normalize(weight.new_empty(rows).normal_(0, 1), dim=0, eps=eps)
        v = F.normalize(weight.new_empty(columns).normal_(0, 1), dim=0, eps=eps)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    # A plain attribute until the first call computes it, so that it can be read and the module copied.
    setattr(module, name, weight.data)
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Undoes spectral_norm: the weight keeps its value; returns the module."""
    found = _hook_of(module, name)
    if found is None:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    key, hook = found
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module
