"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from torchplug._core.tensor import Tensor
from torchplug.optim.checks import check_fused, check_tensor_lr
from torchplug.optim.optimizer import Closure, Optimizer, Params, run_closure
from torchplug.optim.updating import Gathered, by_kind, hyperparameter, is_traced, update

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum b = momentum * b + (1 - dampening) * g (Sutskever et al., 2013).

    State: "momentum_buffer", where momentum is not 0. `foreach` and `fused` are kept and change nothing: a step is always one
    kernel call per group.
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_tensor_lr(lr)
        if lr < 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if momentum < 0.0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if weight_decay < 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in _LATER_OPTIONS:
                group.setdefault(name, value)

    def step(self, closure: Closure | None = None) -> Any:
        """Updates the parameters from their gradients; returns what `closure`, called first with gradients on, returns."""
        loss = run_closure(closure)
        for group in self.param_groups:
            for gathered in by_kind(group):
                self._step(group, gathered)
        return loss

    def _step(self, group: dict[str, Any], gathered: Gathered) -> None:
        kind = gathered.kind
        traced = is_traced(gathered)
        differentiable = group["differentiable"]
        numbers = (
            hyperparameter(group, "lr", kind, traced, differentiable),
            hyperparameter(group, "momentum", kind, traced),
            1 - group["dampening"],
            hyperparameter(group, "weight_decay", kind, traced, differentiable),
        )
        has_momentum = bool(group["momentum"])
        decays = isinstance(group["weight_decay"], Tensor) or group["weight_decay"] != 0
        options = (decays, has_momentum, group["nesterov"], group["maximize"])
        if not has_momentum:
            update("sgd_step", kind, gathered.params, gathered.grads, (), numbers, options, differentiable)
            return
        new, old = Gathered(kind, [], []), Gathered(kind, [], [])
        buffers = []
        for p, g in zip(gathered.params, gathered.grads, strict=True):
            buffer = self.state[p].get("momentum_buffer")
            part = new if buffer is None else old
            part.params.append(p)
            part.grads.append(g)
            if buffer is not None:
                buffers.append(buffer)
        if old.params:
            update("sgd_step", kind, old.params, old.grads, buffers, numbers, options, differentiable)
        if new.params:
            made = update("sgd_step", kind, new.params, new.grads, (), numbers, options, differentiable)
            for p, buffer in zip(new.params, made, strict=True):
                self.state[p]["momentum_buffer"] = buffer


_LATER_OPTIONS = (
    ("nesterov", False),
    ("maximize", False),
    ("foreach", None),
    ("differentiable", False),
    ("fused", False),
)
"""Options that old checkpoints lack."""
