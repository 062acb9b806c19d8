"""Anomaly detection: every node remembers the line that made it, and backward names it when a gradient is NaN or a rule fails."""

from __future__ import annotations

import sys
import traceback
import warnings
import weakref
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from torchplug._core.tensor import Tensor
from torchplug._core.tracing import PACKAGE
from torchplug_spec import dtypes

__all__ = ["check_finite", "explain", "name_parameters", "observer", "remember"]

_names: Any = None
observer: ContextVar[Any] = ContextVar("gradient_observer", default=None)
"""Who hears of gradients in the place of the checks while anomaly detection is on: it has `gradient(node, results, grads)`
and `failed(node)`."""


def name_parameters(named: Any) -> None:
    """Sets a function that returns the name of a leaf ("layer1.weight") for messages, or None for unnamed ones."""
    global _names
    _names = named


def remember(node: Any, op: Any, args: Sequence[Any]) -> None:
    """Stores the user's stack and the leaves among the arguments on a node."""
    stack = traceback.extract_stack(sys._getframe(1))
    own = [frame for frame in stack if not frame.filename.startswith(PACKAGE)]
    leaves = [weakref.ref(x) for x in args if isinstance(x, Tensor) and x.is_leaf and x.requires_grad]
    node.trace = (own, leaves)


def _said(node: Any) -> str:
    own, leaves = node.trace
    lines = "".join(traceback.format_list(own))
    named = [name for name in (_names(leaf()) if _names is not None else None for leaf in leaves) if name]
    return f"{lines}" + (f" (parameters: {', '.join(named)})\n" if named else "")


def explain(node: Any, error: BaseException) -> None:
    """Warns with the line of the forward op whose gradient failed."""
    if (listener := observer.get()) is not None:
        listener.failed(node)
        return
    if getattr(node, "trace", None) is None:
        warnings.warn(
            f"Error detected in {node.name()}. No forward pass information available. Enable detect anomaly during "
            "forward pass for more information.",
            UserWarning,
            stacklevel=2,
        )
        return
    warnings.warn(
        f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n{_said(node)}",
        UserWarning,
        stacklevel=2,
    )


def check_finite(node: Any, results: Sequence[Any], grads: Sequence[Any]) -> None:
    """Raises PyTorch's error when a gradient that a node made of `grads` has a NaN, after naming the forward line."""
    if (listener := observer.get()) is not None:
        listener.gradient(node, results, grads)
        return
    for place, result in enumerate(results):
        if result is None:
            continue
        F = node.kind.F
        raw = result._array if isinstance(result, Tensor) else result
        if F.dtype_of(raw).kind not in ("float", "complex") or F.backend.is_tracer(raw):
            continue
        if 0 in tuple(raw.shape):
            continue
        not_a_number = F.astype(F.bitwise_invert(F.equal(raw, raw)), dtypes.uint8)
        if F.to_numpy(F.max(not_a_number, None, False)):
            error = RuntimeError(f"Function '{node.name()}' returned nan values in its {place}th output.")
            explain(node, error)
            raise error
