"""Adagrad."""

from __future__ import annotations

from typing import Any

from torchplug._core.tensor import Tensor
from torchplug.optim.checks import check_fused, check_not_negative, check_tensor_lr
from torchplug.optim.counted import COMMON_OPTIONS, CountedOptimizer, Hyperparameters, full_like
from torchplug.optim.counting import count_tensor
from torchplug.optim.optimizer import Params

__all__ = ["Adagrad"]


class Adagrad(CountedOptimizer):
    """Adagrad (Duchi, Hazan and Singer, 2011). State, made at once: "step", "sum"."""

    kernel = "adagrad_step"
    later_options = (*COMMON_OPTIONS[:3], ("fused", None))

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_tensor_lr(lr)
        check_not_negative("learning rate", lr)
        check_not_negative("lr_decay value", lr_decay)
        check_not_negative("weight_decay value", weight_decay)
        check_not_negative("initial_accumulator_value value", initial_accumulator_value)
        check_not_negative("epsilon value", eps)
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p].update(self._start(p, group))

    def share_memory(self) -> None:
        """Does nothing: processes share no tensors here."""

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("sum",)

    def _start(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {"step": count_tensor(p, group), "sum": full_like(p, self.defaults["initial_accumulator_value"])}

    def _numbers(self, progress: Any, given: Hyperparameters) -> tuple[Any, ...]:
        lr = given["lr"] / (1 + (progress - 1) * given.group["lr_decay"])
        return lr, given.group["eps"], given.group["weight_decay"]

    def _flags(self, group: dict[str, Any]) -> tuple[Any, ...]:
        return group["weight_decay"] != 0, group["maximize"]
