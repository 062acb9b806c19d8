"""Gradients through a compiled forward: the graph made while tracing is a template, run backwards as a second program."""

from __future__ import annotations

from typing import Any

from torchplug._core.node import FREED, FREED_MESSAGE, AccumulateGrad, Node, NoPlan, Output
from torchplug._core.tensor import Tensor, array_of, wrap

__all__ = ["COMPILED", "Template", "make_template"]


class Template:
    """The nodes behind a program's results, with holes where they saved values.

    `holes`: (node, place, inner place or None, index of the residual). `leaves`: the leaf tensors gradients flow to.
    """

    def __init__(self) -> None:
        self.holes: list[tuple[Node, int, int | None, int]] = []
        self.residuals: list[Any] = []
        self.roots: list[Any] = []
        self.leaves: list[Tensor] = []
        self.compiled: dict[tuple[bool, ...], Any] = {}

    def fill(self, residuals: list[Any]) -> None:
        for node, place, inner, index in self.holes:
            if inner is None:
                node.saved[place] = residuals[index]
            else:
                node.saved[place][inner] = residuals[index]


def make_template(program: Any, outcome: Any) -> Template | None:
    """Collects the graph behind the results and the traced values it saved (which become results of the program too)."""
    template = Template()
    order: dict[int, int] = {}
    is_tracing = program.engine.is_tracing
    roots = [leaf.tensor._node for leaf in outcome.leaves if type(leaf).__name__ == "Fresh" and leaf.requires_grad]
    stack = [_node_of(root) for root in roots]
    seen: set[int] = set()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if type(node) is AccumulateGrad:
            leaf = node.leaf()
            if leaf is not None:
                template.leaves.append(leaf)
            continue
        if node.saved is FREED:
            return None
        stack += [_node_of(edge) for edge in node.edges if edge is not None]
        _collect(node, template, order, is_tracing)
    template.roots = roots
    outcome.arrays += template.residuals
    template.residuals = [None] * len(order)
    template.fill(template.residuals)
    return template


def _node_of(edge: Any) -> Any:
    return edge.node if type(edge) is Output else edge


def _collect(node: Node, template: Template, order: dict[int, int], is_tracing: Any) -> None:
    node.saved = [
        list(value) if type(value) in (list, tuple) and _has_tracer(value, is_tracing) else value
        for value in node.saved
    ]
    node.sources = (None,) * len(node.saved)
    node.versions = node.cell = None
    for place, value in enumerate(node.saved):
        if type(value) is Node:
            _collect(value, template, order, is_tracing)
        elif type(value) is list:
            for inner, item in enumerate(value):
                if is_tracing(item):
                    template.holes.append((node, place, inner, _index(item, template, order)))
        elif is_tracing(value):
            template.holes.append((node, place, None, _index(value, template, order)))


def _has_tracer(values: Any, is_tracing: Any) -> bool:
    return any(is_tracing(value) for value in values)


def _index(array: Any, template: Template, order: dict[int, int]) -> int:
    if id(array) not in order:
        order[id(array)] = len(order)
        template.residuals.append(array)
    return order[id(array)]


class _Compiled:
    """The op of the node that stands for a whole compiled forward."""

    name = "compiled_function"
    node_name = "CompiledFunctionBackward"
    variadic = False
    fused_rule = False
    tensors: tuple = ()

    @staticmethod
    def node_vjp(node: Node, g: Any, create_graph: bool, run: Any) -> list[Any]:
        if create_graph:
            raise RuntimeError("torch.compile with aot_autograd does not currently support double backward")
        program, residuals = node.saved
        template = program.outcome.template
        if template is None:
            raise RuntimeError(FREED_MESSAGE)
        grads = g if isinstance(g, tuple) else (g,)
        given = tuple(x is not None for x in grads)
        compiled = template.compiled.get(given)
        if compiled is None:
            compiled = template.compiled[given] = _compile_backward(program, template, given)
        found = compiled([*residuals, *(x for x in grads if x is not None)])
        it = iter(found)
        return [next(it) if present else None for present in compiled.present]


COMPILED: Any = _Compiled()


COMPILED.PLAN = NoPlan


def _compile_backward(program: Any, template: Template, given: tuple[bool, ...]) -> Any:
    from torchplug.autograd.engine import run_backward

    present: list[bool] = []

    def pure(arrays: list[Any]) -> list[Any]:
        count = len(template.residuals)
        template.fill(list(arrays[:count]))
        try:
            kinds = program.outcome.gradient_kinds
            grads = iter(arrays[count:])
            roots, starts = [], []
            for root, kind, there in zip(template.roots, kinds, given, strict=True):
                if there:
                    stand_in = wrap(None, kind)
                    stand_in._node = root
                    roots.append(stand_in)
                    starts.append(wrap(next(grads), kind))
            found = run_backward(roots, starts, inputs=template.leaves, keep_graph=True, allow_unused=True)
            present[:] = [g is not None for g in found]
            return [array_of(g) for g in found if g is not None]
        finally:
            template.fill(template.residuals)

    compiled = program.engine.backend.compile(pure)

    def run(arrays: list[Any]) -> list[Any]:
        return compiled(arrays)

    run.present = present  # type: ignore[attr-defined]
    return run
