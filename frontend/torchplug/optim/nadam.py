"""NAdam."""

from __future__ import annotations

from typing import Any

from torchplug._core.tensor import Tensor
from torchplug.optim.checks import check_betas, check_not_negative, check_tensor_lr
from torchplug.optim.counted import COMMON_OPTIONS, CountedOptimizer, Hyperparameters, zeros_like
from torchplug.optim.counting import count_tensor, rescale
from torchplug.optim.optimizer import Params

__all__ = ["NAdam"]


class NAdam(CountedOptimizer):
    """Adam with Nesterov momentum (Dozat, 2016). State: "step", "mu_product", "exp_avg", "exp_avg_sq"."""

    kernel = "nadam_step"
    later_options = (*COMMON_OPTIONS, ("decoupled_weight_decay", False))

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
        check_not_negative("momentum_decay value", momentum_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for p in group["params"]:
                saved = self.state.get(p)
                if saved and not isinstance(saved["mu_product"], Tensor):
                    saved["mu_product"] = count_tensor(p, group, saved["mu_product"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return "exp_avg", "exp_avg_sq"

    def _start(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": count_tensor(p, group), "mu_product": count_tensor(p, group, 1.0),
            "exp_avg": zeros_like(p), "exp_avg_sq": zeros_like(p),
        }  # fmt: skip

    def _progress(self, state: dict[str, Any], given: Hyperparameters) -> Any:
        step = super()._progress(state, given)
        return step, rescale(state["mu_product"], _momentum(step, given), given.traced)

    def _numbers(self, progress: Any, given: Hyperparameters) -> tuple[Any, ...]:
        step, mu_product = progress
        beta1, beta2 = given["betas"]
        lr, decay = given["lr"], given.group["weight_decay"]
        mu, mu_next = _momentum(step, given), _momentum(step + 1, given)
        g_size = lr * (1.0 - mu) / (1.0 - mu_product)
        mean_size = lr * mu_next / (1.0 - mu_product * mu_next)
        if given.group["decoupled_weight_decay"]:
            decay = 1 - lr * decay
        return g_size, mean_size, 1 - beta2**step, 1 - beta1, beta2, 1 - beta2, given.group["eps"], decay

    def _flags(self, group: dict[str, Any]) -> tuple[Any, ...]:
        return group["weight_decay"] != 0, group["decoupled_weight_decay"], group["maximize"]


def _momentum(step: Any, given: Hyperparameters) -> Any:
    """Returns the momentum of a step: it warms up from beta1 / 2 to beta1."""
    return given["betas"][0] * (1.0 - 0.5 * (0.96 ** (step * given.group["momentum_decay"])))
