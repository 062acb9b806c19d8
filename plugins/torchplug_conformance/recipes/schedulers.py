"""Learning rate schedules: the rates of every scheduler, and the same ones after saving and loading it half way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchplug_conformance.recipes.running import plain

__all__ = ["SCHEDULERS", "run_resumed_scheduler", "run_scheduler"]

EPOCHS = 14
PAUSE = 5
"""Epochs before a resumed run saves and loads."""

RATES = (0.1, 0.02)
"""The learning rates of two groups of parameters."""

SCHEDULERS: dict[str, Callable[[Any, Any], Any]] = {
    "StepLR": lambda s, o: s.StepLR(o, 3, gamma=0.5),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [2, 5, 9], gamma=0.3),
    "ConstantLR": lambda s, o: s.ConstantLR(o, factor=0.4, total_iters=4),
    "LinearLR": lambda s, o: s.LinearLR(o, start_factor=0.2, total_iters=6),
    "LinearLR-falling": lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.25, total_iters=8),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.8),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, total_iters=10, power=2.0),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 6, eta_min=0.01),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.01, 0.1, step_size_up=3, mode="triangular2", cycle_momentum=True),
    "CyclicLR-exponential": lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, step_size_up=2, step_size_down=3, mode="exp_range", gamma=0.9, cycle_momentum=False
    ),
    "CyclicLR-scaled": lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, step_size_up=3, scale_fn=lambda x: 1 / x, base_momentum=0.7, max_momentum=0.8
    ),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, 0.2, total_steps=EPOCHS),
    "OneCycleLR-three-phases": lambda s, o: s.OneCycleLR(
        o, [0.2, 0.1], epochs=2, steps_per_epoch=EPOCHS // 2, anneal_strategy="linear", three_phase=True
    ),
    "LambdaLR": lambda s, o: s.LambdaLR(o, lambda epoch: 0.9**epoch),
    "LambdaLR-of-each-group": lambda s, o: s.LambdaLR(o, [lambda epoch: 0.9**epoch, lambda epoch: 1 / (1 + epoch)]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda epoch: 1.0 - 0.02 * epoch),
    "SequentialLR": lambda s, o: s.SequentialLR(o, [s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9)], [3]),
    "SequentialLR-of-three": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.25, total_iters=4), s.CosineAnnealingLR(o, 5), s.StepLR(o, 2)], [4, 9]
    ),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9)]),
    "ChainedScheduler-of-three": lambda s, o: s.ChainedScheduler(
        [s.LinearLR(o, 0.5, total_iters=5), s.MultiStepLR(o, [4, 8]), s.MultiplicativeLR(o, lambda epoch: 0.95)], o
    ),
    "ReduceLROnPlateau": lambda s, o: s.ReduceLROnPlateau(o, factor=0.5, patience=1),
    "ReduceLROnPlateau-cooling": lambda s, o: s.ReduceLROnPlateau(
        o, mode="max", factor=0.3, patience=0, threshold=0.1, threshold_mode="abs", cooldown=2, min_lr=[0.004, 0.001]
    ),
}
"""Class, perhaps with a variant after a dash -> how to make it from `torch.optim.lr_scheduler` and an optimizer."""


def run_scheduler(torch: Any, name: str, compile: Callable[[Any], Any] = lambda function: function) -> dict[str, Any]:
    """Returns the learning rates and momenta of each epoch for two groups of parameters, and the parameters at the end.

    `compile` wraps the optimizer's steps.
    """
    run = _Run(torch, name, compile)
    return run.numbers(run.epochs(0, EPOCHS))


def run_resumed_scheduler(torch: Any, name: str) -> dict[str, Any]:
    """Returns the numbers of `run_scheduler` of a run that is interrupted, its state carried over by `state_dict`."""
    first = _Run(torch, name)
    rates = first.epochs(0, PAUSE)
    resumed = _Run(torch, name)
    resumed.scheduler.load_state_dict(first.scheduler.state_dict())
    resumed.optimizer.load_state_dict(first.optimizer.state_dict())
    with torch.no_grad():
        for parameter, saved in zip(resumed.parameters, first.parameters, strict=True):
            parameter.copy_(saved)
    return resumed.numbers(rates + resumed.epochs(PAUSE, EPOCHS))


class _Run:
    """An optimizer of two groups and the scheduler of a recipe."""

    def __init__(self, torch: Any, name: str, compile: Callable[[Any], Any] = lambda function: function) -> None:
        self.parameters = [torch.tensor([1.0, 2.0]).requires_grad_(), torch.tensor([-3.0]).requires_grad_()]
        groups = [{"params": [x], "lr": lr} for x, lr in zip(self.parameters, RATES, strict=True)]
        self.optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        self.scheduler = SCHEDULERS[name](torch.optim.lr_scheduler, self.optimizer)
        self.train = compile(self._train)
        self.watches_a_loss = name.startswith("ReduceLROnPlateau")

    def epochs(self, first: int, end: int) -> list[list[list[float]]]:
        """Returns [learning rate, momentum] of each group in each epoch of a range, and takes a step in each."""
        seen = []
        for epoch in range(first, end):
            seen.append([[float(group["lr"]), float(group["momentum"])] for group in self.optimizer.param_groups])
            self.train()
            if epoch + 1 < EPOCHS:
                # The loss stops falling after a few epochs.
                self.scheduler.step(*([1.0 / min(epoch + 1, 4)] if self.watches_a_loss else []))
        return seen

    def _train(self) -> None:
        self.optimizer.zero_grad()
        sum((x * x).sum() for x in self.parameters).backward()
        self.optimizer.step()

    def numbers(self, seen: list[list[list[float]]]) -> dict[str, Any]:
        return {"rates and momenta": plain(seen), "parameters": plain(self.parameters)}
