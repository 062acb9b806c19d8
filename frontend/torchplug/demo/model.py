"""The network of the tutorials, written as one writes it for PyTorch."""

import torchplug as torch
import torchplug.nn as nn
import torchplug.nn.functional as F
from torchplug import Tensor

__all__ = ["Net"]


class Net(nn.Module):
    """A digit of 28x28 pixels in, the logarithms of ten probabilities out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.fc = nn.Linear(320, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = torch.flatten(x, 1)
        return F.log_softmax(self.fc(x), dim=1)
