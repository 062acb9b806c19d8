"""Comparisons, logic and bits, elementwise, and tests of single numbers (isnan, isinf, ...)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import binary, broadcast_shapes, convert, need_tensor, unary
from torchplug._core.inplace import inplace_twin
from torchplug._core.kernels import composition
from torchplug._core.modes import default_dtype
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug_spec import dtypes as dt

__all__ = [
    "allclose", "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "eq",
    "equal", "ge", "gt", "isclose", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "isreal", "le", "logical_and",
    "logical_not", "logical_or", "logical_xor", "lt", "ne",
]  # fmt: skip

_ALL = ("float", "complex", "int", "bool")
_REAL = ("float", "int", "bool")


# ---- comparisons -----------------------------------------------------------------------------------------------------


@composition
def not_equal(F: Any, x: Any, y: Any) -> Any:
    return F.bitwise_invert(F.equal(x, y))


@composition
def less_equal(F: Any, x: Any, y: Any) -> Any:
    return F.bitwise_or(F.less(x, y), F.equal(x, y))


@composition
def greater(F: Any, x: Any, y: Any) -> Any:
    return F.less(y, x)


@composition
def greater_equal(F: Any, x: Any, y: Any) -> Any:
    return F.bitwise_or(F.less(y, x), F.equal(x, y))


def _comparison_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    yield Sample(x, make(3, 4))
    yield Sample(x, x)
    yield Sample(x, x[:, :1])
    yield Sample(make(), make(2))
    yield Sample(make(3), 1)
    yield Sample(make(3), 0.5)
    yield Sample(make(2, 0), make(1))


KEEP = Op("keep", ("value", "input", "other"), tensors=("value", "input", "other"), forward=lambda F, value, input, other: value, rules={
    "input": lambda F, g, input_shape: F.zeros_of(g, input_shape),
    "other": lambda F, g, other_shape: F.zeros_of(g, other_shape),
})  # fmt: skip
"""A value that does not change with its operands: what a comparison written into a float tensor leaves in the graph."""


def _written(function: Any, *names: str) -> None:
    """Gives Tensor the in-place twins of a function without gradient: they cut the history with zeros, as PyTorch's do."""

    def constant(input: Tensor, other: Any = None) -> Tensor:
        value = function(input) if other is None else function(input, other)
        if input._node is None and getattr(other, "_node", None) is None:
            return value
        return KEEP(value, input, other)

    for name in names:
        constant.__name__ = name
        setattr(Tensor, f"{name}_", inplace_twin(constant))


def _comparison(name: str, kernel: str, sign: str, *alias: str, ordered: bool = True) -> Any:
    function = binary(
        name, {}, f"""Returns where `input {sign} other`, as bool.""", kernel=kernel, result="bool", samples=_comparison_samples,
        dtypes=_REAL if ordered else _ALL, aliases=alias, refuse={"complex": f"{name}_cpu"} if ordered else None,
    )  # fmt: skip
    _written(function, name, *alias)
    return function


lt = _comparison("lt", "less", "<", "less")
gt = _comparison("gt", "greater", ">", "greater")
le = _comparison("le", "less_equal", "<=", "less_equal")
ge = _comparison("ge", "greater_equal", ">=", "greater_equal")
eq = _comparison("eq", "equal", "==", ordered=False)
ne = _comparison("ne", "not_equal", "!=", "not_equal", ordered=False)


# ---- logic -----------------------------------------------------------------------------------------------------------


def _as_bool(F: Any, x: Any) -> Any:
    return F.astype(x, dt.bool_)


@composition
def logical_not_(F: Any, x: Any) -> Any:
    return F.bitwise_invert(_as_bool(F, x))


@composition
def logical_and_(F: Any, x: Any, y: Any) -> Any:
    return F.bitwise_and(_as_bool(F, x), _as_bool(F, y))


@composition
def logical_or_(F: Any, x: Any, y: Any) -> Any:
    return F.bitwise_or(_as_bool(F, x), _as_bool(F, y))


@composition
def logical_xor_(F: Any, x: Any, y: Any) -> Any:
    return F.bitwise_xor(_as_bool(F, x), _as_bool(F, y))


def _truth_samples(make: Any) -> Iterable[Sample]:
    x, y = make(3, 4), make(4)
    yield Sample(x * (x > 0), y * (y > 0))
    yield Sample(x, x * 0)


logical_not = unary(
    "logical_not", None, """Returns where the input is 0 (or False).""", result="bool", inplace=False, dtypes=_ALL
)
logical_and = binary(
    "logical_and",
    {},
    """Returns where both are not 0.""",
    result="bool",
    inplace=False,
    numbers=False,
    dtypes=_ALL,
    samples=_truth_samples,
)
_written(logical_not, "logical_not")
logical_or = binary(
    "logical_or",
    {},
    """Returns where either is not 0.""",
    result="bool",
    inplace=False,
    numbers=False,
    dtypes=_ALL,
    samples=_truth_samples,
)
logical_xor = binary(
    "logical_xor",
    {},
    """Returns where exactly one is not 0.""",
    result="bool",
    inplace=False,
    numbers=False,
    dtypes=_ALL,
    samples=_truth_samples,
)


_written(logical_and, "logical_and")
_written(logical_or, "logical_or")
_written(logical_xor, "logical_xor")


# ---- bits ------------------------------------------------------------------------------------------------------------


@composition
def bitwise_xor_(F: Any, x: Any, y: Any) -> Any:
    return F.bitwise_and(F.bitwise_or(x, y), F.bitwise_invert(F.bitwise_and(x, y)))


@composition
def bitwise_left_shift_(F: Any, x: Any, y: Any) -> Any:
    """Returns x * 2 ** y modulo the width of the type; 0 when all bits are shifted out."""
    bits = 8 * F.dtype_of(x).itemsize
    inside = F.bitwise_and(F.less(-1, y), F.less(y, bits))
    amount = F.where(inside, y, F.zeros_of(y, ()))
    return F.where(inside, F.multiply(x, F.pow(F.full_of(x, (), 2), amount)), F.zeros_of(x, ()))


@composition
def bitwise_right_shift_(F: Any, x: Any, y: Any) -> Any:
    """Returns x / 2 ** y rounded down; the sign's -1 or 0 when all bits are shifted out."""
    bits = 8 * F.dtype_of(x).itemsize
    inside = F.bitwise_and(F.less(-1, y), F.less(y, bits - 1))
    amount = F.where(inside, y, F.zeros_of(y, ()))
    ends = (
        F.where(F.less(x, 0), F.full_of(x, (), -1), F.zeros_of(x, ())) if F.dtype_of(x).is_signed else F.zeros_of(x, ())
    )
    return F.where(inside, F.floor_divide(x, F.pow(F.full_of(x, (), 2), amount)), ends)


def _no_floats(kernel: str, *more: str) -> dict[str, Any]:
    return dict.fromkeys(("float", "complex", *more), kernel)


def _bit_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), make(3, 4))
    yield Sample(make(3, 1), make(4))
    x = make(3)
    yield Sample(x, True if x.dtype.kind == "b" else 6)


def _bit_errors() -> Iterable[Sample]:
    import numpy as np

    x = np.ones(2, np.float32)
    yield Sample(x, x, error=(NotImplementedError, "not implemented for 'Float'"))


bitwise_not = unary(
    "bitwise_not",
    None,
    """Returns the bits turned over; of bool the negation.""",
    kernel="bitwise_invert",
    dtypes=("int", "bool"),
    refuse=_no_floats("bitwise_not_cpu"),
)
bitwise_and = binary(
    "bitwise_and",
    {},
    """Returns the bits set in both.""",
    dtypes=("int", "bool"),
    samples=_bit_samples,
    errors=_bit_errors,
    refuse=_no_floats("bitwise_and_cpu"),
    swap=True,
)
bitwise_or = binary(
    "bitwise_or",
    {},
    """Returns the bits set in either.""",
    dtypes=("int", "bool"),
    samples=_bit_samples,
    errors=_bit_errors,
    refuse=_no_floats("bitwise_or_cpu"),
    swap=True,
)
bitwise_xor = binary(
    "bitwise_xor",
    {},
    """Returns the bits set in exactly one.""",
    dtypes=("int", "bool"),
    samples=_bit_samples,
    errors=_bit_errors,
    refuse=_no_floats("bitwise_xor_cpu"),
    swap=True,
)


def _shift_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), abs(make(4)))
    yield Sample(make(3, 4), 2)
    yield Sample(make(3, 4), 7)


bitwise_left_shift = binary(
    "bitwise_left_shift", {}, """Returns `input * 2 ** other`, the bits moved up.""", dtypes=("int",), samples=_shift_samples,
    refuse=_no_floats("lshift_cpu", "bool"), swap=True, aliases=("__lshift__",),
)  # fmt: skip
bitwise_right_shift = binary(
    "bitwise_right_shift", {}, """Returns `input / 2 ** other` rounded down, the bits moved down.""", dtypes=("int",),
    samples=_shift_samples, refuse=_no_floats("rshift_cpu", "bool"), swap=True, aliases=("__rshift__",),
)  # fmt: skip


# ---- kinds of numbers ------------------------------------------------------------------------------------------------


def _inexact(F: Any, x: Any) -> bool:
    dtype = F.dtype_of(x)
    return dtype.is_floating_point or dtype.is_complex


@composition
def isnan_(F: Any, x: Any) -> Any:
    return F.not_equal(x, x)


@composition
def isinf_(F: Any, x: Any) -> Any:
    return F.equal(F.abs(x), math.inf) if _inexact(F, x) else F.not_equal(x, x)


@composition
def isfinite_(F: Any, x: Any) -> Any:
    if F.dtype_of(x).is_complex:
        return F.bitwise_and(F.isfinite(F.real(x)), F.isfinite(F.imag(x)))
    return F.less(F.abs(x), math.inf) if _inexact(F, x) else F.equal(x, x)


def _extreme_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    yield Sample(x)
    if x.dtype.kind in "fc":
        x[0, 0], x[1, 1], x[2, 2] = math.inf, -math.inf, math.nan
        yield Sample(x)


def _number_test(name: str, doc: str, forward: Any = None, dtypes: tuple[str, ...] = _ALL) -> Any:
    refuse = None if "complex" in dtypes else {"complex": RuntimeError(f"{name} does not support complex inputs.")}
    return unary(
        name,
        None,
        doc,
        forward=forward,
        result="bool",
        inplace=False,
        dtypes=dtypes,
        samples=_extreme_samples,
        refuse=refuse,
    )


isnan = _number_test("isnan", """Returns where the input is NaN.""")
isinf = _number_test("isinf", """Returns where the input is inf or -inf.""")
isfinite = _number_test("isfinite", """Returns where the input is neither infinite nor NaN.""")
isposinf = _number_test(
    "isposinf", """Returns where the input is inf.""",
    lambda F, x: F.equal(x, math.inf) if _inexact(F, x) else F.not_equal(x, x), _REAL,
)  # fmt: skip
isneginf = _number_test(
    "isneginf", """Returns where the input is -inf.""",
    lambda F, x: F.equal(x, -math.inf) if _inexact(F, x) else F.not_equal(x, x), _REAL,
)  # fmt: skip
isreal = _number_test(
    "isreal", """Returns where the imaginary part is 0.""",
    lambda F, x: F.equal(F.imag(x), 0) if F.dtype_of(x).is_complex else F.equal(F.zeros_of(x, tuple(x.shape)), F.zeros_of(x, ())),
)  # fmt: skip


# ---- closeness -------------------------------------------------------------------------------------------------------


def _close_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    yield Sample(x, x)
    yield Sample(x, make(3, 4))
    if x.dtype.kind == "f":
        yield Sample(x, x * 1.001, rtol=0.01)
        yield Sample(x, x + 0.001, rtol=0.0, atol=0.01)
        x[0, 0] = math.nan
        yield Sample(x, x)
        yield Sample(x, x, equal_nan=True)


def _close_errors() -> Iterable[Sample]:
    import numpy as np

    x = np.ones(2, np.float32)
    yield Sample(x, np.ones(2, np.int64), error=(RuntimeError, "Float did not match Long"))
    yield Sample(x, x, rtol=-1.0, error=(RuntimeError, "rtol must be greater than or equal to zero, but got -1"))


def _isclose(F: Any, x: Any, y: Any, rtol: float, atol: float, equal_nan: bool) -> Any:
    close = F.equal(x, y)
    if equal_nan:
        close = F.bitwise_or(close, F.bitwise_and(F.isnan(x), F.isnan(y)))
    gap = F.abs(F.subtract(x, y))
    allowed = F.add(F.multiply(F.abs(y), rtol), atol)
    return F.bitwise_or(close, F.bitwise_and(F.isfinite(gap), F.less_equal(gap, allowed)))


ISCLOSE = Op(
    "isclose",
    ("input", "other", "rtol", "atol", "equal_nan"),
    tensors=("input", "other"),
    forward=_isclose,
    differentiable_outputs=0,
)


@declare(op=ISCLOSE, samples=_close_samples, errors=_close_errors, dtypes=_ALL, differentiable=False)
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Returns where `|input - other| <= atol + rtol * |other|`, as bool."""
    need_tensor("isclose", input)
    need_tensor("isclose", other, "other", 2)
    from torchplug._core.naming import scalar_type_name

    if input._kind.dtype is not other._kind.dtype:
        raise RuntimeError(f"{scalar_type_name(input._kind.dtype)} did not match {scalar_type_name(other._kind.dtype)}")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value:g}")
    broadcast_shapes(shape_of(input), shape_of(other))
    if not input._kind.inexact:
        input, other = convert(input, default_dtype()), convert(other, default_dtype())
    return ISCLOSE(input, other, float(rtol), float(atol), equal_nan)


@declare(samples=_close_samples, errors=_close_errors, dtypes=_ALL, differentiable=False)
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Returns whether all elements are close, see `isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


@declare(
    samples=lambda make: [Sample(make(3), make(3)), Sample(make(3), make(2)), Sample(make(0), make(0))],
    dtypes=_ALL,
    differentiable=False,
)
def equal(input: Tensor, other: Tensor) -> bool:
    """Returns whether both tensors have the same size and equal elements."""
    need_tensor("equal", input)
    need_tensor("equal", other, "other", 2)
    if shape_of(input) != shape_of(other):
        return False
    return bool(eq(input, other).all())
