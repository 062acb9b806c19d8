"""Functions of `torch.special` alone: special_entr, special_ndtr, special_xlog1py, special_i1, ..."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from torchplug._core.declare import Sample, declare
from torchplug._core.elementwise import broadcast_shapes, convert, need_tensor, promote
from torchplug._core.inplace import write_out
from torchplug._core.modes import default_dtype
from torchplug._core.op import Op
from torchplug._core.promotion import result_type
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.bessel import i0, i1_rule, i1e_rule
from torchplug.ops.error_functions import erf, erfc, erfinv
from torchplug.ops.exponential import exp2, expm1, log1p, logit, sigmoid, xlogy
from torchplug.ops.gamma_functions import digamma, lgamma, mvlgamma, polygamma
from torchplug.ops.reductions import logsumexp
from torchplug.ops.rounding import round
from torchplug.ops.trigonometry import sinc

__all__ = ["SPECIAL"]

SPECIAL: dict[str, Any] = {
    "digamma": digamma, "erf": erf, "erfc": erfc, "erfinv": erfinv, "exp2": exp2, "expit": sigmoid, "expm1": expm1, "gammaln": lgamma,
    "i0": i0, "log1p": log1p, "logit": logit, "logsumexp": logsumexp, "multigammaln": mvlgamma, "polygamma": polygamma,
    "psi": digamma, "round": round, "sinc": sinc, "xlogy": xlogy,
}  # fmt: skip
"""The functions of `torch.special` by name."""


def _far_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))
    yield Sample(make(3, 4) * 4)
    yield Sample(make(2, 0))


def _near_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))


def _positive_samples(make: Any) -> Iterable[Sample]:
    yield Sample(abs(make(3, 4)) + 0.5)
    yield Sample(-abs(make(3)))


def _unit_samples(make: Any) -> Iterable[Sample]:
    x = make(3, 4)
    yield Sample((0.5 + 0.45 * x / (1 + abs(x))).astype(x.dtype))


def _declare(name: str, op: Op, doc: str, samples: Any) -> None:
    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        need_tensor(f"special_{name}", input)
        x = input if input._kind.inexact else convert(input, default_dtype())
        result = op(x)
        return result if out is None else write_out(out, result, f"special_{name}")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    SPECIAL[name] = declare(op=op, samples=samples, public=False, method=False, name=f"special.{name}")(function)


def _one(
    name: str, forward: Callable[..., Any] | None, rule: Any, doc: str, samples: Any, kernel: str | None = None
) -> None:
    _declare(
        name,
        Op(f"special_{name}", ("input",), tensors=("input",), kernel=kernel, forward=forward, rules={"input": rule}),
        doc,
        samples,
    )


# ---- compositions ----------------------------------------------------------------------------------------------------

_DENSITY = 1 / math.sqrt(2 * math.pi)


def _entr(F: Any, x: Any) -> Any:
    """-x log x; 0 at 0, -inf below."""
    positive = F.less(F.zeros_of(x, ()), x)
    inside = F.negative(F.multiply(x, F.log(F.where(positive, x, F.full_of(x, (), 1)))))
    outside = F.where(F.equal(x, 0), F.zeros_of(x, ()), F.full_of(x, (), -math.inf))
    return F.where(positive, inside, F.where(F.isnan(x), x, outside))


def _entr_rule(F: Any, g: Any, input: Any) -> Any:
    return F.negative(F.multiply(g, F.add(F.log(input), 1)))


def _ndtr(F: Any, x: Any) -> Any:
    """The normal distribution function, erfc(-x / sqrt 2) / 2."""
    return F.multiply(F.erfc(F.multiply(x, -1 / math.sqrt(2))), 0.5)


def _ndtr_rule(F: Any, g: Any, input: Any) -> Any:
    return F.multiply(g, F.multiply(F.exp(F.multiply(F.multiply(input, input), -0.5)), _DENSITY))


def _log_ndtr(F: Any, x: Any) -> Any:
    """log ndtr(x); below -1 as log(erfcx(-x / sqrt 2) / 2) - x^2 / 2, which does not underflow."""
    z = F.multiply(x, 1 / math.sqrt(2))
    left = F.less(x, -1)
    tail = F.erfcx(F.negative(F.where(left, z, F.full_of(z, (), -1))))
    far = F.subtract(F.log(F.multiply(tail, 0.5)), F.multiply(z, z))
    upper = F.multiply(F.erfc(F.where(left, F.zeros_of(z, ()), z)), -0.5)
    return F.where(left, far, F.log1p(upper))


def _log_ndtr_rule(F: Any, g: Any, input: Any) -> Any:
    return F.multiply(g, F.divide(math.sqrt(2 / math.pi), F.erfcx(F.multiply(input, -1 / math.sqrt(2)))))


def _ndtri(F: Any, p: Any) -> Any:
    """The inverse of ndtr, sqrt 2 erfinv(2p - 1)."""
    return F.multiply(F.erfinv(F.subtract(F.multiply(p, 2), 1)), math.sqrt(2))


def _ndtri_rule(F: Any, g: Any, out: Any) -> Any:
    return F.multiply(g, F.multiply(F.exp(F.multiply(F.multiply(out, out), 0.5)), 1 / _DENSITY))


def _erfcx_rule(F: Any, g: Any, input: Any, out: Any) -> Any:
    return F.multiply(g, F.subtract(F.multiply(F.multiply(input, out), 2), 2 / math.sqrt(math.pi)))


def _i0e_rule(F: Any, g: Any, input: Any, out: Any) -> Any:
    return F.multiply(g, F.subtract(F.i1e(input), F.multiply(F.sign(input), out)))


_one("entr", _entr, _entr_rule, """Returns -input * log(input); 0 at 0, -inf below.""", _positive_samples)
_one("ndtr", _ndtr, _ndtr_rule, """Returns the area under the normal density left of each element.""", _far_samples)
_one(
    "log_ndtr", _log_ndtr, _log_ndtr_rule, """Returns the logarithm of ndtr, accurate far to the left.""", _near_samples
)
_one(
    "ndtri",
    _ndtri,
    _ndtri_rule,
    """Returns the number with the given area under the normal density left of it.""",
    _unit_samples,
)
_one("erfcx", None, _erfcx_rule, """Returns exp(input^2) * erfc(input), without overflow.""", _far_samples, "erfcx")
_one("i0e", None, _i0e_rule, """Returns exp(-|input|) * i0(input).""", _far_samples, "i0e")
_one("i1", None, i1_rule, """Returns the modified Bessel function of order 1.""", _far_samples, "i1")
_one("i1e", None, i1e_rule, """Returns exp(-|input|) * i1(input).""", _far_samples, "i1e")


# ---- two operands ----------------------------------------------------------------------------------------------------


def _xlog1py(F: Any, x: Any, y: Any) -> Any:
    """x * log1p(y), and 0 where x is 0, unless y is NaN."""
    quiet = F.bitwise_and(F.equal(x, 0), F.equal(y, y))
    return F.where(quiet, F.zeros_of(x, ()), F.multiply(x, F.log1p(y)))


def _xlog1py_rule(F: Any, g: Any, input: Any, other: Any) -> Any:
    flat = F.bitwise_and(F.equal(input, 0), F.less_equal(other, -1))
    return F.where(flat, F.zeros_of(g, ()), F.multiply(g, F.log1p(other)))


XLOG1PY = Op("xlog1py", ("input", "other"), tensors=("input", "other"), forward=_xlog1py, broadcasts=True, rules={
    "input": _xlog1py_rule,
    "other": lambda F, g, input, other: F.divide(F.multiply(g, input), F.add(other, 1)),
})  # fmt: skip


@declare(
    op=XLOG1PY,
    samples=lambda make: [Sample(make(3, 4), abs(make(4))), Sample(make(3) * 0, abs(make(3))), Sample(make(3), 2)],
    public=False,
    method=False,
    name="special.xlog1py",
)
def xlog1py(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """Returns `input * log1p(other)`, 0 where the input is 0."""
    common = result_type(input, other)
    x, y = promote("xlog1py", input, other, dtype=common if common.is_floating_point else default_dtype())
    broadcast_shapes(shape_of(x), shape_of(y))
    result = XLOG1PY(x, y)
    return result if out is None else write_out(out, result, "xlog1py")


SPECIAL["xlog1py"] = xlog1py
