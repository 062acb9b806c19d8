"""Softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare
from torchplug._core.dims import wrap_dim
from torchplug._core.elementwise import argument_error, convert
from torchplug._core.inplace import write_out
from torchplug._core.kernels import composition
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import DType

__all__ = ["log_softmax", "softmax"]


def _softmax(F: Any, x: Any, dim: int) -> Any:
    # Subtracting the maximum keeps exp in range.
    powers = F.exp(F.subtract(x, F.max(x, dim, True)))
    return F.divide(powers, F.sum(powers, dim, True))


def _log_softmax(F: Any, x: Any, dim: int) -> Any:
    shifted = F.subtract(x, F.max(x, dim, True))
    return F.subtract(shifted, F.log(F.sum(F.exp(shifted), dim, True)))


def _softmax_backward(F: Any, g: Any, out: Any, dim: int) -> Any:
    weighted = F.multiply(g, out)
    return F.subtract(weighted, F.multiply(out, F.sum(weighted, dim, True)))


def _log_softmax_backward(F: Any, g: Any, out: Any, dim: int) -> Any:
    return F.subtract(g, F.multiply(F.exp(out), F.sum(g, dim, True)))


Op(
    "softmax_backward",
    ("g", "out", "dim"),
    tensors=("g", "out"),
    forward=_softmax_backward,
    node="SoftmaxBackwardDataBackward0",
)
Op(
    "log_softmax_backward",
    ("g", "out", "dim"),
    tensors=("g", "out"),
    forward=_log_softmax_backward,
    node="LogSoftmaxBackwardDataBackward0",
)
SOFTMAX = Op("softmax", ("input", "dim"), tensors=("input",), forward=_softmax, rules={
    "input": lambda F, g, out, dim: F.softmax_backward(g, out, dim),
})  # fmt: skip
LOG_SOFTMAX = Op("log_softmax", ("input", "dim"), tensors=("input",), forward=_log_softmax, rules={
    "input": lambda F, g, out, dim: F.log_softmax_backward(g, out, dim),
})  # fmt: skip


@composition
def logsumexp_of(F: Any, x: Any, dim: int, keepdims: bool) -> Any:
    """Returns log(sum(exp(x))) over one dimension."""
    top = F.max(x, dim, True)
    out = F.add(top, F.log(F.sum(F.exp(F.subtract(x, top)), dim, True)))
    return out if keepdims else F.reshape(out, tuple(length for place, length in enumerate(x.shape) if place != dim))


def _samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), 1)
    yield Sample(make(3, 4), 0)
    yield Sample(make(2, 3, 4), -2)
    yield Sample(make(), 0)
    yield Sample(make(0, 3), 1)
    yield Sample(make(2, 3, low=900, high=903), 1)  # exp overflows unless the maximum is taken out


def _errors() -> Iterable[Sample]:
    import numpy as np

    yield Sample(np.zeros((2, 3), np.float32), 2, error=(IndexError, "Dimension out of range"))
    yield Sample(np.zeros((2, 3), np.int64), 1, error=(NotImplementedError, "not implemented for 'Long'"))


def _run(name: str, op: Op, input: Tensor, dim: int, dtype: DType | None, out: Tensor | None) -> Tensor:
    if not isinstance(input, Tensor):
        raise argument_error(name, "input", "Tensor", input)
    if dtype is not None:
        input = convert(input, dtype)
    ndim = len(shape_of(input))
    place = wrap_dim(dim, ndim)
    if not input._kind.dtype.is_floating_point:
        kernel = f"{name}_lastdim_kernel_impl" if place == max(ndim - 1, 0) else f"{name}_kernel_impl"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_type_name(input._kind.dtype)}'")
    if not ndim:
        result = op(input.reshape((1,)), 0).reshape(())
    elif 0 in shape_of(input):
        # Nothing to compute, and no maximum to take.
        result = input.clone()
    else:
        result = op(input, place)
    return result if out is None else write_out(out, result, name)


@declare(op=SOFTMAX, samples=_samples, errors=_errors)
def softmax(input: Tensor, dim: int, dtype: DType | None = None, *, out: Tensor | None = None) -> Tensor:
    """Returns exp(x) / sum(exp(x)) over `dim`; `dtype` converts the input first."""
    if CASTING and (cast := casting("softmax")) is not None:
        return cast(softmax, input, dim, dtype, out=out)
    return _run("softmax", SOFTMAX, input, dim, dtype, out)


@declare(op=LOG_SOFTMAX, samples=_samples, errors=_errors)
def log_softmax(input: Tensor, dim: int, dtype: DType | None = None, *, out: Tensor | None = None) -> Tensor:
    """Returns log(softmax(x)) over `dim`, stable where softmax underflows; `dtype` converts the input first."""
    if CASTING and (cast := casting("log_softmax")) is not None:
        return cast(log_softmax, input, dim, dtype, out=out)
    return _run("log_softmax", LOG_SOFTMAX, input, dim, dtype, out)
