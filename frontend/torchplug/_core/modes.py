"""Per-context switches: gradient recording, inference mode, anomaly detection, default dtype."""

from __future__ import annotations

from contextvars import ContextVar

from torchplug_spec import DType
from torchplug_spec import dtypes as _dtypes

__all__ = [
    "WITH_LINES",
    "anomaly",
    "check_nan",
    "default_dtype",
    "grad_enabled",
    "grad_mode",
    "inference",
    "recording_mode",
    "set_default_dtype",
]

WITH_LINES = 2
"""The grad mode in which every node also remembers the line that made it (anomaly detection)."""

grad_mode: ContextVar[int] = ContextVar("grad_mode", default=True)
"""False: nothing is recorded. True: nodes are. WITH_LINES: nodes with their lines. One variable, so that the hot path asks once."""
grad_enabled = grad_mode.get
inference: ContextVar[bool] = ContextVar("inference", default=False)
anomaly: ContextVar[bool] = ContextVar("anomaly", default=False)
check_nan: ContextVar[bool] = ContextVar("check_nan", default=True)
_default_dtype: ContextVar[DType] = ContextVar("default_dtype", default=_dtypes.float32)
default_dtype = _default_dtype.get


def recording_mode() -> int:
    """Returns the grad mode that means "on" here: WITH_LINES under anomaly detection."""
    return WITH_LINES if anomaly.get() else True


def set_default_dtype(dtype: DType) -> None:
    """Sets the dtype of tensors made from Python floats; floating point types only."""
    if not isinstance(dtype, DType):
        raise TypeError(f"invalid dtype object: got {type(dtype).__name__}, expected torch.dtype")
    if not dtype.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    _default_dtype.set(dtype)
