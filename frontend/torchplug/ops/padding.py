"""Padding: constant, reflected, repeated or circular values around a tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare, declare_functional
from torchplug._core.elementwise import argument_error
from torchplug._core.numbers import stored
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor, shape_of

__all__ = ["pad"]

Shape = tuple[int, ...]
Amounts = tuple[tuple[int, int], ...]


# ---- constant --------------------------------------------------------------------------------------------------------


def _kept(shape: Shape, amounts: Amounts) -> tuple[Shape, tuple, tuple]:
    """Returns the padded shape, what of the input is kept (negative amounts cut it), and where that lands."""
    padded = tuple(length + before + after for length, (before, after) in zip(shape, amounts, strict=True))
    source = tuple(
        slice(max(-before, 0), length - max(-after, 0), 1)
        for length, (before, after) in zip(shape, amounts, strict=True)
    )
    target = tuple(
        slice(max(before, 0), total - max(after, 0), 1) for total, (before, after) in zip(padded, amounts, strict=True)
    )
    return padded, source, target


def _pad(F: Any, x: Any, amounts: Amounts, value: float) -> Any:
    shape = tuple(x.shape)
    padded, source, target = _kept(shape, amounts)
    if any(min(pair) < 0 for pair in amounts):
        x = F.slice(x, source)
    if padded == tuple(x.shape):
        return F.copy(x)
    if value == 0:
        return F.slice_embed(x, padded, target)
    return F.slice_update(F.full_of(x, padded, value), x, target)


def _unpad(F: Any, g: Any, input_shape: Shape, amounts: Amounts) -> Any:
    _, source, target = _kept(tuple(input_shape), amounts)
    g = F.slice(g, target)
    return F.slice_embed(g, tuple(input_shape), source) if any(min(pair) < 0 for pair in amounts) else g


PAD = Op(
    "constant_pad_nd",
    ("input", "amounts", "value"),
    tensors=("input",),
    kernel="pad",
    forward=_pad,
    rules={"input": _unpad},
)


def constant_pad(input: Tensor, pad: Sequence[int], value: float) -> Tensor:
    """Returns a tensor with `value` around it, `pad` as in `torch.nn.functional.pad`."""
    shape = shape_of(input)
    if len(pad) % 2:
        raise RuntimeError("Length of pad must be even but instead it equals " + str(len(pad)))
    if len(pad) > 2 * len(shape):
        raise RuntimeError(
            "Length of pad should be no more than twice the number of dimensions of the input. Pad length is "
            f"{len(pad)} while the input has {len(shape)} dimensions."
        )
    amounts = _amounts(len(shape), pad)
    for dim, (length, (before, after)) in enumerate(zip(shape, amounts, strict=True)):
        if length + before + after < 0:
            raise RuntimeError(
                f"The input size {length}, plus negative padding {before} and {after} resulted in a negative output size, which is "
                f"invalid. Check dimension {dim} of your input."
            )
    return PAD(input, amounts, stored(value, input._kind.dtype))


def _amounts(ndim: int, pad: Sequence[int]) -> Amounts:
    """Returns (before, after) for every dimension; `pad` lists the last dimension first."""
    given = [(int(pad[place]), int(pad[place + 1])) for place in range(0, len(pad), 2)]
    return ((0, 0),) * (ndim - len(given)) + tuple(reversed(given))


# ---- values taken from the tensor ------------------------------------------------------------------------------------


def _reflect(places: np.ndarray, length: int) -> np.ndarray:
    places = np.abs(places)
    return np.where(places >= length, 2 * (length - 1) - places, places)


_PLACES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "reflect": _reflect,
    "replicate": lambda places, length: np.clip(places, 0, length - 1),
    "circular": lambda places, length: places % length,
}


def _pad_from(F: Any, x: Any, amounts: Amounts, mode: str) -> Any:
    for axis, (before, after) in enumerate(amounts):
        if before or after:
            length = x.shape[axis]
            places = _PLACES[mode](np.arange(-before, length + after, dtype=np.int64), length)
            x = F.take(x, F.host(places, x), axis)
    return x


PAD_FROM = {
    (mode, count): Op(f"{mode}_pad", ("input", "amounts", "mode"), tensors=("input",), kernel="pad_from", forward=_pad_from,
                      node=name.format(count))
    for mode, name in (("reflect", "ReflectionPad{}DBackward0"), ("replicate", "ReplicationPad{}DBackward0"), ("circular", "CopySlices"))
    for count in (1, 2, 3)
}  # fmt: skip


def _pad_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(2, 3), (1, 2))
    yield Sample(make(2, 3), (1, 2, 0, 1), value=2.5)
    yield Sample(make(2, 3, 4), (-1, 2, 1, -1))
    yield Sample(make(2, 3, 4), (1, 2), mode="constant", value=0.0)
    for mode in ("reflect", "replicate", "circular"):
        yield Sample(make(2, 3, 4), (1, 2), mode)
        yield Sample(make(2, 3, 4, 5), (1, 2, 2, 1), mode)
        yield Sample(make(1, 2, 3, 4, 5), (1, 2, 2, 1, 1, 1), mode)
    yield Sample(make(3, 4), (1, 2), "replicate")


def _pad_errors() -> Iterable[Sample]:
    x = np.ones((2, 3, 4), np.float32)
    yield Sample(x, (1,), error=(RuntimeError, "Padding length must be divisible by 2"))
    yield Sample(
        x, (4, 1), "reflect", error=(RuntimeError, "Padding size should be less than the corresponding input dimension")
    )
    yield Sample(x, (1, 1), "mirror", error=(NotImplementedError, "Unrecognised padding mode mirror"))
    yield Sample(
        x, (1, 1), "reflect", 2.0, error=(RuntimeError, 'Padding mode "reflect" doesn\'t take in value argument')
    )


@declare_functional(op=PAD, samples=_pad_samples, errors=_pad_errors)
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Returns the tensor with more around it; `pad` lists (before, after) from the last dimension to the first.

    `mode`: "constant" (with `value`; negative amounts cut), "reflect", "replicate" or "circular" for the last 1 to 3
    dimensions of inputs with a channel dimension.
    """
    if not isinstance(input, Tensor):
        raise argument_error("pad", "input", "Tensor", input, 1)
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if mode == "constant":
        if isinstance(value, complex):
            raise argument_error("pad", "value", "float", value, 4)
        return constant_pad(input, pad, 0.0 if value is None else float(value))
    if mode not in _PLACES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    ndim, count = len(shape_of(input)), len(pad) // 2
    if not (count in (1, 2, 3) and ndim in (count + 1, count + 2)):
        raise NotImplementedError("Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now")
    amounts = _amounts(ndim, pad)
    _check_from(shape_of(input), amounts, mode, list(pad))
    if CASTING and (cast := casting(f"{_AUTOCAST_NAMES.get(mode, mode)}_pad{count}d")) is not None:
        return cast(PAD_FROM[mode, count], input, amounts, mode)
    return PAD_FROM[mode, count](input, amounts, mode)


_AUTOCAST_NAMES = {"reflect": "reflection", "replicate": "replication"}


def _check_from(shape: Shape, amounts: Amounts, mode: str, given: list[int]) -> None:
    for dim, (length, pair) in enumerate(zip(shape, amounts, strict=True)):
        if mode == "reflect" and max(pair) >= length and any(pair):
            raise RuntimeError(
                "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding "
                f"({pair[0]}, {pair[1]}) at dimension {dim} of input {list(shape)}"
            )
        if mode == "circular" and max(pair) > length:
            raise RuntimeError("Padding value causes wrapping around more than once.")


@declare(op=PAD, samples=lambda make: [Sample(make(2, 3), (1, 2), 0.5)], method=False)
def constant_pad_nd(input: Tensor, pad: Sequence[int], value: float = 0) -> Tensor:
    """Returns the tensor with `value` around it; `pad` lists (before, after) from the last dimension to the first."""
    return constant_pad(input, pad, value)
