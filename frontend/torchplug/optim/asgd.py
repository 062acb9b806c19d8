"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from torchplug._core.tensor import Tensor
from torchplug.optim.checks import check_not_negative, check_tensor_lr
from torchplug.optim.counted import CountedOptimizer, Hyperparameters, zeros_like
from torchplug.optim.counting import count_tensor, current, replace
from torchplug.optim.optimizer import Params

__all__ = ["ASGD"]


class ASGD(CountedOptimizer):
    """Averaged stochastic gradient descent (Polyak and Juditsky, 1992). State: "step", "eta", "mu", and the average "ax"."""

    kernel = "asgd_step"

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_tensor_lr(lr)
        check_not_negative("learning rate", lr)
        check_not_negative("weight_decay value", weight_decay)
        defaults = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for p in group["params"]:
                saved = self.state.get(p) or {}
                for name in ("eta", "mu"):
                    if name in saved and not isinstance(saved[name], Tensor):
                        saved[name] = count_tensor(p, group, saved[name])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("ax",)

    def _start(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": count_tensor(p, group), "eta": count_tensor(p, group, float(group["lr"])),
            "mu": count_tensor(p, group, 1.0), "ax": zeros_like(p),
        }  # fmt: skip

    def _progress(self, state: dict[str, Any], given: Hyperparameters) -> Any:
        """Returns the step length and averaging weight of this step, and sets those of the next."""
        step = super()._progress(state, given)
        eta, mu = current(state["eta"], given.traced), current(state["mu"], given.traced)
        lr, lambd = given["lr"], given.group["lambd"]
        replace(state["eta"], lr / ((1 + lambd * lr * step) ** given.group["alpha"]))
        late = step - given.group["t0"]
        replace(state["mu"], 1 / (late.clamp(min=1) if isinstance(late, Tensor) else max(1, late)))
        return eta, mu

    def _numbers(self, progress: Any, given: Hyperparameters) -> tuple[Any, ...]:
        eta, mu = progress
        return eta, 1 - given.group["lambd"] * eta, mu, given.group["weight_decay"]

    def _flags(self, group: dict[str, Any]) -> tuple[Any, ...]:
        return group["weight_decay"] != 0, group["maximize"]
