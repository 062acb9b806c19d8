"""Automatic differentiation: `backward`, `grad`, the modes that switch recording, and functions with rules of your own."""

from torchplug._core.tensor import Tensor as Variable
from torchplug.autograd import anomaly_mode, function, grad_mode
from torchplug.autograd.anomaly_mode import detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from torchplug.autograd.call import backward, grad
from torchplug.autograd.function import Function
from torchplug.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from torchplug.autograd.gradcheck import gradcheck, gradgradcheck

__all__ = [
    "Function",
    "Variable",
    "anomaly_mode",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "function",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]
