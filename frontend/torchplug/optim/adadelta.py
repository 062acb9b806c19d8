"""Adadelta."""

from __future__ import annotations

from typing import Any

from torchplug._core.tensor import Tensor
from torchplug.optim.checks import check_not_negative, check_tensor_lr
from torchplug.optim.counted import CountedOptimizer, Hyperparameters
from torchplug.optim.optimizer import Params

__all__ = ["Adadelta"]


class Adadelta(CountedOptimizer):
    """Adadelta (Zeiler, 2012). State: "step", "square_avg", "acc_delta"."""

    kernel = "adadelta_step"

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_tensor_lr(lr)
        check_not_negative("learning rate", lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_not_negative("epsilon value", eps)
        check_not_negative("weight_decay value", weight_decay)
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize, "capturable": capturable,
            "foreach": foreach, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return "square_avg", "acc_delta"

    def _numbers(self, progress: Any, given: Hyperparameters) -> tuple[Any, ...]:
        rho = given.group["rho"]
        return given["lr"], rho, 1 - rho, given.group["eps"], given.group["weight_decay"]

    def _flags(self, group: dict[str, Any]) -> tuple[Any, ...]:
        return group["weight_decay"] != 0, group["maximize"]
