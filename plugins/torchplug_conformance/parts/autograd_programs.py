"""Programs that differentiate: accumulation, in-place writes, hooks, second order, mixed precision, guards against errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import torchplug
from torchplug._core.tensor import Tensor
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["AUTOGRAD_PROGRAMS", "mixed"]


def _leaf() -> Tensor:
    return torchplug.tensor(np.array([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]], np.float32)).requires_grad_()


def _accumulates() -> Any:
    x = _leaf()
    (x * 2).sum().backward()
    (x * x).sum().backward()
    return x.grad


def _in_place_on_a_view() -> Any:
    x = _leaf()
    y = x * 1
    y[0].mul_(3)
    y.t()[1].add_(x[:, 0])
    (y * y).sum().backward()
    return y, x.grad


def _copied_into() -> Any:
    x, y = _leaf(), _leaf()
    base = torchplug.zeros(3, 3)
    base[1:] = x * 2
    base[:, 0].copy_(y[0])
    (base * base).sum().backward()
    return base, x.grad, y.grad


def _second_order() -> Any:
    x = _leaf()
    (first,) = torchplug.autograd.grad((x * x * x).sum(), [x], create_graph=True)
    (second,) = torchplug.autograd.grad((first * first).sum(), [x])
    return first, second


def _hook() -> Any:
    x = _leaf()
    y = x * 3
    seen: list[Any] = []

    def double(g: Any) -> Any:
        seen.append(g.clone())
        return g * 2

    y.register_hook(double)
    y.retain_grad()
    y.sum().backward()
    return seen, x.grad, y.grad


def _stale_value() -> Any:
    x = _leaf()
    y = x * 1
    z = y * y
    y.add_(1)
    z.sum().backward()


def _graph_freed() -> Any:
    x = _leaf()
    y = (x * x).sum()
    y.backward()
    y.backward()


def _leaf_written() -> Any:
    _leaf().add_(1)


def _without_grad() -> Any:
    x = _leaf()
    with torchplug.no_grad():
        y = x * 2
        x.add_(1)
    return y.requires_grad, x, x.detach().requires_grad


def _branches() -> Any:
    x = _leaf()
    first, second = x.split(1)
    joined = torchplug.cat([second * 2, first, first], 0)
    torchplug.stack([joined, joined * joined]).sum().backward()
    return x.grad


def _filled() -> Any:
    x, value = _leaf(), torchplug.tensor(1.5).requires_grad_()
    y = x * 1
    y[0].fill_(value)
    y[1, 1:].fill_(2)
    (y * y).sum().backward()
    return y, x.grad, value.grad


def _compared_in_place() -> Any:
    x = _leaf()
    y = x * 1
    y.gt_(0)
    (y * 3).sum().backward()
    return y, x.grad


def _broadcasts() -> Any:
    x, row, number = _leaf(), _leaf()[0].detach().requires_grad_(), torchplug.tensor(2.0).requires_grad_()
    ((x + row) * number / (row * row + 1)).sum().backward()
    return x.grad, row.grad, number.grad


def mixed(dtype: DType) -> Any:
    """Returns output, loss and gradient of a layer under autocast; every number is exact in 16 bits."""
    x = torchplug.tensor(np.array([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]], np.float32))
    weight = torchplug.tensor(np.array([[2.0, 1.0, -4.0], [1.0, 4.0, 2.0]], np.float32)).requires_grad_()
    with torchplug.autocast(x.device.type, dtype=dtype):
        out = torchplug.nn.functional.linear(x, weight)
        loss = torchplug.nn.functional.mse_loss(out, torchplug.ones(2, 2))
    loss.backward()
    return out, loss, weight.grad, x @ weight.t()


AUTOGRAD_PROGRAMS: dict[str, Callable[[], Any]] = {
    "accumulates": _accumulates,
    "in-place-on-a-view": _in_place_on_a_view,
    "copied-into": _copied_into,
    "second-order": _second_order,
    "hook": _hook,
    "stale-value": _stale_value,
    "graph-freed": _graph_freed,
    "leaf-written": _leaf_written,
    "without-grad": _without_grad,
    "branches": _branches,
    "broadcasts": _broadcasts,
    "filled": _filled,
    "compared-in-place": _compared_in_place,
    "mixed-bfloat16": lambda: mixed(dt.bfloat16),
    "mixed-float16": lambda: mixed(dt.float16),
}
"""Name -> program; those of guards raise."""
