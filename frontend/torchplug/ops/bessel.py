"""Modified Bessel functions of the first kind, elementwise: i0, i1 and their exponentially scaled forms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample
from torchplug._core.elementwise import unary
from torchplug._core.kernels import composition

__all__ = ["i0", "i1_rule", "i1e_rule"]

_I0_SMALL = (
    -1.1662904878442954e-09, 4.469372581856615e-09, -7.860369707508212e-09, 2.6273368345256394e-08,
    -1.1339523685907105e-07, 3.675592893288293e-07, -1.0891964284507317e-06, 3.2293850630678377e-06,
    -9.25059710625537e-06, 2.5202271984440893e-05, -6.550956130635514e-05, 0.0001624054672701359,
    -0.0003829015089457559, 0.0008563152483951447, -0.0018118870527295522, 0.0036171264596770616,
    -0.006792399792271578, 0.011960077903963348, -0.019682654708082413, 0.03017791202356886, -0.04298594945226738,
    0.056777032019843215, -0.06954119561742342, 0.07927522590716898, -0.08496338091615124, 0.08734341617552291,
    -0.08904344136075991, 0.09451562853995103, -0.11300432688620549, 0.2070019212239867,
)  # fmt: skip
_I0_LARGE = (
    -7.06893851181878e-11, -1.9216763724933513e-11, 5.181936971288284e-10, 1.4672236659214398e-10,
    -1.7789375042917173e-09, -5.562201990080394e-10, 3.881151253996067e-09, 1.497880830187091e-09,
    -6.188265090497361e-09, -3.4857887470034955e-09, 7.58022133915272e-09, 7.540601378890834e-09,
    -5.4685974495866e-09, -1.3404241991980871e-08, -6.729724111923548e-09, 7.553516470355896e-09,
    2.1545177650836005e-08, 3.932602459703109e-08, 8.87225351128584e-08, 2.973598432479169e-07,
    1.4838475473607391e-06, 1.1143033791556743e-05, 0.00013621607439232746, 0.003360551983667854, 0.4021765094450081,
)  # fmt: skip
_I1_SMALL = (
    -9.365751909742237e-11, 3.727630409237771e-10, -7.379291130374042e-10, 2.6037822441041467e-09,
    -1.1191257727176943e-08, 3.8028049651067336e-08, -1.2000364861910367e-07, 3.759400376008922e-07,
    -1.1380759138279984e-06, 3.2938951625746042e-06, -9.131846315273642e-06, 2.4233756432468166e-05,
    -6.142651349494123e-05, 0.00014842124144631648, -0.0003411747437353928, 0.000744512345281566,
    -0.0015388749636515487, 0.003005762419557192, -0.005534567760544582, 0.00958396215077406, -0.01557130925657511,
    0.023686016957724227, -0.03367135551994034, 0.044674572621255064, -0.05528003922705058, 0.0637674037134072,
    -0.0684826062058255, 0.0680575999095116, -0.06112433802966629, 0.044687709875608835,
)  # fmt: skip
_I1_LARGE = (
    7.347992441734663e-11, 1.7502497778701306e-11, -5.388285995923524e-10, -1.342266320082222e-10,
    1.8513716745511988e-09, 5.146498826087142e-10, -4.047785403711858e-09, -1.4171698018664596e-09,
    6.4870195719816896e-09, 3.406636130196794e-09, -8.044231276166508e-09, -7.630751970065577e-09,
    6.040877342160988e-09, 1.4029693589852716e-08, 6.715795128085017e-09, -8.426622829598154e-09,
    -2.337059627111857e-08, -4.312935369971356e-08, -1.0001323461066435e-07, -3.483855609009937e-07,
    -1.8349101134666435e-06, -1.5038547201176271e-05, -0.00021923576383430274, -0.009749577193235728,
    0.38939845902587233,
)  # fmt: skip
"""Chebyshev fits of our own (mpmath, 50 digits): exp(-x) I(x) (for I1 divided by x) in powers of x / 4 - 1, 0 <= x <= 8;
sqrt(x) exp(-x) I(x) in powers of 16 / x - 1, x >= 8."""


def _scaled(F: Any, size: Any, small: tuple[float, ...], large: tuple[float, ...], odd: bool) -> Any:
    """exp(-x) I(x) for x >= 0."""
    near = F.less(size, 8)
    inner = F.where(near, size, F.zeros_of(size, ()))
    inside = F.polynomial(F.subtract(F.multiply(inner, 0.25), 1), small)
    outer = F.where(near, F.full_of(size, (), 8), size)
    outside = F.divide(F.polynomial(F.subtract(F.divide(16, outer), 1), large), F.sqrt(outer))
    return F.where(near, F.multiply(inside, inner) if odd else inside, outside)


@composition
def i0e(F: Any, x: Any) -> Any:
    return _scaled(F, F.abs(x), _I0_SMALL, _I0_LARGE, False)


@composition
def i1e(F: Any, x: Any) -> Any:
    return F.copysign(_scaled(F, F.abs(x), _I1_SMALL, _I1_LARGE, True), x)


@composition
def i0_(F: Any, x: Any) -> Any:
    return F.multiply(F.exp(F.abs(x)), F.i0e(x))


@composition
def i1_(F: Any, x: Any) -> Any:
    return F.multiply(F.exp(F.abs(x)), F.i1e(x))


def i1_rule(F: Any, g: Any, input: Any, out: Any) -> Any:
    """g * (i0(x) - i1(x) / x), 1/2 at 0."""
    zero = F.equal(input, 0)
    ratio = F.divide(out, F.where(zero, F.full_of(input, (), 1), input))
    return F.multiply(g, F.where(zero, F.full_of(ratio, (), 0.5), F.subtract(F.i0(input), ratio)))


def i1e_rule(F: Any, g: Any, input: Any, out: Any) -> Any:
    """g * (i0e(x) - i1e(x) (sgn(x) + 1 / x)), 1/2 at 0."""
    zero = F.equal(input, 0)
    below = F.where(zero, F.full_of(input, (), 1), input)
    slope = F.subtract(F.i0e(input), F.multiply(out, F.add(F.sign(input), F.divide(1, below))))
    return F.multiply(g, F.where(zero, F.full_of(slope, (), 0.5), slope))


def _samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))
    yield Sample(make(3, 4) * 6)
    yield Sample(make(2, 0))


i0 = unary(
    "i0",
    lambda F, g, input: F.multiply(g, F.i1(input)),
    """Returns the modified Bessel function of order 0.""",
    floats=True,
    dtypes=("float",),
    samples=_samples,
    refuse={"complex": "i0_vml_cpu"},
    errors=lambda: [Sample(np.ones(2, np.complex64), error=(NotImplementedError, '"i0_vml_cpu" not implemented'))],
)
