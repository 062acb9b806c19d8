"""Optimizers: every optimizer walks PyTorch's path, every scheduler gives its rates, interrupted or not."""

from __future__ import annotations

from collections.abc import Iterator

import torchplug
from torchplug_conformance.cases import Case, Subject
from torchplug_conformance.parts.recorded import recorded_cases
from torchplug_conformance.recipes.optimizers import run_optimizer
from torchplug_conformance.recipes.schedulers import run_resumed_scheduler, run_scheduler

__all__ = ["RELATIVE", "cases"]

RELATIVE = 1e-4
"""Twelve steps whose roundings feed the next; optimizers that divide by small square roots amplify them."""


def cases(subject: Subject) -> Iterator[Case]:
    yield from recorded_cases("optimizers", subject, "optimizers", run_optimizer, RELATIVE, lacks_optimizer)
    for run, suffix in ((run_scheduler, ""), (run_resumed_scheduler, "-resumed")):
        yield from recorded_cases("optimizers", subject, "schedulers", run, RELATIVE, lacks_scheduler, suffix)


def lacks_optimizer(name: str) -> bool:
    """Says whether this torchplug has no optimizer of a recipe's class."""
    return not hasattr(torchplug.optim, name.partition("-")[0])


def lacks_scheduler(name: str) -> bool:
    """Says whether this torchplug has no scheduler of a recipe's class."""
    return not hasattr(torchplug.optim.lr_scheduler, name.partition("-")[0])
