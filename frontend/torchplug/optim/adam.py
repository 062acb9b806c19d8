"""Adam, and the options it shares with AdamW."""

from __future__ import annotations

from typing import Any

from torchplug._core.tensor import Tensor
from torchplug.optim.checks import check_betas, check_fused, check_not_negative
from torchplug.optim.counted import COMMON_OPTIONS, CountedOptimizer, Hyperparameters
from torchplug.optim.optimizer import Params

__all__ = ["Adam"]


class Adam(CountedOptimizer):
    """Adam (Kingma and Ba, 2015), with the AMSGrad variant of Reddi et al. (2018).

    State: "step", "exp_avg", "exp_avg_sq", and "max_exp_avg_sq" with `amsgrad`. `decoupled_weight_decay` makes it AdamW.
    `foreach`, `fused` and `capturable` are kept and change nothing: a step is always one kernel call per group.
    """

    kernel = "adam_step"
    later_options = (*COMMON_OPTIONS, ("amsgrad", False), ("fused", None), ("decoupled_weight_decay", False))

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        slow_only = bool(foreach) and not capturable
        _check_tensor("lr", lr, slow_only)
        check_not_negative("learning rate", lr)
        check_not_negative("epsilon value", eps)
        check_betas(betas)
        check_not_negative("weight_decay value", weight_decay)
        kinds = {Tensor if isinstance(beta, Tensor) else type(beta) for beta in betas}
        if kinds not in ({float}, {Tensor}):
            raise ValueError("betas must be either both floats or both Tensors")
        for place, beta in enumerate(betas):
            _check_tensor(f"betas[{place}]", beta, slow_only)
        defaults = {
            "lr": lr, "betas": tuple(map(_scalar, betas)), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")

    def _numbers(self, progress: Any, given: Hyperparameters) -> tuple[Any, ...]:
        beta1, beta2 = given["betas"]
        lr, decay = given["lr"], given.group["weight_decay"]
        if given.group["decoupled_weight_decay"]:
            decay = 1 - lr * decay
        step_size = lr / (1 - beta1**progress)
        root = (1 - beta2**progress) ** 0.5
        return step_size, root, 1 - beta1, beta2, 1 - beta2, given.group["eps"], decay

    def _flags(self, group: dict[str, Any]) -> tuple[Any, ...]:
        return group["weight_decay"] != 0, group["decoupled_weight_decay"], group["amsgrad"], group["maximize"]


def _check_tensor(name: str, value: Any, slow_only: bool) -> None:
    if not isinstance(value, Tensor):
        return
    if slow_only:
        raise ValueError(f"{name} as a Tensor is not supported for capturable=False and foreach=True")
    if value.numel() != 1:
        raise ValueError(f"Tensor {name} must be 1-element")


def _scalar(beta: Any) -> Any:
    return beta.squeeze() if isinstance(beta, Tensor) and beta.ndim else beta
