"""Softmax over many classes, of which the rare ones are grouped in clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torchplug._core.device import DeviceLike
from torchplug._core.tensor import Tensor
from torchplug.nn import functional as F
from torchplug.nn.modules.container import ModuleList, Sequential
from torchplug.nn.modules.linear import Linear
from torchplug.nn.modules.module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class _ASMoutput(NamedTuple):
    """The log-probability of each target, and the loss: minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-softmax in two steps: over frequent classes and clusters, then within a cluster. Source: Grave et al. 2017.

    Shape: input (N, in_features) or (in_features), target (N) or (); classes are sorted from frequent to rare, and
    `cutoffs` says where clusters begin.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: DeviceLike = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        _check_cutoffs(cutoffs, n_classes)
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for place, (start, end) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            hidden = int(in_features // div_value ** (place + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, bias=False, device=device, dtype=dtype),
                    Linear(hidden, end - start, bias=False, device=device, dtype=dtype),
                )
            )

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        self.head.reset_parameters()
        clusters: Any = self.tail
        for first, second in clusters:
            first.reset_parameters()
            second.reset_parameters()

    def forward(self, input: Tensor, target: Tensor) -> _ASMoutput:
        unbatched = _check_pair(input, target)
        if unbatched:
            input, target = input.unsqueeze(0), target.unsqueeze(0)
        low, high = int(target.min()), int(target.max())
        if low < 0 or high >= self.n_classes:
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range [{low}, {high}] were "
                "found. "
            )
        output = self._log_prob_of(input, target)
        loss = (-output).mean()
        return _ASMoutput(output.squeeze(0) if unbatched else output, loss)

    def _log_prob_of(self, input: Tensor, target: Tensor) -> Tensor:
        """Returns the log-probability of each target, running only the clusters that hold one."""
        column, found = target, []
        for place, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            inside = (target >= low) & (target < high)
            column = column.masked_fill(inside, self.shortlist_size + place)
            rows = inside.nonzero().squeeze(1)
            if rows.numel():
                within = F.log_softmax(self.tail[place](input.index_select(0, rows)), dim=1)
                offsets = (target.index_select(0, rows) - low).unsqueeze(1)
                found.append((rows, within.gather(1, offsets).squeeze(1)))
        output = F.log_softmax(self.head(input), dim=1).gather(1, column.unsqueeze(1)).squeeze(1)
        for rows, within in found:
            output = output.index_add(0, rows, within)
        return output

    def _log_prob(self, input: Tensor) -> Tensor:
        from torchplug.ops.joining import cat

        head = F.log_softmax(self.head(input), dim=1)
        parts = [head[:, : self.shortlist_size]]
        for place, cluster in enumerate(self.tail):
            within = F.log_softmax(cluster(input), dim=1)
            parts.append(within + head[:, self.shortlist_size + place].unsqueeze(1))
        return cat(parts, 1)

    def log_prob(self, input: Tensor) -> Tensor:
        """Returns the log-probabilities of all classes, shape (N, n_classes)."""
        return self._log_prob(input)

    def predict(self, input: Tensor) -> Tensor:
        """Returns the most probable class of each input, shape (N)."""
        return self._log_prob(input).argmax(dim=1)


def _check_cutoffs(cutoffs: list[int], n_classes: int) -> None:
    if not cutoffs:
        raise ValueError("cutoffs should be a sequence of length larger than 0")
    whole = all(int(cutoff) == cutoff for cutoff in cutoffs)
    rising = cutoffs == sorted(set(cutoffs)) and min(cutoffs) > 0 and max(cutoffs) <= n_classes - 1
    if not (whole and rising):
        raise ValueError(
            "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each "
            "value is between 1 and n_classes-1"
        )


def _check_pair(input: Tensor, target: Tensor) -> bool:
    """Returns whether the pair has no batch dimension; RuntimeError when the shapes do not go together."""
    count = target.dim()
    if count == 1:
        if input.shape[0] != target.shape[0]:
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        if input.dim() != 2:
            raise RuntimeError(f"1D target tensor expects 2D input tensors, but found inputs with size {input.size()}")
    elif count == 0:
        if input.dim() != 1:
            raise RuntimeError(f"0D target tensor expects 1D input tensors, but found inputs with size {input.size()}")
    else:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    return count == 0
