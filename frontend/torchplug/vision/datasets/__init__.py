"""Data sets of images: digits that come with the package, and readers of files you have."""

from torchplug.vision.datasets.digits import Digits
from torchplug.vision.datasets.mnist import KMNIST, MNIST, FashionMNIST
from torchplug.vision.datasets.vision import StandardTransform, VisionDataset

__all__ = ["KMNIST", "MNIST", "Digits", "FashionMNIST", "StandardTransform", "VisionDataset"]
