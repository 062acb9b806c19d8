"""Learning rate schedules: what the learning rate is at each epoch or step."""

from torchplug.optim.lr_scheduler.base import LRScheduler
from torchplug.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from torchplug.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from torchplug.optim.lr_scheduler.cyclic import CyclicLR, OneCycleLR
from torchplug.optim.lr_scheduler.decay import ConstantLR, ExponentialLR, LinearLR, MultiStepLR, PolynomialLR, StepLR
from torchplug.optim.lr_scheduler.functional import LambdaLR, MultiplicativeLR
from torchplug.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR",
    "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip

_LRScheduler = LRScheduler
"""The name of old programs."""
