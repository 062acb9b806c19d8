"""The history of a tensor that moved from one engine to another: its gradient moves back."""

from __future__ import annotations

from typing import Any

from torchplug._core.modes import grad_enabled
from torchplug._core.node import Node, NoPlan
from torchplug._core.tensor import Tensor

__all__ = ["record_transfer"]


class _Transfer:
    name = "transfer"
    node_name = "ToCopyBackward0"
    variadic = False
    fused_rule = False

    @staticmethod
    def node_vjp(node: Node, g: Any, create_graph: bool, run: Any) -> tuple[Any]:
        home = node.saved[0]
        if create_graph:
            return (g.to(home.device),)
        return (home.F.from_numpy(node.kind.F.to_numpy(g).copy(), home.native_device),)


_TRANSFER: Any = _Transfer()


def record_transfer(x: Tensor, moved: Tensor) -> None:
    """Makes the move from `x` to `moved` part of the graph."""
    if not grad_enabled():
        return
    node = Node(_TRANSFER, (x._node,), moved._kind)
    node.plan = NoPlan
    node.saved = (x._kind,)
    node.sources = (None,)
    moved._node = node
