"""RAdam."""

from __future__ import annotations

from typing import Any

from torchplug._core.tensor import Tensor
from torchplug.optim.checks import check_betas, check_not_negative, check_tensor_lr
from torchplug.optim.counted import COMMON_OPTIONS, CountedOptimizer, Hyperparameters
from torchplug.optim.optimizer import Params

__all__ = ["RAdam"]


class RAdam(CountedOptimizer):
    """Rectified Adam (Liu et al., 2020). State: "step", "exp_avg", "exp_avg_sq"."""

    kernel = "radam_step"
    later_options = (*COMMON_OPTIONS, ("decoupled_weight_decay", False))

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_tensor_lr(lr)
        check_not_negative("learning rate", lr)
        check_not_negative("epsilon value", eps)
        check_betas(betas)
        check_not_negative("weight_decay value", weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return "exp_avg", "exp_avg_sq"

    def _numbers(self, progress: Any, given: Hyperparameters) -> tuple[Any, ...]:
        beta1, beta2 = given["betas"]
        lr, decay = given["lr"], given.group["weight_decay"]
        if given.group["decoupled_weight_decay"]:
            decay = 1 - lr * decay
        step_size = lr / (1 - beta1**progress)
        return step_size, _rectifier(progress, beta2), 1 - beta1, beta2, 1 - beta2, given.group["eps"], decay

    def _flags(self, group: dict[str, Any]) -> tuple[Any, ...]:
        return group["weight_decay"] != 0, group["decoupled_weight_decay"], group["maximize"]


def _rectifier(step: Any, beta2: Any) -> Any:
    """Returns sqrt(1 - beta2^t) times the variance rectification r_t of the paper; 0 where the variance is not tractable."""
    correction = 1 - beta2**step
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * (beta2**step) / correction
    tractable = length > 5.0
    if not isinstance(tractable, Tensor):
        if not tractable:
            return 0.0
        return ((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length) * correction) ** 0.5
    safe = tractable * (length - 6.0) + 6.0  # any length above 5 where the true one is not
    root = ((safe - 4) * (safe - 2) * longest / ((longest - 4) * (longest - 2) * safe) * correction) ** 0.5
    return root * tractable
