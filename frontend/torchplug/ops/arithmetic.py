"""Sums, products, quotients and powers of two tensors, elementwise."""

from __future__ import annotations

from typing import Any

from torchplug._core.elementwise import binary, unary
from torchplug._core.kernels import composition
from torchplug._core.tensor import Tensor

__all__ = ["add_plain", "divide", "mul", "neg"]


@composition
def conj_of(F: Any, x: Any) -> Any:
    """Returns the conjugate of a complex array, a real one as it is (Python numbers too)."""
    if isinstance(x, (int, float)):
        return x
    return F.conj(x) if F.dtype_of(x).is_complex else x


@composition
def negative(F: Any, x: Any) -> Any:
    """Returns -x; multiplying keeps the sign of zero right."""
    return F.multiply(x, -1)


add_plain = binary(
    "add",
    {"input": lambda F, g: g, "other": lambda F, g: g},
    """Returns `input + other`, broadcast and promoted.""",
    dtypes=("float", "complex", "int", "bool"),
)

mul = binary(
    "mul",
    {
        "input": lambda F, g, other: F.multiply(g, F.conj_of(other)),
        "other": lambda F, g, input: F.multiply(g, F.conj_of(input)),
    },
    """Returns `input * other`, broadcast and promoted.""",
    kernel="multiply",
    dtypes=("float", "complex", "int", "bool"),
    aliases=("multiply",),
    swap=True,
)

divide = binary(
    "div",
    {
        "input": lambda F, g, other: F.divide(g, F.conj_of(other)),
        "other": lambda F, g, input, other: F.negative(
            F.multiply(g, F.conj_of(F.divide(F.divide(input, other), other)))
        ),
    },
    """Returns `input / other`; integers are divided in the default dtype.""",
    kernel="divide",
    floats=True,
)

neg = unary("neg", lambda F, g: F.negative(g), """Returns `-input`.""", kernel="negative", dtypes=("float", "complex", "int"),
            aliases=("negative",), refuse=("bool",))


def _as_tensor(x: Any) -> Tensor:
    return x
