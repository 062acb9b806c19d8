"""Runs the gradient graph backwards: over raw arrays, or over Tensors when the gradient itself must be differentiable.

Nodes carry rising sequence numbers, so a heap pops every node after all its consumers and no topological sort is needed.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Sequence
from typing import Any

from torchplug._core import modes
from torchplug._core.anomaly import check_finite, explain
from torchplug._core.node import (
    FREED,
    FREED_MESSAGE,
    AccumulateGrad,
    Node,
    Output,
    check_unwritten,
    is_lost,
    unpack_error,
)
from torchplug._core.op import IDENTITY, TENSOR_SPACE
from torchplug._core.tensor import Storage, Tensor, array_of, wrap, write

__all__ = ["run_backward"]


class _Capture:
    """Collects the gradient that arrives at a tensor named in `inputs`."""

    __slots__ = ("edge", "tensor", "value")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.edge = tensor._node
        self.value: Any = None


class GraphTask:
    """One call of backward: what to keep, what to capture, and how to add gradients."""

    def __init__(
        self, *, keep_graph: bool, create_graph: bool, captures: Sequence[_Capture] | None, accumulate: bool
    ) -> None:
        self.keep_graph = keep_graph
        self.create_graph = create_graph
        self.accumulate = accumulate
        self.captures: dict[Any, list[_Capture]] = {}
        self.only: set[Any] | None = None
        for capture in captures or ():
            self.captures.setdefault(_place(capture.edge), []).append(capture)
        self.heap: list[tuple[int, int, Any]] = []
        self.pending: dict[Any, list[Any]] = {}

    def restrict(self, roots: Sequence[Any]) -> None:
        """Runs only the nodes from which a captured place can be reached."""
        wanted = {place[0] for place in self.captures}
        order, stack, seen = [], list(roots), set()
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            order.append(node)
            stack.extend(_node_of(edge) for edge in node.edges if edge is not None)
        order.sort(key=lambda node: node.seq)
        useful = set()
        for node in order:
            if node in wanted or any(edge is not None and _node_of(edge) in useful for edge in node.edges):
                useful.add(node)
        self.only = useful

    def send(self, edge: Any, g: Any) -> None:
        """Adds a gradient to what waits at an edge: a gradient, or a list of them for a node of several outputs."""
        node, index = _place(edge)
        if self.only is not None and node not in self.only:
            return
        waiting = self.pending.get(node)
        if waiting is None:
            if is_lost(node):
                check_unwritten(node)
                return
            heapq.heappush(self.heap, (-node.seq, id(node), node))
        if type(node) is Node and node.outputs is not None:
            if waiting is None:
                waiting = self.pending[node] = [None] * len(node.outputs)
            waiting[index] = g if waiting[index] is None else self._sum(node, waiting[index], g)
        else:
            self.pending[node] = g if waiting is None else self._sum(node, waiting, g)

    def _sum(self, node: Any, old: Any, g: Any) -> Any:
        return TENSOR_SPACE.add(old, g) if self.create_graph else node_kind(node).F.add(old, g)

    def run(self) -> None:
        """Runs node after node, the latest first. Plain nodes, which are nearly all, are run by the lines written here."""
        heap, pending, pop, push = self.heap, self.pending, heapq.heappop, heapq.heappush
        plain = not (self.captures or self.create_graph or self.only is not None or modes.anomaly.get())
        keep = self.keep_graph
        while heap:
            node = pop(heap)[2]
            if not plain or node.hooks is not None:
                self._visit(node, pending.pop(node))
                continue
            if node.__class__ is AccumulateGrad:
                leaf = node.leaf()
                if self.accumulate and leaf is not None:
                    accumulate(leaf, [pending.pop(node)], False)
                continue
            if node.plan.vjp is None:
                self._visit(node, pending.pop(node))
                continue
            saved = node.saved
            if saved is FREED:
                raise RuntimeError(FREED_MESSAGE)
            check_versions(node)
            F = node.kind.F
            if node.outputs is None:
                results = node.plan.vjp(F, pending.pop(node), saved, node.edges)
            else:
                results = node.plan.vjp(F, _defined(node, pending.pop(node), False), saved, node.edges)
            if node.fix is not None:
                results = _reduced(F, results, node.fix)
            if not keep and saved and not node.plan.light:
                node.saved = FREED
                node.sources = node.cell = None
            place = 0
            for edge in node.edges:
                if edge is not None and results[place] is not None:
                    old = pending.get(edge)
                    if edge.__class__ is Node and edge.outputs is None:
                        if old is None:
                            pending[edge] = results[place]
                            push(heap, (-edge.seq, id(edge), edge))
                        else:
                            pending[edge] = F.add(old, results[place])
                    elif old is not None and edge.__class__ is AccumulateGrad:
                        pending[edge] = F.add(old, results[place])
                    else:
                        self.send(edge, results[place])
                place += 1
            del results, saved  # or what follows would not be the only one to hold a gradient

    def _visit(self, node: Any, waiting: Any) -> None:
        """Runs a node of any kind: hooks, captured places, leaves, checks."""
        grads = waiting if type(node) is Node and node.outputs is not None else [waiting]
        del waiting
        if node.hooks is not None:
            grads = self._run_pre_hooks(node, grads)
        if self.captures:
            self._capture(node, grads)
        if type(node) is AccumulateGrad:
            if self.accumulate and (self.only is None or node in self.only):
                leaf = node.leaf()
                if leaf is not None and grads[0] is not None:
                    accumulate(leaf, grads, self.create_graph)
                    if node.hooks is not None:
                        for hook in list(node.hooks.post_accumulate.values()):
                            hook(leaf)
                        node.hooks.run_post((), [], node, self.create_graph)
            return
        if self.only is not None and not any(edge is not None and _node_of(edge) in self.only for edge in node.edges):
            return
        self._step(node, grads)

    def _step(self, node: Node, grads: list[Any]) -> None:
        if node.saved is FREED:
            raise RuntimeError(FREED_MESSAGE)
        g: Any = grads[0] if node.outputs is None else tuple(grads)
        try:
            results = node_vjp(node, g, self.create_graph)
        except Exception as error:
            if modes.anomaly.get():
                explain(node, error)
            raise
        if modes.anomaly.get() and modes.check_nan.get():
            check_finite(node, results, grads)
        if node.hooks is not None and node.hooks.post:
            results = node.hooks.run_post(results, grads, node, self.create_graph)
        if not self.keep_graph:
            release(node)
        del grads, g
        for edge, result in zip(node.edges, results, strict=True):
            if edge is not None and result is not None:
                self.send(edge, result)

    def _run_pre_hooks(self, node: Any, grads: list[Any]) -> list[Any]:
        kind = node_kind(node)

        def shown(value: Any) -> Any:
            return value if value is None or self.create_graph else wrap(value, kind.of(value))

        def taken(value: Any) -> Any:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"hook returned a {type(value).__name__}, expected None or a Tensor")
            return value if value is None or self.create_graph else array_of(value)

        for index, hook in list(node.hooks.pre.values()):
            if index is None:
                replaced = hook(tuple(shown(value) for value in grads))
                if replaced is not None:
                    grads = [taken(value) for value in (replaced if isinstance(replaced, tuple) else (replaced,))]
            elif grads[index] is not None:
                replaced = hook(shown(grads[index]))
                if replaced is not None:
                    grads[index] = taken(replaced)
        return grads

    def _capture(self, node: Any, grads: list[Any]) -> None:
        for index, g in enumerate(grads):
            for capture in self.captures.get((node, index), ()):
                capture.value = g


def node_kind(node: Any) -> Any:
    """Returns the Kind (engine and device) a node's gradients live on."""
    if type(node) is AccumulateGrad:
        leaf = node.leaf()
        return leaf._kind if leaf is not None else _NO_LEAF
    return node.kind


class _NoLeaf:
    class F:
        @staticmethod
        def add(x: Any, y: Any) -> Any:
            return x

    @staticmethod
    def of(array: Any) -> Any:
        raise RuntimeError("the leaf tensor of this gradient is gone")


_NO_LEAF = _NoLeaf


def _place(edge: Any) -> tuple[Any, int]:
    return (edge.node, edge.index) if type(edge) is Output else (edge, 0)


def _node_of(edge: Any) -> Any:
    return edge.node if type(edge) is Output else edge


def release(node: Node) -> None:
    """Lets go of what a node saved; its second use raises, unless there was nothing to let go of."""
    if node.saved and not node.plan.light:
        release_context = getattr(node.saved[0], "_saved", None)
        if release_context is not None:
            node.saved[0]._freed = True
        node.saved = FREED
        node.sources = node.cell = None


def check_versions(node: Node) -> None:
    """Raises PyTorch's error if a saved tensor was written in place since it was saved."""
    versions = node.versions
    place = 0
    for source in node.sources:
        if source is not None:
            cell = getattr(source, "_cell", None)  # lists of tensors have none
            if cell is not None:
                if cell.version != (versions[place] if versions is not None else 0):
                    raise unpack_error(node, source, 0, cell.version, versions[place] if versions is not None else 0)
            elif type(source) in (list, tuple):
                _check_list(node, source, versions[place] if versions is not None else 0)
        place += 1
    if node.cell is not None:
        expected = versions[-1] if versions is not None else 0
        if node.cell.version != expected:
            raise unpack_error(node, _saved_output(node), 0, node.cell.version, expected)


def _check_list(node: Node, source: Sequence[Any], expected: int) -> None:
    cells = [(x, x._cell) for x in source if isinstance(x, Tensor) and x._cell is not None]
    now = sum(cell.version for _, cell in cells)
    if now != expected:
        raise unpack_error(node, next(x for x, cell in cells if cell.version), 0, now, expected)


def _saved_output(node: Node) -> Tensor:
    place = next(i for i, (code, _) in enumerate(node.plan.items) if code == 3)
    array = node.saved[place]
    out = wrap(array, node.kind.of(array))
    if node.cell is None:
        node.cell = Storage(array, out._kind)  # the result itself takes this one when it is first viewed or written
    out._cell = node.cell
    out._view = None
    out._node = node if node.outputs is None else Output(node, 0)
    return out


def node_vjp(node: Node, g: Any, create_graph: bool) -> Sequence[Any]:
    """Returns the gradient of every tensor input of a node (None where not needed or not defined)."""
    check_versions(node)
    special = getattr(node.op, "node_vjp", None)
    if special is not None:
        return special(node, g, create_graph, node_vjp)
    if node.outputs is not None:
        g = _defined(node, g, create_graph)
    if (node.op.joint is None and not node.op.rules) or (create_graph and node.op.fused_rule):
        return _composed_vjp(node, g, create_graph)
    F: Any = TENSOR_SPACE if create_graph else node.kind.F
    values = _tensor_values(node) if create_graph else node.saved
    results = node.plan.vjp(F, g, values, node.edges)
    return results if node.fix is None else _reduced(F, results, node.fix)


def _reduced(F: Any, results: Sequence[Any], fix: Sequence[Any]) -> list[Any]:
    """Returns gradients reduced to the shapes of inputs that were broadcast."""
    return [g if shape is None or g is None else F.unbroadcast(g, shape) for g, shape in zip(results, fix, strict=True)]


def _defined(node: Node, grads: Sequence[Any], create_graph: bool) -> tuple:
    filled = []
    for g, (shape, kind) in zip(grads, node.outputs, strict=True):
        if g is None:
            zeros = kind.F.full(shape, 0, kind.dtype, kind.native_device)
            g = wrap(zeros, kind) if create_graph else zeros
        filled.append(g)
    return tuple(filled)


def _tensor_values(node: Node) -> list[Any]:
    values = []
    for place, (source, saved) in enumerate(zip(node.sources, node.saved, strict=True)):
        if isinstance(source, (Tensor, list, tuple)):
            values.append(source)
        elif node.plan.items[place][0] == 3:
            values.append(_saved_output(node))
        elif node.plan.items[place][0] == 4 or (node.plan.items[place][0] == 0 and hasattr(saved, "dtype")):
            # A residual, or a number that an elementwise function made a 0-d array of.
            values.append(wrap(saved, node.kind.of(saved)))
        else:
            values.append(saved)
    return values


def _composed_vjp(node: Node, g: Any, create_graph: bool) -> Sequence[Any]:
    """Differentiates the default composition of an op in place of a rule of its own."""
    op = node.op
    token = modes.grad_mode.set(modes.recording_mode())
    try:
        values, leaves = _recomputation_inputs(node)
        outs = op.forward(TENSOR_SPACE, *values)
    finally:
        modes.grad_mode.reset(token)
    outs = tuple(outs)[: op.outputs] if isinstance(outs, (tuple, list)) else (outs,)
    gs = g if isinstance(g, tuple) else (g,)
    roots = [
        (out, x if create_graph else wrap(x, node.kind.of(x)))
        for out, x in zip(outs, gs, strict=False)
        if out._node is not None
    ]
    wanted = [leaf for leaf in leaves if leaf is not None]
    found = iter(
        run_backward(
            [out for out, _ in roots],
            [x for _, x in roots],
            inputs=wanted,
            keep_graph=create_graph,
            create_graph=create_graph,
            allow_unused=True,
        )
    )
    grads = [None if leaf is None else next(found) for leaf in leaves]
    return grads if create_graph else [_raw_or_none(x) for x in grads]


def _recomputation_inputs(node: Node) -> tuple[list[Any], list[Tensor | None]]:
    """Returns the arguments of an op to run its composition on, and per edge the tensor whose gradient is wanted."""
    op = node.op
    count = len(op.parameters)
    values = [
        raw if source is None else source for source, raw in zip(node.sources[:count], node.saved[:count], strict=True)
    ]
    edges = iter(node.edges)
    leaves: list[Tensor | None] = []
    if op.variadic:
        fresh = [IDENTITY(x) if next(edges) is not None else x for x in values[0]]
        leaves += [x if x is not source else None for x, source in zip(fresh, values[0], strict=True)]
        values[0] = fresh
    for place in op.tensors:
        if place or not op.variadic:
            leaf = IDENTITY(values[place]) if next(edges) is not None else None
            values[place] = values[place] if leaf is None else leaf
            leaves.append(leaf)
    return values, leaves


def _raw_or_none(x: Tensor | None) -> Any:
    return None if x is None else array_of(x)


def accumulate(leaf: Tensor, grads: list[Any], create_graph: bool) -> None:
    """Adds the gradient in a list of one to `leaf.grad`, in place as PyTorch does; under create_graph out of place."""
    old = getattr(leaf, "_grad", None)
    if create_graph:
        leaf._grad = grads[0] if old is None else TENSOR_SPACE.add(old, grads[0])
    elif old is None:
        g = grads.pop()
        leaf._grad = wrap(_own_copy(leaf._kind, g), leaf._kind)
    else:
        write(old, leaf._kind.F.add(array_of(old), grads[0]))


def _own_copy(kind: Any, g: Any) -> Any:
    """Returns `g` if nothing but its caller can hold it, else a copy: two leaves must not share a gradient."""
    if not kind.mutable:
        return g
    if sys.getrefcount(g) > 3 or getattr(g, "base", g) is not None:
        return kind.F.copy(g)
    return g


def run_backward(
    roots: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    *,
    inputs: Sequence[Tensor] | None = None,
    keep_graph: bool = False,
    create_graph: bool = False,
    allow_unused: bool = False,
    accumulate_inputs: bool = False,
) -> tuple[Tensor | None, ...]:
    """Sends gradients from `roots` to the leaves (or to `inputs`, whose gradients it returns)."""
    captures = [_Capture(x) for x in inputs] if inputs is not None else None
    task = GraphTask(
        keep_graph=keep_graph,
        create_graph=create_graph,
        captures=None if accumulate_inputs else captures,
        accumulate=inputs is None or accumulate_inputs,
    )
    if captures is not None:
        if accumulate_inputs:
            task.captures = {_place(c.edge): [c] for c in captures}
        task.restrict([_node_of(root._node) for root in roots])
        if accumulate_inputs:
            task.captures = {}
    for root, g in zip(roots, grads, strict=True):
        task.send(root._node, g if create_graph or g is None else array_of(g))
    token = modes.grad_mode.set(modes.recording_mode() if create_graph else False)
    try:
        task.run()
    finally:
        modes.grad_mode.reset(token)
    if captures is None or accumulate_inputs:
        return ()
    return tuple(_captured(capture, place, create_graph, allow_unused) for place, capture in enumerate(captures))


def _captured(capture: _Capture, place: int, create_graph: bool, allow_unused: bool) -> Tensor | None:
    value, capture.value = capture.value, None
    if value is None:
        if not allow_unused:
            raise RuntimeError(
                f"The differentiated Tensor at index {place} appears to not have been used in the graph. Set allow_unused=True if "
                "this is the desired behavior."
            )
        return None
    if create_graph:
        return value
    kind = capture.tensor._kind
    return wrap(_own_copy(kind, value), kind)
