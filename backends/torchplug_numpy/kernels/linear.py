"""Products of matrices straight from BLAS, and the linear layer with its bias added in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from torchplug_numpy.kernels.fused import fused
from torchplug_spec.backend import Array, kernel
from torchplug_spec.strided import HALF_CHARACTERS

__all__ = ["LinearKernels"]


_FEW_ROWS = 64
_MANY_WEIGHTS = 1 << 14


def _by_transposed(x: Array, matrix: Array) -> Array:
    """Returns x @ matrix.T of two matrices in C order.

    BLAS wants many rows there: 16 rows by 784x512 take 190 us, and 85 the other way round, turned back.
    """
    rows, width = x.shape
    if 1 < rows <= _FEW_ROWS and matrix.size >= _MANY_WEIGHTS << (rows > 32) and rows < min(matrix.shape):
        if rows <= 32 or width >= 256:
            return np.ascontiguousarray(matrix.dot(x.T).T)
    return x.dot(matrix.T)


def _linear_backward_weight(g: Array, x: Array) -> Array:
    if g.ndim != 2:
        g, x = g.reshape(-1, g.shape[-1]), x.reshape(-1, x.shape[-1])
    return g.T.dot(x.conj() if x.dtype.kind == "c" else x)


def _half_linear(x: Array, weight: Array, bias: Array | None) -> Array:
    out = np.matmul(x.astype("f"), weight.astype("f").T)
    return (out if bias is None else np.add(out, bias.astype("f"), out)).astype(x.dtype)


class LinearKernels:
    """`dot` skips the generality of `matmul`: 280 against 800 ns for small matrices."""

    @kernel("mm")
    def mm(self, x: Array, y: Array) -> Array:
        """Returns the product of two matrices."""
        if x.dtype.char in HALF_CHARACTERS:
            return self.matmul(x, y)  # type: ignore[attr-defined]  # the engine this is mixed into
        return x.dot(y)

    @kernel("adjoint")
    def adjoint(self, x: Array) -> Array:
        """Returns a view with the last two dimensions exchanged; of complex matrices the conjugate."""
        turned = x.T if x.ndim == 2 else x.swapaxes(-1, -2)
        return turned.conj() if x.dtype.kind == "c" else turned

    @kernel("conj_of")
    def conj_of(self, x: Any) -> Any:
        """Returns the conjugate of a complex array or number, a real one as it is."""
        try:
            return np.conjugate(x) if x.dtype.kind == "c" else x
        except AttributeError:
            return x.conjugate()

    @kernel("linear")
    def linear(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """Returns x @ weight.T + bias."""
        if x.dtype.char in HALF_CHARACTERS:
            return _half_linear(x, weight, bias)
        if x.ndim == 2:
            out = _by_transposed(x, weight)
            return out if bias is None else np.add(out, bias, out)
        out = x.reshape(-1, x.shape[-1]).dot(weight.T)
        if bias is not None:
            np.add(out, bias, out)
        return out.reshape(*x.shape[:-1], weight.shape[0])

    linear_backward_weight = fused("linear_backward_weight", _linear_backward_weight)
