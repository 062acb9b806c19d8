"""Optimizers on a small regression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torchplug_conformance.recipes.running import Floats, arrays_for, plain

__all__ = ["OPTIMIZERS", "run_optimizer"]

STEPS = 12

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.05}),
    "SGD-momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "SGD-dampening": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.01}),
    "SGD-nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "SGD-maximize": ("SGD", {"lr": 0.01, "maximize": True}),
    "Adam": ("Adam", {"lr": 0.05}),
    "Adam-amsgrad": ("Adam", {"lr": 0.05, "amsgrad": True, "weight_decay": 0.02, "betas": (0.8, 0.95)}),
    "AdamW": ("AdamW", {"lr": 0.05, "weight_decay": 0.1}),
    "AdamW-amsgrad": ("AdamW", {"lr": 0.05, "amsgrad": True, "eps": 1e-6}),
    "Adamax": ("Adamax", {"lr": 0.05}),
    "NAdam": ("NAdam", {"lr": 0.05}),
    "NAdam-decoupled": ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "RAdam": ("RAdam", {"lr": 0.05}),
    "RMSprop": ("RMSprop", {"lr": 0.02}),
    "RMSprop-centered": ("RMSprop", {"lr": 0.02, "centered": True, "momentum": 0.5, "weight_decay": 0.01}),
    "Rprop": ("Rprop", {"lr": 0.02}),
    "Adagrad": ("Adagrad", {"lr": 0.1}),
    "Adagrad-decay": ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.2}),
    "Adadelta": ("Adadelta", {"lr": 0.9, "rho": 0.8}),
    "ASGD": ("ASGD", {"lr": 0.05, "t0": 4}),
    "LBFGS": ("LBFGS", {"lr": 0.5, "max_iter": 3}),
    "LBFGS-wolfe": ("LBFGS", {"lr": 1.0, "max_iter": 3, "line_search_fn": "strong_wolfe"}),
}
"""Class, perhaps with a variant after a dash -> (class name, options)."""


def run_optimizer(
    torch: Any,
    name: str,
    lay: Callable[[np.ndarray], Any] | None = None,
    compile: Callable[[Any], Any] = lambda function: function,
) -> dict[str, Any]:
    """Returns the loss at every step, the parameters at the end, and the same of a run with two groups.

    `lay` makes the parameters from arrays, where they are to lie in memory in another way; `compile` wraps the steps.
    """
    return {
        "one group": _steps(torch, name, False, lay or torch.tensor, compile),
        "two groups": _steps(torch, name, True, lay or torch.tensor, compile),
    }


def _steps(torch: Any, name: str, groups: bool, lay: Callable[..., Any], compile: Callable[..., Any]) -> dict[str, Any]:
    kind, options = OPTIMIZERS[name]
    *examples, start, offset = arrays_for("regression", REGRESSION)
    x, y = (torch.tensor(array) for array in examples)
    weight, bias = lay(start).requires_grad_(), lay(offset).requires_grad_()
    parameters: list[Any] = [weight, bias]
    if groups and kind != "LBFGS":
        parameters = [{"params": [weight]}, {"params": [bias], "lr": options["lr"] / 2}]
    optimizer = getattr(torch.optim, kind)(parameters, **options)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = ((x @ weight + bias - y) ** 2).mean()
        loss.backward()
        return loss

    step = compile(lambda x, y: optimizer.step(closure))
    losses = [float(step(x, y)) for _ in range(STEPS)]
    return {"losses": plain(losses), "weight": plain(weight), "bias": plain(bias)}


REGRESSION = (Floats(8, 3), Floats(8, 2), Floats(3, 2), Floats(2))
