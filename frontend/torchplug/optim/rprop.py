"""Rprop."""

from __future__ import annotations

from typing import Any

from torchplug._core.tensor import Tensor
from torchplug.optim.checks import check_not_negative, check_tensor_lr
from torchplug.optim.counted import CountedOptimizer, Hyperparameters, full_like, zeros_like
from torchplug.optim.counting import count_tensor
from torchplug.optim.optimizer import Params

__all__ = ["Rprop"]


class Rprop(CountedOptimizer):
    """Resilient backpropagation (Riedmiller and Braun, 1993). State: "step", "prev", "step_size"."""

    kernel = "rprop_step"

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_tensor_lr(lr)
        check_not_negative("learning rate", lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return "prev", "step_size"

    def _start(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        sizes = full_like(p, float(group["lr"]))
        return {"step": count_tensor(p, group), "prev": zeros_like(p), "step_size": sizes}

    def _numbers(self, progress: Any, given: Hyperparameters) -> tuple[Any, ...]:
        return (*given.group["etas"], *given.group["step_sizes"])

    def _flags(self, group: dict[str, Any]) -> tuple[Any, ...]:
        return (group["maximize"],)
