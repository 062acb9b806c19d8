"""Python's operators on Tensors: + - * / // % ** @ & | ^ ~ << >> comparisons, their reflected and in-place forms."""

from __future__ import annotations

from typing import Any

from torchplug._core.declare import DECLARATIONS
from torchplug._core.tensor import Tensor
from torchplug_spec import dtypes as dt

__all__ = ["attach"]

_FORWARD = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide", "mod": "remainder", "pow": "pow",
    "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift", "eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge",
}  # fmt: skip
_UNARY = {"neg": "neg", "pos": "positive", "invert": "bitwise_not", "abs": "abs"}
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_OPERANDS = (Tensor, bool, int, float, complex)


def attach() -> None:
    """Sets the operator methods; called once all functions are declared."""
    for operator, name in _FORWARD.items():
        if name in DECLARATIONS:
            _attach_binary(operator, DECLARATIONS[name])
    for operator, name in _UNARY.items():
        if name in DECLARATIONS:
            setattr(Tensor, f"__{operator}__", DECLARATIONS[name].function)


def _attach_binary(operator: str, declaration: Any) -> None:
    function = declaration.operator or declaration.function
    comparison = operator in _COMPARISONS

    def forward(self: Tensor, other: Tensor | complex) -> Tensor:
        try:
            return function(self, other)
        except TypeError:
            if isinstance(other, _OPERANDS) or hasattr(other, "__array__"):
                raise
            return NotImplemented

    forward.__name__ = f"__{operator}__"
    # Functions of the factory `binary` ask a foreign operand's reflected method themselves: no layer between.
    setattr(Tensor, forward.__name__, function if hasattr(function, "reflected") and not comparison else forward)
    if comparison:
        return

    def reflected(self: Tensor, other: Tensor | complex) -> Tensor:
        if not isinstance(other, _OPERANDS) and not hasattr(other, "__array__"):
            return NotImplemented
        return function(_as_left(other, self, operator), self)

    reflected.__name__ = f"__r{operator}__"
    setattr(Tensor, reflected.__name__, reflected)
    twin = getattr(Tensor, f"{declaration.name}_", None)
    if twin is not None:

        def inplace(self: Tensor, other: Tensor | complex) -> Tensor:
            if not isinstance(other, _OPERANDS) and not hasattr(other, "__array__"):
                return NotImplemented
            return twin(self, other)

        setattr(Tensor, f"__i{operator}__", inplace)


def _as_left(value: Any, like: Tensor, operator: str) -> Tensor:
    """Returns a number as a 0-d tensor that promotes like the number, to stand on the left.

    A dividend is no integer, and a bool remains one in differences, which refuse it.
    """
    from torchplug._core.elementwise import as_number
    from torchplug._core.modes import default_dtype
    from torchplug._core.promotion import result_type
    from torchplug._core.tensor import wrap

    if isinstance(value, Tensor):
        return value
    if getattr(value, "ndim", 0):
        from torchplug.ops.from_data import as_tensor

        return as_tensor(value)
    number = value if isinstance(value, (bool, int, float, complex)) else as_number("operator", value)
    common = result_type(like, number)
    if operator == "sub" and isinstance(number, bool):
        common = dt.bool_
    elif operator == "truediv" and not (common.is_floating_point or common.is_complex):
        common = default_dtype()
    kind = like._kind.to(common)
    return wrap(kind.scalar(number), kind)
