"""The same names at torchvision's inner path, `torchvision.transforms.transforms`."""

from torchplug.vision.transforms import *  # noqa: F403  # the list is the package's
from torchplug.vision.transforms import __all__ as _names

__all__ = list(_names)  # noqa: PLE0605  # a list of strings
