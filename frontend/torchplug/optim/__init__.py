"""Optimizers: from gradients to new parameters, one kernel call per parameter group."""

from typing import TYPE_CHECKING, Any

from torchplug.optim.adam import Adam
from torchplug.optim.adamw import AdamW
from torchplug.optim.optimizer import Optimizer
from torchplug.optim.sgd import SGD

if TYPE_CHECKING:
    from torchplug.optim import lr_scheduler
    from torchplug.optim.adadelta import Adadelta
    from torchplug.optim.adagrad import Adagrad
    from torchplug.optim.adamax import Adamax
    from torchplug.optim.asgd import ASGD
    from torchplug.optim.lbfgs import LBFGS
    from torchplug.optim.nadam import NAdam
    from torchplug.optim.radam import RAdam
    from torchplug.optim.rmsprop import RMSprop
    from torchplug.optim.rprop import Rprop

__all__ = [
    "ASGD", "LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "Optimizer", "RAdam", "RMSprop",
    "Rprop", "lr_scheduler",
]  # fmt: skip

_ON_FIRST_USE = ("ASGD", "LBFGS", "Adadelta", "Adagrad", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop")
_MODULES = ("lr_scheduler", *(name.lower() for name in _ON_FIRST_USE))


if not TYPE_CHECKING:  # checkers read the imports above, and so see misspelt names

    def __getattr__(name: str) -> Any:
        """Imports the rarer optimizers and the schedules when they are first named: `import torchplug` stays short."""
        import importlib

        if name in _ON_FIRST_USE:
            value = getattr(importlib.import_module(f"torchplug.optim.{name.lower()}"), name)
        elif name in _MODULES:
            value = importlib.import_module(f"torchplug.optim.{name}")
        else:
            raise AttributeError(f"module 'torchplug.optim' has no attribute '{name}'")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
