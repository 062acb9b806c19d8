"""What files carry: element types, views of one storage, containers, models, optimizers, schedulers, half-way trainings."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from torchplug_conformance.recipes.optimizers import OPTIMIZERS
from torchplug_conformance.recipes.running import plain
from torchplug_conformance.recipes.schedulers import SCHEDULERS

__all__ = ["DTYPES", "PORTABLE", "TRAINED", "checkpoint", "every_type", "learn", "typed"]

PORTABLE = ("bool", "uint8", "int8", "int16", "int32", "int64", "float32")
"""Element types every backend has."""

DTYPES = (*PORTABLE, "float16", "bfloat16", "float64", "complex64", "complex128")
"""All element types."""

EDGES = {
    "bool": [True, False],
    "float": [0.0, -0.0, 1 / 3, float("inf"), -float("inf"), float("nan")],
    "complex": [1 / 3 - 2j, complex(float("nan"), -0.0), complex(0.0, float("inf"))],
}
"""Values that a careless writer or reader loses; integers have their smallest and largest."""


def typed(torch: Any, name: str) -> Any:
    """Returns a tensor of the element type `name` with the values at its edges."""
    dtype = getattr(torch, name)
    if name in ("bool", "float16", "bfloat16", "float32", "float64"):
        values: Any = EDGES["bool" if name == "bool" else "float"]
    elif name.startswith("complex"):
        values = EDGES["complex"]
    else:
        limits = torch.iinfo(dtype)
        values = [limits.min, 0, 1, limits.max]
    return torch.tensor(values, dtype=dtype)


def every_type(torch: Any, names: tuple[str, ...] = DTYPES) -> dict[str, Any]:
    """Returns a tensor of each element type."""
    return {name: typed(torch, name) for name in names}


def checkpoint(torch: Any) -> dict[str, Any]:
    """Returns a checkpoint in types that every backend has."""
    base = torch.tensor(np.arange(12, dtype=np.float32).reshape(3, 4))
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2, bias=False), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    (model(torch.tensor(np.eye(4, 3, dtype=np.float32))) ** 3).sum().backward()
    optimizer.step()
    return {
        "plain": every_type(torch, PORTABLE),
        "zero-dim": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "views": [base, base[1], base.t(), base[:, ::2]],
        "containers": {"list": [1, 2.5, "three"], "tuple": (None, True), "nested": {"deep": {"deeper": base[2]}}},
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }


PAUSE, STEPS = 4, 9
TRAINED: dict[str, tuple[str, str]] = {
    **{name: (name, "StepLR") for name in OPTIMIZERS},
    **{f"SGD-{name}": ("SGD-momentum", name) for name in SCHEDULERS if not name.startswith("OneCycleLR-three")},
}
"""Name of a half-way training -> the recipes of its optimizer and its scheduler."""


class Training:
    """A network with running statistics and dropout, an optimizer and a scheduler, as a program that trains has them."""

    def __init__(self, torch: Any, name: str) -> None:
        nn = torch.nn
        recipe, schedule = TRAINED[name]
        kind, options = OPTIMIZERS[recipe]
        torch.manual_seed(4)
        self.torch = torch
        self.model = nn.Sequential(
            nn.Linear(3, 5, bias=False), nn.BatchNorm1d(5), nn.Dropout(0.3), nn.Tanh(), nn.Linear(5, 1)
        )
        groups: list[Any] = list(self.model.parameters())
        if kind != "LBFGS":  # it takes one group; the schedulers' recipes have two
            groups = [{"params": groups[:3]}, {"params": groups[3:], "lr": 0.01}]
        self.optimizer = getattr(torch.optim, kind)(groups, **options)
        self.scheduler = SCHEDULERS[schedule](torch.optim.lr_scheduler, self.optimizer)
        self.watches_a_loss = schedule.startswith("ReduceLROnPlateau")

    def state(self) -> dict[str, Any]:
        """Returns what a program saves to go on later, the state of the random numbers included."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            # Functions are not in files: programs leave them out and make the scheduler anew.
            "scheduler": {key: value for key, value in self.scheduler.state_dict().items() if _is_plain(value)},
            "random": self.torch.get_rng_state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Takes over what was saved."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict({**self.scheduler.state_dict(), **state["scheduler"]})
        self.torch.set_rng_state(state["random"])

    def steps(self, first: int, end: int) -> list[float]:
        """Returns the losses of a range of steps."""
        losses = []
        for number in range(first, end):
            x = self.torch.tensor(np.random.default_rng(number).uniform(-1, 1, (8, 3)).astype(np.float32))
            losses.append(float(self.optimizer.step(partial(self._loss, x))))
            self.scheduler.step(*([1.0] if self.watches_a_loss else []))
        return losses

    def _loss(self, x: Any) -> Any:
        self.optimizer.zero_grad()
        loss = ((self.model(x) - x.sum(1, keepdim=True)) ** 2).mean()
        loss.backward()
        return loss


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, (bool, int, float, str))


def learn(torch: Any, name: str, carried: Any = None) -> dict[str, Any]:
    """Returns the losses and the state of a training; `carried` saves and loads its state half way, into another one."""
    training = Training(torch, name)
    losses = training.steps(0, PAUSE)
    if carried is not None:
        state = carried(training.state())
        training = Training(torch, name)
        training.load(state)
    losses += training.steps(PAUSE, STEPS)
    return {"losses": losses, "state": plain(training.state())}
