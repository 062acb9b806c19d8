"""Optimizers: from gradients to new parameters, one kernel call per parameter group."""

from torchplug.optim import lr_scheduler
from torchplug.optim.adam import Adam
from torchplug.optim.adamw import AdamW
from torchplug.optim.optimizer import Optimizer
from torchplug.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
