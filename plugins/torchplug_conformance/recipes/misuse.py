"""Wrong calls of modules, optimizers and schedulers, and what each raises."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from torchplug_conformance.recipes.modules import MODULES
from torchplug_conformance.recipes.optimizers import OPTIMIZERS
from torchplug_conformance.recipes.running import arrays_for
from torchplug_conformance.recipes.schedulers import SCHEDULERS

__all__ = ["MISUSES", "run_misuse"]

Arrays = list[np.ndarray]

CALLS: dict[str, Callable[[Arrays], Arrays]] = {
    "without-arguments": lambda arrays: [],
    "one-column-more": lambda arrays: [np.concatenate([arrays[0], arrays[0][..., :1]], -1), *arrays[1:]],
    "three-dimensions-more": lambda arrays: [arrays[0][None, None, None], *arrays[1:]],
}
"""How a module is called -> its arguments, given the right ones."""

CONSTRUCTIONS: dict[str, Callable[[Any, dict[str, Any], Any], Any]] = {
    "negative-rate": lambda kind, options, x: kind([x], **{**options, "lr": -1.0}),
    "no-parameters": lambda kind, options, x: kind([], **options),
    "one-tensor": lambda kind, options, x: kind(x, **options),
    "a-number": lambda kind, options, x: kind([1.5], **options),
    "no-leaf": lambda kind, options, x: kind([x * 2], **options),
    "twice-the-same": lambda kind, options, x: kind([{"params": [x]}, {"params": [x]}], **options),
    "state-of-more": lambda kind, options, x: kind([x], **options).load_state_dict(
        kind([x, x.detach().clone().requires_grad_()], **options).state_dict()
    ),
}
"""What is wrong with an optimizer -> how it is made from its class, the options of a recipe and a parameter."""


def _call(name: str, arguments: Callable[[Arrays], Arrays], torch: Any) -> None:
    make, inputs = MODULES[name]
    module = make(torch.nn)
    module(*(torch.tensor(array) for array in arguments(arrays_for(name, inputs))))


def _construct(name: str, construct: Callable[..., Any], torch: Any) -> None:
    kind, options = OPTIMIZERS[name]
    construct(getattr(torch.optim, kind), options, torch.ones(2).requires_grad_())


def _schedule(name: str, torch: Any) -> None:
    SCHEDULERS[name](torch.optim.lr_scheduler, "no optimizer")


MISUSES: dict[str, Callable[[Any], None]] = {
    **{
        f"modules-{name}-{how}": partial(_call, name, call)
        for name in MODULES
        if not name.endswith("-packed")  # what packs the batch is a function, with errors of its own
        for how, call in CALLS.items()
    },
    **{
        f"optimizers-{name}-{what}": partial(_construct, name, construct)
        for name in OPTIMIZERS
        if "-" not in name
        for what, construct in CONSTRUCTIONS.items()
    },
    **{f"schedulers-{name}-without-an-optimizer": partial(_schedule, name) for name in SCHEDULERS if "-" not in name},
}
"""Table, recipe and what is wrong -> the wrong call, given the library."""


def run_misuse(torch: Any, name: str) -> str:
    """Returns the type of the exception a wrong call raises, with its first line for optimizers, "" if it raises none."""
    torch.manual_seed(0)
    try:
        MISUSES[name](torch)
    except Exception as error:
        line = (str(error).splitlines() or [""])[0]
        return f"{type(error).__name__}: {line}" if name.startswith("optimizers") else type(error).__name__
    return ""
