"""Changing a whole module at once: dtype, device, training mode, gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from torchplug._core.device import DeviceLike
from torchplug._core.tensor import Parameter, Tensor
from torchplug.autograd.grad_mode import no_grad
from torchplug.nn.parameter import is_lazy
from torchplug_spec import DType

if TYPE_CHECKING:
    from torchplug.nn.modules.module import Module

__all__ = [
    "apply", "apply_to_tensors", "bfloat16", "cpu", "cuda", "double", "eval", "float", "half", "requires_grad_",
    "share_memory", "to", "to_empty", "train", "type", "zero_grad",
]  # fmt: skip

M = TypeVar("M", bound="Module")
Change = Callable[[Tensor], Tensor]


def apply_to_tensors(self: M, fn: Change, recurse: bool = True) -> M:
    """Replaces the data of every parameter, its gradient, and every buffer by `fn` of it; returns self."""
    if recurse:
        for module in self.children():
            module._apply(fn)
    for parameter in self._parameters.values():
        if parameter is not None:
            _change_parameter(parameter, fn)
    for name, buffer in self._buffers.items():
        if buffer is None:
            continue
        if is_lazy(buffer):
            buffer.data = fn(buffer.data)
        else:
            self._buffers[name] = fn(buffer)
    return self


def _change_parameter(parameter: Parameter, fn: Change) -> None:
    with no_grad():
        changed = fn(parameter.data if is_lazy(parameter) else parameter)
        gradient = parameter.grad
        changed_gradient = None if gradient is None else fn(gradient)
    # The old gradient would not fit the new data; the new one is set again below.
    parameter.grad = None
    parameter.data = changed
    if gradient is not None and changed_gradient is not None:
        requires_grad = gradient.requires_grad
        gradient.data = changed_gradient
        parameter.grad = gradient.requires_grad_(requires_grad)


def apply(self: M, fn: Callable[[Module], None]) -> M:
    """Calls `fn` with every module, children first, and returns self; used to initialize weights."""
    for module in self.children():
        module.apply(fn)
    fn(self)
    return self


def to(self: M, *args: Any, **kwargs: Any) -> M:
    """Moves and casts parameters and buffers, in place; returns self.

    `to(device)`, `to(dtype)`, `to(device, dtype)`, `to(tensor)`. Only floating point and complex tensors are cast.
    Raises TypeError for an integer dtype.
    """
    from torchplug._tensor.methods import read_to

    dtype, device, _ = read_to(args, kwargs)
    if dtype is not None:
        if not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )
        if dtype.is_complex:
            _warn_of_complex()

    def change(x: Tensor) -> Tensor:
        inexact = x._kind.dtype.is_floating_point or x._kind.dtype.is_complex
        return x.to(device=device, dtype=dtype if inexact else None)

    return self._apply(change)


def _warn_of_complex() -> None:
    warnings.warn(
        "Complex modules are a new feature under active development whose design may change, and some modules might "
        "not work as expected when using complex tensors as parameters or buffers. Please file an issue at "
        "https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml if a complex module does not work as "
        "expected.",
        stacklevel=3,
    )


def to_empty(self: M, *, device: Any, recurse: bool = True) -> M:
    """Moves parameters and buffers to a device without copying their values."""
    from torchplug.ops.creation import empty_like

    return self._apply(lambda x: empty_like(x, device=device), recurse=recurse)


def cpu(self: M) -> M:
    """Moves parameters and buffers to the CPU."""
    return self._apply(lambda x: x.cpu())


def cuda(self: M, device: DeviceLike = None) -> M:
    """Moves parameters and buffers to a CUDA device."""
    return self._apply(lambda x: x.cuda(device))


def type(self: M, dst_type: DType | str) -> M:  # noqa: A001 -- PyTorch's name
    """Casts all parameters and buffers, integers too."""
    return self._apply(lambda x: x.type(dst_type))


def _cast(name: str) -> Callable[[M], M]:
    def cast(self: M) -> M:
        return self._apply(lambda x: getattr(x, name)() if x.is_floating_point() else x)

    cast.__name__ = cast.__qualname__ = name
    cast.__doc__ = f"Casts floating point parameters and buffers to {name}."
    return cast


float, double, half, bfloat16 = _cast("float"), _cast("double"), _cast("half"), _cast("bfloat16")  # noqa: A001


def train(self: M, mode: bool = True) -> M:
    """Sets training mode for this module and all below it; returns self."""
    if not isinstance(mode, bool):
        raise ValueError("training mode is expected to be boolean")
    self.training = mode
    for module in self.children():
        module.train(mode)
    return self


def eval(self: M) -> M:  # noqa: A001 -- PyTorch's name
    """Sets evaluation mode: `train(False)`."""
    return self.train(False)


def requires_grad_(self: M, requires_grad: bool = True) -> M:
    """Switches gradients of all parameters on or off; returns self."""
    for parameter in self.parameters():
        parameter.requires_grad_(requires_grad)
    return self


def zero_grad(self: Module, set_to_none: bool = True) -> None:
    """Forgets the gradients of all parameters, or fills them with zeros."""
    for parameter in self.parameters():
        gradient = parameter.grad
        if gradient is None:
            continue
        if set_to_none:
            parameter.grad = None
            continue
        if gradient.grad_fn is not None:
            gradient.detach_()
        else:
            gradient.requires_grad_(False)
        gradient.zero_()


def share_memory(self: M) -> M:
    """Moves parameters and buffers to memory that other processes can see."""
    return self._apply(lambda x: x.share_memory_())
