"""Complex numbers from parts and angles, and back: complex, polar, conj, angle."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import broadcast_shapes, need_tensor, unary
from torchplug._core.inplace import inplace_twin, write_out
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import dtypes as dt

__all__ = ["angle", "complex", "conj", "conj_physical", "polar", "resolve_conj", "resolve_neg"]


# ---- kernels ---------------------------------------------------------------------------------------------------------

COMPLEX = Op("complex", ("real", "imag"), tensors=("real", "imag"), broadcasts=True, rules={
    "real": lambda F, g: F.real(g),
    "imag": lambda F, g: F.imag(g),
})  # fmt: skip
CONJ = Op("conj", ("input",), tensors=("input",), rules={"input": lambda F, g: F.conj_of(g)})


def _polar(F: Any, size: Any, angle: Any) -> Any:
    return F.complex(F.multiply(size, F.cos(angle)), F.multiply(size, F.sin(angle)))


def _polar_size_rule(F: Any, g: Any, angle: Any) -> Any:
    return F.add(F.multiply(F.real(g), F.cos(angle)), F.multiply(F.imag(g), F.sin(angle)))


def _polar_angle_rule(F: Any, g: Any, size: Any, angle: Any) -> Any:
    across = F.subtract(F.multiply(F.imag(g), F.cos(angle)), F.multiply(F.real(g), F.sin(angle)))
    return F.multiply(across, size)


POLAR = Op("polar", ("size", "angle"), tensors=("size", "angle"), forward=_polar, broadcasts=True, rules={
    "size": _polar_size_rule,
    "angle": _polar_angle_rule,
})  # fmt: skip


def _angle(F: Any, x: Any) -> Any:
    """The direction of complex numbers; of real ones 0 or pi, NaN of NaN."""
    if F.dtype_of(x).is_complex:
        return F.atan2(F.imag(x), F.real(x))
    turned = F.where(F.less(x, F.zeros_of(x, ())), F.full_of(x, (), math.pi), F.zeros_of(x, ()))
    return F.where(F.isnan(x), x, turned)


def _angle_rule(F: Any, g: Any, input: Any) -> Any:
    """g * i x / |x|^2 for complex numbers, 0 at 0; 0 for real ones."""
    if not F.dtype_of(input).is_complex:
        return F.zeros_of(g, tuple(g.shape))
    a, b = F.real(input), F.imag(input)
    squared = F.add(F.multiply(a, a), F.multiply(b, b))
    zero = F.equal(squared, 0)
    scale = F.divide(g, F.where(zero, F.full_of(squared, (), 1), squared))
    scale = F.where(zero, F.zeros_of(scale, ()), scale)
    return F.complex(F.negative(F.multiply(scale, b)), F.multiply(scale, a))


# ---- functions -------------------------------------------------------------------------------------------------------


def _complex_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    if x.dtype in (np.float32, np.float64):
        yield Sample(x, make(3, 4))
        yield Sample(x, make(4))
        yield Sample(make(), make(2))


def _complex_errors() -> Iterable[Sample]:
    x, n = np.ones(2, np.float32), np.ones(2, np.int64)
    yield Sample(
        n, n, error=(RuntimeError, "Expected both inputs to be Half, Float or Double tensors but got Long and Long")
    )
    yield Sample(
        x,
        np.ones(2),
        error=(RuntimeError, "Expected object of scalar type Float but got scalar type Double for second"),
    )


def _need_pair(first: Tensor, second: Tensor) -> None:
    kinds = (first._kind.dtype, second._kind.dtype)
    names = [scalar_type_name(dtype) for dtype in kinds]
    if any(dtype not in (dt.float16, dt.float32, dt.float64) for dtype in kinds):
        raise RuntimeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {names[0]} and {names[1]}"
        )
    if kinds[0] is not kinds[1]:
        raise RuntimeError(
            f"Expected object of scalar type {names[0]} but got scalar type {names[1]} for second argument"
        )
    broadcast_shapes(shape_of(first), shape_of(second))
    first._kind.to(kinds[0].to_complex())  # refused by name where the engine has no complex numbers


@declare(op=COMPLEX, samples=_complex_samples, errors=_complex_errors, method=False)
def complex(real: Tensor, imag: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns real + i * imag, from two tensors of one float type."""
    need_tensor("complex", real, "real")
    need_tensor("complex", imag, "imag", 2)
    _need_pair(real, imag)
    result = COMPLEX(*_broadcast(real, imag))
    return result if out is None else write_out(out, result, "complex")


def _broadcast(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    shape = broadcast_shapes(shape_of(first), shape_of(second))
    return tuple(x if shape_of(x) == shape else x.expand(shape) for x in (first, second))  # type: ignore[return-value]


def _polar_samples(make: Any) -> Iterable[Sample]:
    for sample in _complex_samples(make):
        yield Sample(np.asarray(abs(sample.args[0])), sample.args[1])


@declare(op=POLAR, samples=_polar_samples, errors=_complex_errors, method=False)
def polar(abs: Tensor, angle: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the complex numbers of given modulus and angle."""
    need_tensor("polar", abs, "abs")
    need_tensor("polar", angle, "angle", 2)
    _need_pair(abs, angle)
    result = POLAR(*_broadcast(abs, angle))
    return result if out is None else write_out(out, result, "polar")


def _number_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))
    yield Sample(make())


@declare(op=CONJ, samples=_number_samples, dtypes=("float", "int", "bool"))
def conj(input: Tensor) -> Tensor:
    """Returns the conjugate, in memory of its own (PyTorch's is a view that is conjugated when read); a real tensor as it is."""
    need_tensor("conj", input)
    return CONJ(input) if input._kind.dtype.is_complex else input


@declare(op=CONJ, samples=_number_samples, dtypes=("complex", "float", "int"))
def conj_physical(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the conjugate in memory of its own; a real tensor as it is."""
    result = conj(input)
    return result if out is None else write_out(out, result, "conj_physical")


Tensor.conj_physical_ = inplace_twin(conj)  # type: ignore[method-assign]  # attached here


@declare(samples=_number_samples, dtypes=("complex", "float"), method=False, differentiable=True)
def resolve_conj(input: Tensor) -> Tensor:
    """Returns the input: conjugates are computed, never pending."""
    need_tensor("resolve_conj", input)
    return input


@declare(samples=_number_samples, dtypes=("complex", "float"), method=False, differentiable=True)
def resolve_neg(input: Tensor) -> Tensor:
    """Returns the input: negatives are computed, never pending."""
    need_tensor("resolve_neg", input)
    return input


angle = unary(
    "angle", _angle_rule, """Returns the angle of complex numbers in radians; of real ones 0, or pi below 0.""", forward=_angle,
    floats=True, result="real", dtypes=("float", "complex", "int"), inplace=False,
)  # fmt: skip
