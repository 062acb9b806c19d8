"""PyTorch's default CPU generator on the host: the same seeds, states and numbers, in NumPy arrays.

Every draw takes as many words of the stream, in the same order, as the CPU kernel of PyTorch 2.13 takes for a
contiguous tensor, so states can be exchanged with `torch.get_rng_state()` at any point. Numbers are equal bit for bit
where no transcendental function is involved; elsewhere they differ by what two libraries' log, sin and cos differ.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from torchplug._core import choices, distributions
from torchplug._core.integer_range import INT64_MIN, any_int64, full_range, half_open_range, range_from
from torchplug._core.scalar_types import (
    SCALARS,
    check_continuous,
    check_permutation,
    check_uniform_bounds,
    floating,
    not_implemented,
    supported,
)
from torchplug._core.twister import STATE_BYTES, Twister

__all__ = ["DEFAULT_SEED", "STATE_BYTES", "HostGenerator"]

Shape = int | tuple[int, ...]
Array = NDArray[Any]

# The seed of a `torch.Generator()` nobody has seeded.
DEFAULT_SEED: Final = 67280421310721

# From so many values on PyTorch draws 64 bits for a number instead of 32.
_WIDE_RANGE = 1 << 28
_WIDE_PERMUTATION = (2**32 - 1) // 20

_INT64 = np.dtype(np.int64)
_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
_REAL_PARTS: Final[dict[np.dtype[Any], np.dtype[Any]]] = {
    np.dtype(np.complex64): _FLOAT32,
    np.dtype(np.complex128): _FLOAT64,
}


class HostGenerator:
    """A stream of random numbers equal to that of a CPU `torch.Generator`.

    `shape` is an int or a tuple of ints, `dtype` a NumPy dtype (`ml_dtypes.bfloat16` included); every draw returns a
    new C-contiguous array and moves the stream on. Not for several threads at once: their draws would interleave.
    Raises NotImplementedError, with PyTorch's sentence, for a dtype the PyTorch kernel does not have.
    """

    __slots__ = ("_stream",)

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self._stream = Twister(DEFAULT_SEED)
        self.manual_seed(seed)

    # Seeds and states

    def manual_seed(self, seed: int) -> HostGenerator:
        """Restarts the stream at `seed` and returns the generator; negative seeds count down from 2**64.

        Raises ValueError outside [-2**63, 2**64 - 1], RuntimeError for anything but an integer.
        """
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        if not -(2**63) <= seed < 2**64:
            raise ValueError("Overflow when unpacking long long")
        self._stream.restart(int(seed) % 2**64)
        return self

    def seed(self) -> int:
        """Restarts the stream at a seed of 53 bits taken from the operating system, and returns the seed."""
        seed = int.from_bytes(os.urandom(8), "little") % 2**53
        self._stream.restart(seed)
        return seed

    def initial_seed(self) -> int:
        """Returns the seed the stream started from, between 0 and 2**64 - 1."""
        return self._stream.seed

    def get_state(self) -> NDArray[np.uint8]:
        """Returns the 5056 bytes `torch.get_rng_state()` returns at the same place of the stream; a new array."""
        return self._stream.get_state()

    def set_state(self, state: NDArray[np.uint8]) -> None:
        """Continues the stream from the bytes of `get_state` or `torch.get_rng_state()`.

        Raises TypeError for anything but a uint8 array, RuntimeError for another size or an impossible state.
        """
        self._stream.set_state(state)

    def clone(self) -> HostGenerator:
        """Returns an independent generator that will draw the same numbers."""
        twin = HostGenerator()
        twin.set_state(self.get_state())
        return twin

    # Uniform numbers

    def rand(self, shape: Shape, dtype: DTypeLike = np.float32) -> Array:
        """Returns uniform numbers in [0, 1), as `torch.rand` does; complex numbers have both parts uniform."""
        if np.dtype(dtype) == _FLOAT32:
            return self._stream.floats(_count(shape)).reshape(shape)
        return self.uniform(shape, dtype)

    def uniform(self, shape: Shape, dtype: DTypeLike = np.float32, low: float = 0.0, high: float = 1.0) -> Array:
        """Returns uniform numbers in [low, high), as `Tensor.uniform_` does.

        Raises RuntimeError, with PyTorch's sentence, for bounds in the wrong order or beyond the dtype.
        """
        dtype = np.dtype(dtype)
        if dtype in _REAL_PARTS:
            return self.uniform(2 * _count(shape), _REAL_PARTS[dtype], low, high).view(dtype).reshape(shape)
        check_uniform_bounds(floating(dtype, "check_uniform_bounds"), low, high)
        values: Array
        if dtype == _FLOAT64:
            values = distributions.scale_doubles(self._stream.doubles(_count(shape)), low, high)
        else:
            values = distributions.scale_floats(self._stream.floats(_count(shape)), low, high)
            values = values.astype(dtype, copy=False)
        # Rounding can reach the excluded upper bound: PyTorch puts the lower one in its place.
        number: Any = dtype.type
        at_high = values == number(high)
        if np.count_nonzero(at_high):
            values[at_high] = number(low)
        return values.reshape(shape)

    def bernoulli(self, p: float | Array, shape: Shape, dtype: DTypeLike = np.float32) -> Array:
        """Returns ones with probability `p` and zeros elsewhere, in `dtype`.

        A number `p` draws as `Tensor.bernoulli_(p)` does, two words a number; an array as `torch.bernoulli(p)` does,
        two words a number if it is float64, else one. An array must broadcast to `shape`.
        Raises RuntimeError for a probability outside [0, 1].
        """
        dtype = np.dtype(dtype)
        if not isinstance(p, np.ndarray):
            if not 0.0 <= p <= 1.0:
                raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
            supported(dtype, "bernoulli_scalar_cpu_")
            return (self._stream.doubles(_count(shape)) < p).astype(dtype).reshape(shape)
        supported(dtype, "bernoulli_tensor_cpu_self_")
        floating(p.dtype, "bernoulli_tensor_cpu_p_")
        if not ((p >= 0) & (p <= 1)).all():
            raise RuntimeError(
                "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error message be improved?  "
                "If so, please report an enhancement request to PyTorch.)"
            )
        draw = self._stream.doubles if p.dtype == _FLOAT64 else self._stream.floats
        uniform: Array = draw(_count(shape)).reshape(shape)
        return np.asarray(uniform < p.astype(uniform.dtype, copy=False), dtype)

    def dropout_mask(self, shape: Shape, p: float = 0.5, dtype: DTypeLike = np.float32) -> Array:
        """Returns what `F.dropout(x, p, training=True)` keeps (1, with probability 1 - p) and drops (0).

        The result is not divided by 1 - p. Nothing is drawn for p = 0 and p = 1, as in PyTorch.
        Raises ValueError for p outside [0, 1].
        """
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        if p == 0.0 or p == 1.0:
            return np.full(shape, 1.0 - p).astype(dtype)
        return self.bernoulli(1.0 - p, shape, dtype)

    # Normal numbers

    def randn(self, shape: Shape, dtype: DTypeLike = np.float32) -> Array:
        """Returns standard normal numbers, as `torch.randn` does; each part of a complex number has variance 1/2."""
        return self.normal(shape, dtype)

    def normal(
        self, shape: Shape, dtype: DTypeLike = np.float32, mean: float = 0.0, std: float = 1.0, one_by_one: bool = False
    ) -> Array:
        """Returns normal numbers, as `Tensor.normal_` does: in blocks, or `one_by_one` as for memory with gaps.

        Raises RuntimeError for a negative `std`.
        """
        if not std >= 0.0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
        dtype = np.dtype(dtype)
        if dtype in _REAL_PARTS:
            parts = self.normal(2 * _count(shape), _REAL_PARTS[dtype], mean, std / math.sqrt(2.0), one_by_one)
            return parts.view(dtype).reshape(shape)
        floating(dtype, "normal_kernel_cpu")
        count = _count(shape)
        one_by_one = one_by_one or count < 16
        values: Array = self._stream.normals(count) if one_by_one else self._normal_blocks(count, dtype)
        if std != 1.0:
            values *= std
        values += mean
        return distributions.narrow(values, dtype).reshape(shape)

    def _normal_blocks(self, count: int, dtype: np.dtype[Any]) -> Array:
        """Returns standard normals made 16 at a time; where 16 does not divide `count` the last 16 are made anew."""
        draw = self._stream.doubles if dtype == _FLOAT64 else self._stream.floats
        whole = count - count % 16
        if whole == count:
            values: Array = draw(count)
            distributions.box_muller(values)
            return values
        # The full-precision kernels draw for every number before the last 16, the 16-bit ones for whole blocks only.
        drawn = whole if dtype.itemsize == 2 else count
        values = draw(drawn + 16)
        values[whole : whole + 16] = values[drawn:]
        distributions.box_muller(values[: whole + 16])
        values[count - 16 : count] = values[whole : whole + 16]
        return values[:count]

    def normal_arrays(self, mean: float | Array, std: float | Array) -> Array:
        """Returns normal numbers of the given means and deviations, as `torch.normal(mean, std)` does.

        Shape: both broadcast; the dtype is that of `mean`, or of `std` where `mean` is a number.
        Raises RuntimeError for a negative `std`.
        """
        if not isinstance(std, np.ndarray):
            centre = np.asarray(mean)
            out = self.normal(centre.shape, centre.dtype, 0.0, std)
            out += centre
            return out
        if std.dtype.kind == "c":
            raise RuntimeError("normal expects standard deviation to be non-complex")
        if not (std >= 0).all():
            raise RuntimeError("normal expects all elements of std >= 0.0")
        dtype = mean.dtype if isinstance(mean, np.ndarray) else std.dtype
        out = self.normal(np.broadcast_shapes(np.shape(mean), std.shape), dtype)
        # An operand without dimensions does not widen the arithmetic, but a factor is not narrowed to 16 bits either.
        factor = std if std.ndim else std.astype(np.promote_types(dtype, np.float32))
        out = (out * factor).astype(dtype, copy=False)
        return np.asarray(out + mean, dtype)

    def log_normal(self, shape: Shape, dtype: DTypeLike = np.float32, mean: float = 1.0, std: float = 2.0) -> Array:
        """Returns exponentials of normal numbers, as `Tensor.log_normal_` does. Raises RuntimeError for std <= 0."""
        if not std > 0.0:
            raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
        dtype = np.dtype(dtype)
        floating(dtype, "log_normal_cpu")
        values = self._stream.normals(_count(shape))
        values *= std
        values += mean
        with np.errstate(over="ignore"):
            return distributions.narrow(np.exp(values, values), dtype).reshape(shape)

    # Other distributions, each number made from one float64 uniform

    def exponential(self, shape: Shape, dtype: DTypeLike = np.float32, lambd: float = 1.0) -> Array:
        """Returns exponential numbers of rate `lambd`, as `Tensor.exponential_` does. Raises RuntimeError for <= 0."""
        if not lambd > 0.0:
            raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
        dtype = np.dtype(dtype)
        check_continuous(dtype, "Exponential")
        values = self._stream.doubles(_count(shape))
        np.log1p(np.negative(values, values), values)
        values *= -1.0 / lambd
        return distributions.narrow(values, dtype).reshape(shape)

    def cauchy(self, shape: Shape, dtype: DTypeLike = np.float32, median: float = 0.0, sigma: float = 1.0) -> Array:
        """Returns Cauchy numbers, as `Tensor.cauchy_` does. Raises RuntimeError for sigma <= 0."""
        if not sigma > 0.0:
            raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
        dtype = np.dtype(dtype)
        check_continuous(dtype, "Cauchy")
        values = self._stream.doubles(_count(shape))
        values -= 0.5
        values *= math.pi
        np.tan(values, values)
        values *= sigma
        values += median
        with np.errstate(over="ignore"):
            return distributions.narrow(values, dtype).reshape(shape)

    def geometric(self, shape: Shape, dtype: DTypeLike = np.float32, p: float = 0.5) -> Array:
        """Returns numbers of trials up to a first success, as `Tensor.geometric_` does.

        Raises RuntimeError for p outside (0, 1).
        """
        if not 0.0 < p < 1.0:
            raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
        dtype = np.dtype(dtype)
        if supported(dtype, "geometric_cpu").name == "Bool":
            raise not_implemented(dtype, "geometric_cpu")
        values = self._stream.doubles(_count(shape))
        with np.errstate(divide="ignore"):
            np.log(values, values)
        values /= math.log1p(-p)
        return distributions.narrow(np.ceil(values, values), dtype).reshape(shape)

    def poisson(self, rates: Array) -> Array:
        """Returns Poisson numbers of the given means, in their shape and dtype, as `torch.poisson` does.

        How many uniforms a number takes depends on the numbers before it, so they are made one by one.
        Raises RuntimeError for a negative rate.
        """
        floating(rates.dtype, "poisson_cpu")
        if not (rates >= 0).all():
            raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
        means = rates.astype(np.float64).ravel().tolist()

        def draw(uniform: Callable[[], float]) -> list[int]:
            return [distributions.poisson_sample(mean, uniform) for mean in means]

        counts = self._stream.one_by_one(draw, batch=4 * len(means) + 16)
        return distributions.narrow(np.array(counts, np.float64), rates.dtype).reshape(rates.shape)

    # Integers

    def randint(self, shape: Shape, low: int, high: int, dtype: DTypeLike = np.int64) -> Array:
        """Returns integers in [low, high), as `torch.randint` does.

        Raises RuntimeError, with PyTorch's sentence, for an empty range or one out of the dtype's bounds.
        """
        return self.random_(shape, dtype, low, high)

    def random_(
        self, shape: Shape, dtype: DTypeLike = np.int64, low: int | None = None, high: int | None = None
    ) -> Array:
        """Returns integers, as `Tensor.random_` does.

        They lie in [low, high); from `low` to the dtype's last integer when only `low` is given; in [0, high) when only
        `high` is given; with neither, from 0 to the dtype's last integer (for floats, to 2**digits).
        Raises RuntimeError, with PyTorch's sentence, for an empty range or one out of the dtype's bounds.
        """
        dtype = np.dtype(dtype)
        count = _count(shape)
        if low is None and high is None:
            span = full_range(supported(dtype, "random_kernel_cpu"))
            return self._integers(count, dtype, 0, span, dtype in (_INT64, _FLOAT64)).reshape(shape)
        if dtype not in SCALARS:
            raise RuntimeError("check_random_bounds handles only integral, floating-point and boolean types")
        low = 0 if low is None else low
        if high is not None:
            first, span = half_open_range(dtype, low, high)
        elif low == INT64_MIN:
            first, span = any_int64(dtype)
        else:
            first, span = range_from(dtype, low)
        return self._integers(count, dtype, first, span, span >= _WIDE_RANGE).reshape(shape)

    def _integers(self, count: int, dtype: np.dtype[Any], first: int, span: int, wide: bool) -> Array:
        """Returns integers from `first` to `first + span - 1` in `dtype`; 64 bits are drawn for each if `wide`."""
        bits: NDArray[np.uint64] = self._stream.wide(count) if wide else self._stream.raw(count)
        if span < 2**64:
            distributions.remainder(bits, span)
        values = bits.view(np.int64)
        if first:
            values += first
        return distributions.narrow(values, dtype)

    def randperm(self, n: int, dtype: DTypeLike = np.int64) -> Array:
        """Returns a permutation of 0, 1, ..., n - 1, as `torch.randperm` does.

        Raises RuntimeError, with PyTorch's sentence, for a negative `n` or one the dtype cannot count to.
        """
        dtype = np.dtype(dtype)
        check_permutation(dtype, n)
        if n < _WIDE_PERMUTATION:
            order = choices.permutation(n, self._stream.raw(max(n - 1, 0)))
        else:
            order = choices.inside_out_permutation(self._stream.wide(n))
        return distributions.narrow(order, dtype)

    def multinomial(
        self, weights: Array, num_samples: int, replacement: bool = False, order: tuple[int, ...] | None = None
    ) -> Array:
        """Returns indices drawn with the given weights, as `torch.multinomial` does.

        Shape: weights (categories,) or (rows, categories), result int64 (num_samples,) or (rows, num_samples). Without
        replacement, categories of equal priority (those of weight 0) come in order of index. `order`: the dimensions of
        the weights as they lie in memory, those of the largest steps first.
        Raises RuntimeError, with PyTorch's sentence, for weights or a number of samples that cannot be drawn.
        """
        choices.check_multinomial(weights, num_samples, replacement)
        if weights.size == 0:
            return np.empty((*weights.shape[:-1], num_samples), np.int64)
        if choices.is_race(num_samples, replacement):
            order = order or tuple(range(weights.ndim))
            drawn = self.exponential(weights.transpose(order).shape, weights.dtype).transpose(np.argsort(order))
            return choices.without_replacement(weights, drawn, num_samples)
        uniform = self._stream.doubles(weights.size // weights.shape[-1] * num_samples)
        return choices.with_replacement(weights, uniform.reshape(*weights.shape[:-1], num_samples))


def _count(shape: Shape) -> int:
    return shape if isinstance(shape, int) else math.prod(shape)
