"""Adamax."""

from __future__ import annotations

from typing import Any

from torchplug._core.tensor import Tensor
from torchplug.optim.checks import check_betas, check_not_negative, check_tensor_lr
from torchplug.optim.counted import CountedOptimizer, Hyperparameters
from torchplug.optim.optimizer import Params

__all__ = ["Adamax"]


class Adamax(CountedOptimizer):
    """Adam in the infinity norm (Kingma and Ba, 2015). State: "step", "exp_avg", "exp_inf"."""

    kernel = "adamax_step"

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_tensor_lr(lr)
        check_not_negative("learning rate", lr)
        check_not_negative("epsilon value", eps)
        check_betas(betas)
        check_not_negative("weight_decay value", weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return "exp_avg", "exp_inf"

    def _numbers(self, progress: Any, given: Hyperparameters) -> tuple[Any, ...]:
        beta1, beta2 = given["betas"]
        return given["lr"] / (1 - beta1**progress), 1 - beta1, beta2, given.group["eps"], given.group["weight_decay"]

    def _flags(self, group: dict[str, Any]) -> tuple[Any, ...]:
        return group["weight_decay"] != 0, group["maximize"]
