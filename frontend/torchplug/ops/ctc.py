"""Connectionist temporal classification: the likelihood of a label sequence under frame-wise probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from torchplug._core.declare import Sample, declare_functional
from torchplug._core.naming import scalar_type_name
from torchplug._core.op import Op
from torchplug._core.tensor import Tensor, shape_of
from torchplug.ops.losses import check_reduction
from torchplug_spec import dtypes as dt

__all__ = ["ctc_loss"]

_NEVER = -1e30
"""Stands for log 0: minus infinity would give NaN in differences."""


class Layout:
    """Targets with blanks between, as host arrays: what each state emits, and which may be skipped into."""

    __slots__ = ("emits", "input_lengths", "skips", "target_lengths")

    def __init__(self, targets: list[np.ndarray], input_lengths: np.ndarray, blank: int) -> None:
        longest = max((len(target) for target in targets), default=0)
        self.emits = np.full((len(targets), 2 * longest + 1), blank, np.int64)
        for row, target in enumerate(targets):
            self.emits[row, 1 : 2 * len(target) : 2] = target
        self.skips = np.zeros(self.emits.shape, bool)
        self.skips[:, 2:] = (self.emits[:, 2:] != blank) & (self.emits[:, 2:] != self.emits[:, :-2])
        self.input_lengths = input_lengths
        self.target_lengths = np.array([len(target) for target in targets], np.int64)


def _ctc(F: Any, scores: Any, layout: Layout) -> Any:
    """Returns minus the log-likelihoods (N,) of log-probabilities (T, N, C). Source: Graves et al. 2006, equations 6 to 8."""
    steps, count, classes = scores.shape
    states = layout.emits.shape[1]
    rows = np.arange(count, dtype=np.int64)[:, None] * classes + layout.emits
    places = (np.arange(steps, dtype=np.int64)[:, None, None] * (count * classes) + rows).reshape(-1)
    flat = F.reshape(scores, (steps * count * classes,))
    seen = F.reshape(F.take(flat, F.host(places, flat), 0), (steps, count, states))
    never = F.full_of(seen, (), _NEVER)
    start = np.zeros((count, states), bool)
    start[:, 0] = True
    start[:, 1] = layout.target_lengths > 0 if states > 1 else False
    whole = (slice(0, count, 1), slice(0, states, 1))
    alpha = F.where(F.host(start, seen), F.slice(seen, (0, *whole)), never)
    for step in range(1, steps):
        moved = F.add(_arrivals(F, alpha, layout.skips, never), F.slice(seen, (step, *whole)))
        running = F.host((step < layout.input_lengths)[:, None], seen)
        alpha = F.where(running, F.maximum(moved, never), alpha)
    return F.negative(_ends(F, alpha, layout))


def _arrivals(F: Any, alpha: Any, skips: np.ndarray, never: Any) -> Any:
    """Returns the log of the sum over staying, stepping one state, and skipping a blank."""
    count, states = alpha.shape

    def shifted(places: int) -> Any:
        if places >= states:
            return F.broadcast_to(never, (count, states))
        padding = F.broadcast_to(never, (count, places))
        return F.concat([padding, F.slice(alpha, (slice(0, count, 1), slice(0, states - places, 1)))], 1)

    ways = [alpha, shifted(1), F.where(F.host(skips, alpha), shifted(2), never)]
    return F.logsumexp_of(F.concat([F.reshape(way, (1, count, states)) for way in ways], 0), 0, False)


def _ends(F: Any, alpha: Any, layout: Layout) -> Any:
    """Returns the log of the sum over the two states a sequence may end in."""
    count, states = alpha.shape
    last = 2 * layout.target_lengths
    starts = np.arange(count, dtype=np.int64) * states
    flat = F.reshape(alpha, (count * states,))
    blank = F.take(flat, F.host(starts + last, flat), 0)
    label = F.take(flat, F.host(starts + np.maximum(last - 1, 0), flat), 0)
    label = F.where(F.host(last > 0, flat), label, F.full_of(flat, (), _NEVER))
    pair = F.concat([F.reshape(blank, (1, count)), F.reshape(label, (1, count))], 0)
    total = F.logsumexp_of(pair, 0, False)
    return F.where(F.less(total, _NEVER / 2), F.full_of(total, (), -math.inf), total)


CTC = Op("ctc_loss", ("scores", "layout"), tensors=("scores",), forward=_ctc)


def _samples(make: Any) -> Iterable[Sample]:
    def scores(*shape: int) -> Any:
        x = make(*shape)
        return (x - np.log(np.exp(x).sum(-1, keepdims=True))).astype(x.dtype)

    targets = np.array([[1, 2, 2], [3, 4, 1]])
    for reduction in ("mean", "sum", "none"):
        yield Sample(scores(7, 2, 5), targets, (7, 5), (3, 2), reduction=reduction, stated_gradient=True)
    yield Sample(scores(7, 5), np.array([1, 2, 2]), np.array(7), np.array(3), stated_gradient=True)


def _errors() -> Iterable[Sample]:
    x, y = np.zeros((6, 2, 5), np.float32), np.array([[1, 2, 2], [3, 4, 1]])
    yield Sample(
        x, y, (6, 7), (3, 2), error=(RuntimeError, "Expected input_lengths to have value at most 6, but got value 7")
    )
    yield Sample(x, y, (6,), (3, 2), error=(RuntimeError, "input_lengths must be of size batch_size"))
    half = x.astype(np.float16)
    yield Sample(half, y, (6, 5), (3, 2), error=(NotImplementedError, "\"ctc_loss_cpu\" not implemented for 'Half'"))
    yield Sample(x, y, (6, 5), (3, 2), 9, error=(RuntimeError, "blank must be in label range"))


def _lengths(value: Any) -> np.ndarray:
    host = value.numpy(force=True) if isinstance(value, Tensor) else np.asarray(value)
    return host.reshape(-1).astype(np.int64)


def _split_targets(targets: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    if targets.ndim == 1:
        ends = np.cumsum(lengths)
        return [targets[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    if targets.shape[1] < lengths.max(initial=0):
        raise RuntimeError(
            f"Expected tensor to have size at least {lengths.max()} at dimension 1, but got size {targets.shape[1]} for argument #2 "
            "'targets' (while checking arguments for ctc_loss_allocate_outputs)"
        )
    return [row[:length] for row, length in zip(targets, lengths, strict=True)]


def _check(size: Sequence[int], input_lengths: np.ndarray, target_lengths: np.ndarray, blank: int) -> None:
    if not 0 <= blank < size[2]:
        raise RuntimeError("blank must be in label range")
    for name, lengths in (("input_lengths", input_lengths), ("target_lengths", target_lengths)):
        if len(lengths) != size[1]:
            raise RuntimeError(f"{name} must be of size batch_size")
    if input_lengths.max(initial=0) > size[0]:
        raise RuntimeError(
            f"Expected input_lengths to have value at most {size[0]}, but got value {input_lengths.max()} (while checking arguments "
            "for ctc_loss_allocate_outputs)"
        )


@declare_functional(op=CTC, samples=_samples, errors=_errors)
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Returns minus the log-likelihood of each target sequence under log-probabilities (T, N, C) or (T, C).

    Targets are (N, S), or (sum of lengths,), without blanks. "mean" divides by target lengths, then takes the mean over the
    batch. Impossible targets cost infinity, or 0 with no gradient if `zero_infinity`.
    """
    check_reduction(reduction)
    batched = len(shape_of(log_probs)) == 3
    scores = log_probs if batched else log_probs.unsqueeze(1)
    frames, labels = _lengths(input_lengths), _lengths(target_lengths)
    _check(shape_of(scores), frames, labels, blank)
    if log_probs._kind.dtype not in (dt.float32, dt.float64):
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{scalar_type_name(log_probs._kind.dtype)}'")
    host = targets.numpy(force=True)
    losses = CTC(scores, Layout(_split_targets(host, labels), frames, blank)) + _normalizer(scores, frames)
    if zero_infinity:
        losses = losses.where(losses != math.inf, losses.new_zeros(()))
    if reduction == "mean":
        return (losses / losses.new_tensor(np.maximum(labels, 1).tolist())).mean()
    if reduction == "sum":
        return losses.sum()
    return losses if batched else losses.squeeze(0)


def _normalizer(scores: Tensor, frames: np.ndarray) -> Tensor | int:
    """Returns 0 with the gradient exp(scores): PyTorch's gradient is that by the input of a log_softmax before."""
    if not scores.requires_grad:
        return 0
    running = np.arange(shape_of(scores)[0])[:, None, None] < frames[None, :, None]
    mass = (scores.exp() * scores.new_tensor(running.tolist())).sum((0, 2))
    return mass - mass.detach()
