"""One training run on one backend: data, steps, accuracy, checkpoint, times."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torchplug as torch
import torchplug.nn.functional as F
from torchplug import Tensor, optim
from torchplug.demo.model import Net
from torchplug.utils.data import DataLoader
from torchplug.vision import transforms
from torchplug.vision.datasets import Digits

__all__ = ["CheckpointError", "Result", "Settings", "Watcher", "train"]

MEAN, DEVIATION = 0.5, 0.5
"""What is taken from pixels, and what they are divided by: black is -1, white 1."""


class Settings(NamedTuple):
    """What a run is asked for."""

    epochs: int = 20
    batch_size: int = 64
    # Small steps: a max pooling that rounding decides otherwise on another engine then moves the loss by 1e-5, not 1e-2.
    lr: float = 0.003
    momentum: float = 0.9
    seed: int = 0
    compile: bool = False


class Result(NamedTuple):
    """What a run did: the loss of every step, the accuracy after every epoch (0 to 1), times in seconds."""

    backend: str
    losses: list[float]
    accuracies: list[float]
    first_step: float
    steps_per_second: float


class Watcher(Protocol):
    """Who is told how a run goes on."""

    def step(self, epoch: int, step: int, steps: int, loss: Tensor) -> None:
        """After every step, with its loss still on the device."""

    def epoch(self, epoch: int, losses: list[float], accuracy: float) -> None:
        """After every epoch, with the losses of its steps."""


class CheckpointError(RuntimeError):
    """A checkpoint that was read back is not what was saved."""


def loaders(batch_size: int) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Returns the batches to train on, shuffled, and those to test with."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (DEVIATION,))])
    training = Digits(train=True, transform=transform, size=28)
    testing = Digits(train=False, transform=transform, size=28)
    return DataLoader(training, batch_size=batch_size, shuffle=True), DataLoader(testing, batch_size=256)


def train(settings: Settings, watcher: Watcher, checkpoint: str | None = None) -> Result:
    """Trains a network on the default backend; saves it to `checkpoint` (else to a file that does not stay), reads it back.

    Raises CheckpointError when what is read back does not classify as what was saved.
    """
    torch.manual_seed(settings.seed)
    training, testing = loaders(settings.batch_size)
    model = Net()
    optimizer = optim.SGD(model.parameters(), lr=settings.lr, momentum=settings.momentum)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = F.nll_loss(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    run_step = torch.compile(step) if settings.compile else step
    clock = _Clock()
    losses: list[float] = []
    accuracies: list[float] = []
    for epoch in range(settings.epochs):
        model.train()
        of_epoch = _one_epoch(run_step, training, clock, lambda *state, epoch=epoch: watcher.step(epoch, *state))
        accuracies.append(accuracy(model, testing))
        watcher.epoch(epoch, of_epoch, accuracies[-1])
        losses += of_epoch
    _save_and_read_back(checkpoint, model, optimizer, testing, accuracies[-1])
    return Result(torch.get_backend(), losses, accuracies, clock.first, clock.rate())


class _Clock:
    """Seconds of the first step, and (steps, seconds) of each epoch, the first step left out."""

    def __init__(self) -> None:
        self.first = 0.0
        self.epochs: list[tuple[int, float]] = []

    def rate(self) -> float:
        """Returns steps per second of the fastest epoch: the first ones load and compile."""
        return max([steps / seconds for steps, seconds in self.epochs if steps], default=1.0 / self.first)


def _one_epoch(
    run_step: Callable[[Tensor, Tensor], Tensor], batches: DataLoader[Any], clock: _Clock, tell: Callable[..., None]
) -> list[float]:
    steps, losses = len(batches), []
    start = time.perf_counter()
    for number, (images, labels) in enumerate(batches):
        loss = run_step(images, labels).detach()
        losses.append(loss)
        if clock.first == 0.0:
            loss.item()  # until the device is done
            clock.first = time.perf_counter() - start
            start, steps = time.perf_counter(), steps - 1
        tell(number, len(batches), loss)
    values = [loss.item() for loss in losses]
    clock.epochs.append((steps, time.perf_counter() - start))
    return values


@torch.no_grad()
def accuracy(model: Net, batches: DataLoader[Any]) -> float:
    """Returns the part of the images whose most probable digit is right."""
    model.eval()
    right, count = 0, 0
    for images, labels in batches:
        right += int((model(images).argmax(1) == labels).sum())
        count += len(labels)
    return right / count


def _save_and_read_back(
    path: str | None, model: Net, optimizer: optim.Optimizer, testing: DataLoader[Any], expected: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = path or os.path.join(folder, "digits.pt")
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
        restored = Net()
        restored.load_state_dict(torch.load(path)["model"])
        found = accuracy(restored, testing)
    if found != expected:
        raise CheckpointError(
            f"the model read back from {path} is right for {found:.2%} of the digits, not {expected:.2%}"
        )
