"""Nodes of the gradient graph: what one op leaves behind so that gradients can find their way back.

A node is data: its op, the edges to the nodes of its inputs, and the values its rules read, with the versions they had.
It never refers to its own output tensor, so a graph is freed by reference counting as soon as nobody holds it.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any

from torchplug._core.hooks import NodeHooks, RemovableHandle
from torchplug._core.tensor import Storage, Tensor

__all__ = [
    "AccumulateGrad",
    "NoPlan",
    "Node",
    "Output",
    "check_unwritten",
    "is_lost",
    "lost_place",
    "next_sequence_number",
    "unpack_error",
]

next_sequence_number = itertools.count(1).__next__


class Node:
    """One recorded op.

    `edges`: for each tensor input, the Node or Output it came from, or None. `saved`: the values of `plan.items`.
    `sources`: beside each saved value the Tensor it came from (for double backward and version checks), or None.
    `versions`: the storage versions of the sources when saved, None if all were 0. `fix`: per edge (shape, kind) a
    gradient must be reduced and converted to, None if nothing differs. `cell`: the storage of a saved output.
    """

    __slots__ = (
        "__weakref__", "attributes", "cell", "edges", "fix", "hooks", "kind", "metadata", "op", "outputs", "plan",
        "saved", "seq", "sources", "trace", "versions",
    )  # fmt: skip
    attributes: Any
    metadata: Any

    def __init__(self, op: Any, edges: tuple, kind: Any) -> None:
        self.op = op
        self.edges = edges
        self.kind = kind
        self.plan: Any = None
        self.saved: Any = ()
        self.sources: Any = ()
        self.versions: Any = None
        self.fix: Any = None
        self.cell: Storage | None = None
        self.hooks: Any = None
        self.outputs: Any = None
        self.trace: Any = None
        self.seq = next_sequence_number()

    def name(self) -> str:
        """Returns PyTorch's name of the node: "AddBackward0"."""
        return self.op.node_name

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The (node, output number) pairs of the inputs, (None, 0) for inputs without gradient."""
        return tuple(
            (edge.node, edge.index) if type(edge) is Output else (None if is_lost(edge) else edge, 0)
            for edge in self.edges
        )

    def register_hook(self, hook: Any) -> RemovableHandle:
        """Calls `hook(grad_inputs, grad_outputs)` after the node's rule; what it returns replaces the gradients of the inputs."""
        return NodeHooks.of(self).add_post(hook)

    def register_prehook(self, hook: Any) -> RemovableHandle:
        """Calls `hook(grad_outputs)` before the node's rule; what it returns replaces the incoming gradients."""
        return NodeHooks.of(self).add_pre_all(hook)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class NoPlan:
    """The plan of nodes that save nothing by a plan: theirs is a way back of their own."""

    items: tuple = ()
    saves_out = False
    vjp = None
    light = False


class Output:
    """One of several differentiable outputs of a node, as a place that edges can point to."""

    __slots__ = ("index", "node")

    def __init__(self, node: Node, index: int) -> None:
        self.node = node
        self.index = index


class AccumulateGrad:
    """Where a leaf's gradient arrives; holds the leaf weakly, so a leaf and its node are no cycle."""

    __slots__ = ("__weakref__", "hooks", "leaf", "memory", "metadata", "seq")
    edges: tuple = ()
    next_functions: tuple = ()
    memory: tuple[Storage, int] | None

    def __init__(self, leaf: Tensor) -> None:
        self.leaf: Callable[[], Tensor | None] = weakref.ref(leaf)
        self.hooks: Any = None
        self.seq = 0

    @property
    def variable(self) -> Tensor | None:
        """The leaf, or None when it is gone."""
        return self.leaf()

    def name(self) -> str:
        """Returns PyTorch's name of the place."""
        return "torch::autograd::AccumulateGrad"

    def register_hook(self, hook: Any) -> RemovableHandle:
        """Calls `hook((), grad_outputs)` after the gradient was added."""
        return NodeHooks.of(self).add_post(hook)

    def register_prehook(self, hook: Any) -> RemovableHandle:
        """Calls `hook(grad_outputs)` before the gradient is added; what it returns replaces it."""
        return NodeHooks.of(self).add_pre_all(hook)

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self):#x}>"


def lost_place(memory: Storage | None = None) -> AccumulateGrad:
    """Returns the place of a view that requires grad as its base does but has no history: gradients end there.

    `memory` is that of a view made under no_grad, which may not be used any more once it was written.
    """
    place: AccumulateGrad = object.__new__(AccumulateGrad)
    place.leaf, place.hooks, place.seq = _no_leaf, None, 0
    place.memory = None if memory is None else (memory, memory.version)
    return place


def check_unwritten(place: AccumulateGrad) -> None:
    """Raises PyTorch's error for the use of a view made under no_grad whose memory was written since."""
    if is_lost(place) and place.memory is not None and place.memory[0].version != place.memory[1]:
        raise RuntimeError(
            "A view was created in no_grad mode and its base or another view of its base has been modified inplace with "
            "grad mode enabled. Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your "
            "code by moving both the view and the inplace either both inside the no_grad block (if you don't want the "
            "inplace to be tracked) or both outside (if you want the inplace to be tracked)."
        )


def is_lost(place: Any) -> bool:
    """Says whether gradients that arrive at a place (a node, an output, None) are dropped there, see `lost_place`."""
    return type(place) is AccumulateGrad and place.leaf is _no_leaf


def _no_leaf() -> Any:
    return None


FREED = object()

FREED_MESSAGE = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward."
)


def unpack_error(node: Node | None, source: Tensor, position: int, now: int, expected: int) -> RuntimeError:
    """Returns PyTorch's error for a saved tensor that was written since."""
    from torchplug._core.naming import tensor_type_name
    from torchplug._core.tensor import shape_of

    type_name = tensor_type_name(source._kind.dtype)
    where = (
        f", which is output {position} of {source._node.name().rpartition('Backward')[0] if type(source._node) is Node else 'AccumulateGrad'},"
        if source._node is not None
        else ""
    )
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[torch.{type_name} {list(shape_of(source))}]{where} is at version {now}; expected version {expected} instead. "
        "Hint: enable anomaly detection to find the operation that failed to compute its gradient, with "
        "torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )
