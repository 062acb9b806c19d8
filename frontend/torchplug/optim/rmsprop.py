"""RMSprop."""

from __future__ import annotations

from typing import Any

from torchplug._core.tensor import Tensor
from torchplug.optim.checks import check_not_negative, check_tensor_lr
from torchplug.optim.counted import COMMON_OPTIONS, CountedOptimizer, Hyperparameters
from torchplug.optim.optimizer import Params

__all__ = ["RMSprop"]


class RMSprop(CountedOptimizer):
    """RMSprop (Hinton, 2012); `centered` divides by the deviation instead (Graves, 2013).

    State: "step", "square_avg", "momentum_buffer" with momentum, "grad_avg" if centred.
    """

    kernel = "rmsprop_step"
    later_options = (("momentum", 0), ("centered", False), *COMMON_OPTIONS)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_tensor_lr(lr)
        check_not_negative("learning rate", lr)
        check_not_negative("epsilon value", eps)
        check_not_negative("momentum value", momentum)
        check_not_negative("weight_decay value", weight_decay)
        check_not_negative("alpha value", alpha)
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered, "weight_decay": weight_decay,
            "capturable": capturable, "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        buffer = ("momentum_buffer",) if group["momentum"] > 0 else ()
        return ("square_avg", *buffer, *(("grad_avg",) if group["centered"] else ()))

    def _numbers(self, progress: Any, given: Hyperparameters) -> tuple[Any, ...]:
        group = given.group
        return given["lr"], group["alpha"], 1 - group["alpha"], group["eps"], group["weight_decay"], given["momentum"]

    def _flags(self, group: dict[str, Any]) -> tuple[Any, ...]:
        return group["weight_decay"] != 0, group["momentum"] > 0, group["centered"], group["maximize"]
