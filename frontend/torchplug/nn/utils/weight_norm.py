"""Weight normalization by a hook: a weight as a magnitude times a direction."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from torchplug._core.tensor import Parameter, Tensor
from torchplug.nn.modules.module import Module

__all__ = ["WeightNorm", "norm_except", "remove_weight_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


def norm_except(x: Tensor, dim: int | None) -> Tensor:
    """Returns the Euclidean norm over all dimensions but one, kept with length 1; over all of them for None, 0-d."""
    if dim is None:
        return x.square().sum().sqrt()
    kept = dim % x.dim()
    others = [place for place in range(x.dim()) if place != kept]
    return x.square().sum(others, keepdim=True).sqrt() if others else x.abs()


class WeightNorm:
    """The hook that computes the weight before each call, from <name>_g (magnitude) and <name>_v (direction)."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        # -1 means None in PyTorch's own code, and is kept so for what reads it.
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        """Returns g · v / ‖v‖."""
        g, v = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        return v * (g / norm_except(v, None if self.dim == -1 else self.dim))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))

    def remove(self, module: Module) -> None:
        """Makes the weight a plain parameter again."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[f"{self.name}_g"]
        del module._parameters[f"{self.name}_v"]
        setattr(module, self.name, Parameter(weight.detach()))


def _hook_of(module: Module, name: str) -> tuple[int, WeightNorm] | None:
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            return key, hook
    return None


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Makes a weight g · v / ‖v‖, with parameters <name>_g and <name>_v, and returns the module.

    The norm is taken over all dimensions but `dim`, over all of them for None or -1. Deprecated in PyTorch for
    parametrizations.weight_norm. Source: Salimans and Kingma 2016.
    """
    warnings.warn(
        "`torch.nn.utils.weight_norm` is deprecated in favor of `torch.nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    if _hook_of(module, name) is not None:
        raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    hook = WeightNorm(name, dim)
    weight = getattr(module, name)
    if not isinstance(weight, Tensor):
        raise TypeError(f"norm_except_dim(): argument 'v' (position 1) must be Tensor, not {type(weight).__name__}")
    magnitude = norm_except(weight.detach(), None if hook.dim == -1 else hook.dim)
    del module._parameters[name]
    module.register_parameter(f"{name}_g", Parameter(magnitude))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    setattr(module, name, hook.compute_weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Undoes weight_norm: the weight keeps its value; returns the module."""
    found = _hook_of(module, name)
    if found is None:
        raise ValueError(f"weight_norm of '{name}' not found in {module}")
    key, hook = found
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module
