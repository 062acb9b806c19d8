"""`torch.special`: functions of mathematics beyond the elementary, under SciPy's names."""

from torchplug.ops.softmax import log_softmax, softmax
from torchplug.ops.special_functions import SPECIAL

globals().update(SPECIAL)

__all__ = ["log_softmax", "softmax"]
__all__ += SPECIAL
