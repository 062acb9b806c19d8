"""Random tensors and random fills: PyTorch's numbers from the same seed, on every engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare
from torchplug._core.device import DeviceLike
from torchplug._core.elementwise import broadcast_shapes
from torchplug._core.geometry import is_contiguous
from torchplug._core.host import host_array
from torchplug._core.inplace import assign, check_writable, write_out
from torchplug._core.kind import Kind
from torchplug._core.modes import grad_enabled
from torchplug._core.naming import scalar_type_name
from torchplug._core.random import Generator, draw, draw_like
from torchplug._core.tensor import Tensor, laid_out, memory_order, shape_of, strides_of, write
from torchplug.ops.creation import finish, kind_for, kind_like, size_argument
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["bernoulli_mask", "bernoulli_mask_like", "normal", "rand", "randint", "randn", "randperm"]


def bernoulli_mask(
    shape: tuple[int, ...], keep_probability: float, kind: Kind, generator: Generator | None = None
) -> Tensor:
    """Returns zeros and ones of `kind`, one with `keep_probability`, as F.feature_dropout draws them."""
    return draw(kind, generator, "dropout_mask", shape, 1.0 - keep_probability, kind.dtype.numpy)


def bernoulli_mask_like(x: Tensor, keep_probability: float) -> Tensor:
    """Returns zeros and ones of the size, type and memory order of a tensor, as F.dropout draws them."""
    return draw_like(x, x._kind, None, "dropout_mask", 1.0 - keep_probability, x._kind.dtype.numpy)


def _sizes(size: tuple, keywords: dict[str, Any], name: str) -> tuple[int, ...]:
    if "size" in keywords:
        size = (keywords.pop("size"),)
    if keywords:
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(keywords))}'")
    return size_argument(size)


def _size_samples(make: Any) -> Iterable[Sample]:
    yield Sample(3, 4, dtype=make.dtype)
    yield Sample((2, 17), dtype=make.dtype)
    yield Sample(size=(), dtype=make.dtype)
    yield Sample(0, 3)


def _size_errors() -> Iterable[Sample]:
    yield Sample(2, dtype=dt.int64, error=(NotImplementedError, "not implemented for 'Long'"))


def _like_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))
    yield Sample(make(5, 4))
    yield Sample(make())
    yield Sample(make(2, 3), dtype=dt.float64)


def _float_factory(name: str, doc: str) -> Any:
    def function(
        *size: Any,
        generator: Generator | None = None,
        out: Tensor | None = None,
        dtype: DType | None = None,
        layout: Any = None,
        device: DeviceLike = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        names: Any = None,
        **keywords: Any,
    ) -> Tensor:
        shape = _sizes(size, keywords, name)
        kind = kind_for(dtype, device)
        _need_float(kind, name)
        made = draw(kind, generator, name, shape, kind.dtype.numpy)
        made = finish(made._array, kind, requires_grad)
        return made if out is None else write_out(out, made, name)

    def like(
        input: Tensor,
        *,
        dtype: DType | None = None,
        layout: Any = None,
        device: DeviceLike = None,
        requires_grad: bool = False,
        memory_format: Any = None,
        generator: Generator | None = None,
        pin_memory: bool = False,
    ) -> Tensor:
        kind = kind_like(input, dtype, device)
        _need_float(kind, name)
        return finish(_like(input, kind, generator, name)._array, kind, requires_grad)

    for made, known, text, samples, errors in (
        (function, name, doc, _size_samples, _size_errors),
        (like, f"{name}_like", doc.replace("the given size", "the size of `input`"), _like_samples, None),
    ):
        made.__name__ = made.__qualname__ = known
        made.__doc__, made.__module__ = text, "torchplug"
        declare(method=False, samples=samples, errors=errors, dtypes=("float", "complex"), differentiable=False)(made)
    return function


def _like(input: Tensor, kind: Kind, generator: Generator | None, name: str) -> Tensor:
    if name == "rand":
        return draw_like(input, kind, generator, name, kind.dtype.numpy)
    return draw_like(input, kind, generator, "normal", kind.dtype.numpy, 0.0, 1.0, memory_order(input) is not None)


def _need_float(kind: Kind, name: str) -> None:
    if not kind.inexact:
        raise NotImplementedError(
            f"\"{_KERNELS.get(name, name)}\" not implemented for '{scalar_type_name(kind.dtype)}'"
        )


_KERNELS = {"rand": "check_uniform_bounds", "randn": "normal_kernel_cpu"}

rand = _float_factory("rand", """Returns numbers uniform in [0, 1), of the given size.""")
randn = _float_factory("randn", """Returns normal numbers with mean 0 and variance 1, of the given size.""")


def _integer_samples(make: Any) -> Iterable[Sample]:
    yield Sample(9, (3, 4), dtype=make.dtype)
    yield Sample(1, 5, (2, 3))
    yield Sample(2, 100, (), dtype=make.dtype)
    if make.dtype is dt.int64:
        yield Sample(-(2**40), 2**40, (5,))


def _integer_errors() -> Iterable[Sample]:
    yield Sample(
        5, 5, (2,), error=(RuntimeError, "random_ expects 'from' to be less than 'to', but got from=5 >= to=5")
    )


@declare(method=False, samples=_integer_samples, errors=_integer_errors, dtypes=("float", "int"))
def randint(
    low: Any,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Returns integers uniform in [low, high): `randint(high, size)` or `randint(low, high, size)`, int64 unless given."""
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    low, high = int(low), int(high)
    if size is None:
        raise TypeError('randint() missing 1 required positional arguments: "size"')
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    kind = kind_for(dtype or dt.int64, device)
    made = draw(kind, generator, "randint", size_argument((size,)), low, high, kind.dtype.numpy)
    made = finish(made._array, kind, requires_grad)
    return made if out is None else write_out(out, made, "randint")


@declare(
    method=False,
    dtypes=("float", "int"),
    differentiable=False,
    samples=lambda make: [Sample(make(3, 4), 9), Sample(make(5), 2, 8), Sample(make(2), 7, dtype=dt.int32)],
)
def randint_like(
    input: Tensor,
    low: Any,
    high: Any = None,
    *,
    dtype: DType | None = None,
    device: DeviceLike = None,
    layout: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Returns integers uniform in [low, high) of the size, dtype and device of `input`."""
    kind = kind_like(input, dtype, device)
    low, high = (0, low) if high is None else (low, high)
    made = draw_like(input, kind, None, "randint", int(low), int(high), kind.dtype.numpy)
    return finish(made._array, kind, requires_grad)


@declare(
    method=False,
    dtypes=("int",),
    samples=lambda make: [Sample(7, dtype=make.dtype), Sample(0), Sample(40)],
    errors=lambda: [Sample(-1, error=(RuntimeError, "negative dimension -1: [-1]"))],
)
def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType = dt.int64,
    layout: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Returns a random permutation of 0 ... n - 1."""
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    kind = kind_for(dtype, device)
    made = finish(draw(kind, generator, "randperm", int(n), kind.dtype.numpy)._array, kind, requires_grad)
    return made if out is None else write_out(out, made, "randperm")


def _normal_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), make(3, 4, positive=True))
    yield Sample(make(4, 5), 2.0)
    yield Sample(1.0, make(17, positive=True))
    yield Sample(make(3, 1), make(4, positive=True))
    yield Sample(1.0, 2.0, (3, 4), dtype=make.dtype)


def _normal_errors() -> Iterable[Sample]:
    yield Sample(0.0, -1.0, (2,), error=(RuntimeError, "normal expects std >= 0.0, but found std -1"))
    yield Sample(0.0, np.array([-1.0]), error=(RuntimeError, "normal expects all elements of std >= 0.0"))


@declare(method=False, samples=_normal_samples, errors=_normal_errors, differentiable=False)
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Returns normal numbers; `mean` and `std` are numbers with a `size`, or tensors that give it."""
    if size is not None:
        kind = kind_for(dtype, device)
        _need_std(std)
        made = draw(kind, generator, "normal", size_argument((size,)), kind.dtype.numpy, float(mean), float(std))
    else:
        template = mean if isinstance(mean, Tensor) else std
        if not isinstance(template, Tensor):
            raise TypeError(
                "normal() received an invalid combination of arguments - got (float, float), expected a size or a tensor"
            )
        if out is not None and template is mean and not isinstance(std, Tensor):
            # PyTorch adds the means to what it has drawn into `out`, which is not resized.
            broadcast_shapes(shape_of(mean), shape_of(out))
        kind = template._kind
        values = [host_array(part) if isinstance(part, Tensor) else float(part) for part in (mean, std)]
        made = draw(kind, generator, "normal_arrays", *values)
    made = finish(made._array, kind, requires_grad)
    return made if out is None else write_out(out, made, "normal")


def _need_std(std: Any) -> None:
    if not isinstance(std, Tensor) and std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")


def _chance_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4, low=0, high=1))
    yield Sample(make(low=0, high=1))
    yield Sample(make(20), 0.3)


@declare(samples=_chance_samples, differentiable=False)
def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Tensor | None = None
) -> Tensor:
    """Returns ones with the probabilities that `input` holds (or with `p`), zeros elsewhere."""
    kind = input._kind
    if p is not None:
        made = draw(kind, generator, "bernoulli", float(p), shape_of(input), kind.dtype.numpy)
    else:
        values = host_array(input)
        if values.size and not ((values >= 0) & (values <= 1)).all():
            raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
        made = draw(kind, generator, "bernoulli", values, shape_of(input), kind.dtype.numpy)
    return made if out is None else write_out(out, made, "bernoulli")


def _weight_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 5, positive=True), 4)
    yield Sample(make(6, positive=True), 9, True)
    yield Sample(make(2, 5, positive=True), 1)


def _weight_errors() -> Iterable[Sample]:
    ones = np.ones(3, np.float32)
    yield Sample(ones, 0, error=(RuntimeError, "cannot sample n_sample <= 0 samples"))
    yield Sample(
        ones, 4, error=(RuntimeError, "cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    )
    yield Sample(ones[None, None], 1, error=(RuntimeError, "prob_dist must be 1 or 2 dim"))


@declare(samples=_weight_samples, errors=_weight_errors, differentiable=False)
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Returns `num_samples` indices per row, drawn with the weights of the row, int64."""
    shape = shape_of(input)
    if not input._kind.dtype.is_floating_point:
        raise RuntimeError(
            "multinomial only supports floating-point dtypes for input, got: " + scalar_type_name(input._kind.dtype)
        )
    if not 1 <= len(shape) <= 2:
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    weights = host_array(input)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if (weights.sum(-1) <= 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    kind = input._kind.to(dt.int64)
    made = draw(kind, generator, "multinomial", weights, int(num_samples), replacement, memory_order(input))
    return made if out is None else write_out(out, made, "multinomial")


@declare(
    samples=lambda make: [Sample(make(3, 4, positive=True)), Sample(make(5, low=5, high=30)), Sample(make(0, 2))],
    differentiable=False,
)
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Returns Poisson numbers with the rates that `input` holds."""
    return draw(input._kind, generator, "poisson", host_array(input))


def _fill(name: str, doc: str, method: str, defaults: tuple[tuple[str, Any], ...], check: Any = None) -> None:
    """Makes the in-place fill `Tensor.<name>_`."""

    def fill(self: Tensor, *args: Any, generator: Generator | None = None, **keywords: Any) -> Tensor:
        values = _bind(name, defaults, args, keywords)
        if check is not None:
            check(self._kind, *values)
        check_writable(self, grad_enabled() and self._node is not None)
        if method == "normal":
            values = [*values, not is_contiguous(shape_of(self), strides_of(self))]
        drawn = draw_like(self, self._kind, generator, method, self._kind.dtype.numpy, *values)
        if self._node is not None and grad_enabled():
            return assign(self, drawn)
        write(self, drawn._array)
        return self

    fill.__name__ = fill.__qualname__ = f"{name}_"
    fill.__doc__ = doc
    setattr(Tensor, f"{name}_", fill)


def _bind(name: str, defaults: tuple, args: tuple, keywords: dict[str, Any]) -> list[Any]:
    values = list(args)
    for parameter, default in defaults[len(args) :]:
        values.append(keywords.pop(parameter, default))
    if keywords or len(values) > len(defaults):
        raise TypeError(f"{name}_() got unexpected arguments {list(keywords) or args[len(defaults) :]}")
    return [value.item() if isinstance(value, Tensor) else value for value in values]


def _check_uniform(kind: Kind, low: float, high: float) -> None:
    if low > high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    _need_float(kind, "rand")


def _check_normal(kind: Kind, mean: float, std: float) -> None:
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    _need_float(kind, "randn")


_fill(
    "uniform",
    "Fills self with numbers uniform in [from, to); returns self.",
    "uniform",
    (("from", 0.0), ("to", 1.0)),
    _check_uniform,
)
_fill("normal", "Fills self with normal numbers; returns self.", "normal", (("mean", 0.0), ("std", 1.0)), _check_normal)
_fill(
    "exponential", "Fills self with exponential numbers of rate lambd; returns self.", "exponential", (("lambd", 1.0),)
)
_fill("geometric", "Fills self with geometric numbers; returns self.", "geometric", (("p", 0.5),))
_fill("log_normal", "Fills self with exp of normal numbers; returns self.", "log_normal", (("mean", 1.0), ("std", 2.0)))
_fill("cauchy", "Fills self with Cauchy numbers; returns self.", "cauchy", (("median", 0.0), ("sigma", 1.0)))


def random_(self: Tensor, *bounds: Any, generator: Generator | None = None, **keywords: Any) -> Tensor:
    """Fills self with integers: of the whole range of its dtype, below `to`, or in [from, to); returns self."""
    low, high = keywords.pop("from", None), keywords.pop("to", None)
    if len(bounds) == 1:
        high = bounds[0]
    elif len(bounds) == 2:
        low, high = bounds
    if high is not None and (low or 0) >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low or 0} >= to={high}")
    check_writable(self, grad_enabled() and self._node is not None)
    drawn = draw_like(self, self._kind, generator, "random_", self._kind.dtype.numpy, low, high)
    write(self, drawn._array)
    return self


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fills self with ones with probability p (a number or a tensor), zeros elsewhere; returns self."""
    check_writable(self, grad_enabled() and self._node is not None)
    if not isinstance(p, Tensor) and not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    shape = shape_of(self)
    order = memory_order(self) or tuple(range(len(shape)))
    chance = host_array(p.expand(shape)).transpose(order) if isinstance(p, Tensor) else float(p)
    drawn = draw(self._kind, generator, "bernoulli", chance, tuple(shape[dim] for dim in order), self._kind.dtype.numpy)
    drawn = laid_out(drawn, order)
    write(self, drawn._array)
    return self


for _method in (random_, bernoulli_):
    setattr(Tensor, _method.__name__, _method)
