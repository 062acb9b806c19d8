"""The demo's training is PyTorch's, number by number: same weights, same order, same losses."""

from __future__ import annotations

from typing import Any

import pytest

import torchplug
from torchplug.demo.model import Net
from torchplug.demo.training import DEVIATION, MEAN, Settings, train
from torchplug.vision.datasets import Digits

STEPS = 50


class Quiet:
    """A watcher that ends the run when there are enough steps."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def step(self, epoch: int, step: int, steps: int, loss: Any) -> None:
        self.losses.append(loss.item())

    def epoch(self, epoch: int, losses: list[float], accuracy: float) -> None:
        pass


@pytest.fixture(scope="module")
def expected() -> list[float]:
    """The losses of the same program in PyTorch."""
    torch = pytest.importorskip("torch")
    nn, F, data = torch.nn, torch.nn.functional, pytest.importorskip("torch.utils.data")

    class Reference(nn.Module):  # type: ignore[misc,name-defined]  # PyTorch's class
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
            self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
            self.fc = nn.Linear(320, 10)

        def forward(self, x: Any) -> Any:
            x = F.relu(F.max_pool2d(self.conv1(x), 2))
            x = F.relu(F.max_pool2d(self.conv2(x), 2))
            return F.log_softmax(self.fc(torch.flatten(x, 1)), dim=1)

    settings = Settings()
    torch.manual_seed(settings.seed)
    digits = Digits(train=True, size=28)
    images = (torch.from_numpy(digits.data.numpy())[:, None].float() / 255 - MEAN) / DEVIATION
    dataset = data.TensorDataset(images, torch.from_numpy(digits.targets.numpy()))
    loader = data.DataLoader(dataset, batch_size=settings.batch_size, shuffle=True)
    testing = data.DataLoader(dataset, batch_size=256)
    model = Reference()
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.lr, momentum=settings.momentum)
    losses: list[float] = []
    while len(losses) < STEPS:
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.nll_loss(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        next(iter(testing))  # an epoch ends with a test, which draws a seed
    return losses[:STEPS]


def available(name: str) -> bool:
    return torchplug.backends.status(name).state == "available"


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("backend", ["numpy", "jax", "strict"])
def test_the_first_fifty_losses_are_pytorchs(expected: list[float], backend: str, compiled: bool) -> None:
    if not available(backend):
        pytest.skip(f"backend '{backend}' is not available: {torchplug.backends.status(backend).reason}")
    watcher = Quiet()
    with torchplug.use_backend(backend):
        result = train(Settings(epochs=3, compile=compiled), watcher)
    assert result.losses == watcher.losses
    assert result.losses[:STEPS] == pytest.approx(expected, rel=0, abs=1e-4)


def test_the_weights_before_training_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    reference = [torch.nn.Conv2d(1, 10, 5), torch.nn.Conv2d(10, 20, 5), torch.nn.Linear(320, 10)]
    torchplug.manual_seed(0)
    ours = list(Net().parameters())
    theirs = [parameter for layer in reference for parameter in layer.parameters()]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.tolist() == other.tolist()
