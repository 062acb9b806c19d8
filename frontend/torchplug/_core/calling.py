"""Writes the functions that call ops: the shortest path from checked arguments to the kernel and the node.

What an op declares is known before its first call: which parameters are tensors, what its rules read. So the functions are
made then, once, as source text: no loop over the parameters, no lists, a line for each fact. What they do not foresee
(tensors of two kinds, numbers in the place of tensors, subclasses of Tensor) they leave to the general way of `Op`.

In the source, `p0 p1 ...` are the arguments, `a0 ...` the engine arrays of tensors, `r1 ...` what the kernel is given for
the other arguments, `n0 ...` the nodes of tensors, `e0 ...` the residuals.
"""

from __future__ import annotations

import linecache
import os
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torchplug._core.modes import grad_enabled
from torchplug._core.node import Node, next_sequence_number
from torchplug._core.tensor import Tensor, View, array_of, cell_of, geometry_of, new, shape_of, view_over
from torchplug_spec import DType

if TYPE_CHECKING:
    from torchplug._core.op import Op, Plan, ViewOp

__all__ = [
    "ARRAY",
    "ATTRIBUTE",
    "OUT",
    "RESIDUAL",
    "SHAPE",
    "saved_shape",
    "versions_of",
    "write_call",
    "write_view_call",
]

ARRAY, SHAPE, ATTRIBUTE, OUT, RESIDUAL = range(5)
"""What an item of a plan saves: a tensor's array, its shape, another argument, the result, a residual."""

PLAIN = frozenset((int, bool, float, complex, str, slice, DType, type(None)))
"""Types of arguments that the kernel takes as they are."""


def raw(argument: Any) -> Any:
    """Returns an argument as the kernel takes it: arrays in the place of tensors."""
    if isinstance(argument, Tensor):
        array = argument._array
        return array_of(argument) if array is None else array
    if type(argument) in (list, tuple) and any(isinstance(item, Tensor) for item in argument):
        return type(argument)(array_of(item) if isinstance(item, Tensor) else item for item in argument)
    return argument


def saved_shape(argument: Any) -> Any:
    """Returns the shape of a tensor, the shapes of several, () for a number."""
    if isinstance(argument, Tensor):
        return shape_of(argument)
    if type(argument) in (list, tuple) and argument and isinstance(argument[0], Tensor):
        return tuple(shape_of(item) for item in argument)
    return getattr(argument, "shape", ())


def versions_of(sources: Sequence[Any], saves_out: bool) -> list[int] | None:
    """Returns the versions of the storages of saved tensors, with a last one for a saved result; None if all are 0."""
    versions = [_version(source) for source in sources]
    if not any(versions):
        return None
    return [*versions, 0] if saves_out else versions


def _version(source: Any) -> int:
    if isinstance(source, Tensor):
        return source._cell.version if source._cell is not None else 0
    if type(source) in (list, tuple):
        return sum(_version(item) for item in source)
    return 0


def fix_of(inputs: Sequence[Tensor | None], shape: tuple[int, ...]) -> list[Any] | None:
    """Returns per input the shape its gradient is to be reduced to, None where that is the shape of the result."""
    fix: list[Any] | None = None
    for edge, x in enumerate(inputs):
        own = shape if x is None else shape_of(x)
        if own != shape:
            if fix is None:
                fix = [None] * len(inputs)
            fix[edge] = own
    return fix


def write_call(op: Op, general: Callable[..., Any], record: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function that calls an op of one output; `general` and `record` take over what it does not foresee."""
    names = _names(op, general, record)
    parameters = ", ".join(f"p{place}" for place in range(len(op.parameters)))
    lines = [f"def call({parameters}):", *_indented(_call_lines(op, names))]
    return _made("call", f"call of {op.name}", "\n".join(lines), names)


def _made(name: str, title: str, text: str, names: dict[str, Any]) -> Any:
    """Returns the function `name` of a source text, which tracebacks show like any other source of this package."""
    place = os.path.join(os.path.dirname(__file__), f"<{title}>")
    linecache.cache[place] = len(text), None, text.splitlines(keepends=True), place
    exec(compile(text, place, "exec"), names)
    return names[name]


def _names(op: Op, general: Callable[..., Any], record: Callable[..., Any]) -> dict[str, Any]:
    """Returns the global names of a written function (a plain dict: Python reads others slowly)."""
    return dict(
        op=op, general=general, record=record, recorders=[None] * (1 << len(op.tensors)), recorder=_recorder,
        Tensor=Tensor, PLAIN=PLAIN, new=new, array_of=array_of, raw=raw, Node=Node, grad_enabled=grad_enabled,
        next_sequence_number=next_sequence_number, saved_shape=saved_shape, versions_of=versions_of, fix_of=fix_of,
    )  # fmt: skip


def _indented(lines: Sequence[str]) -> list[str]:
    return ["    " + line for line in lines]


def _everything(op: Op) -> str:
    return "(" + "".join(f"p{place}, " for place in range(len(op.parameters))) + ")"


def _call_lines(op: Op, names: dict[str, Any]) -> list[str]:
    lines = _argument_lines(op)
    arguments = ", ".join(f"a{place}" if place in op.tensors else f"r{place}" for place in range(len(op.parameters)))
    residuals = [f"e{place}" for place in range(len(op.residuals))]
    lines.append(f"{', '.join(['value', *residuals])} = kind.table[{op.slot}]({arguments})")
    lines += [
        "out = new(Tensor)",
        "out._array = value",
        f"out._kind = kind if value.dtype is a{min(op.tensors)}.dtype else kind.by_native.get(value.dtype) or kind.of(value)",
        "out._node = out._cell = None",
    ]
    if op.smooth:
        lines += _recording_lines(op, arguments, residuals, names)
    return [*lines, "return out"]


def _argument_lines(op: Op) -> list[str]:
    first = min(op.tensors)
    others = [place for place in sorted(op.tensors) if place != first]
    lines = ["try:", f"    kind = p{first}._kind"]
    for place in others:
        lines.append(f"    if p{place} is not None and p{place}._kind is not kind:")
        lines.append("        kind = None")
    lines += [
        "except AttributeError:",
        "    kind = None",
        "if kind is None:",
        f"    return general(op, {_everything(op)})",
    ]
    lines += [f"a{first} = p{first}._array", f"if a{first} is None:", f"    a{first} = array_of(p{first})"]
    for place in others:
        lines += [
            f"if p{place} is None:",
            f"    a{place} = n{place} = None",
            "else:",
            f"    n{place} = p{place}._node",
            f"    a{place} = p{place}._array",
            f"    if a{place} is None:",
            f"        a{place} = array_of(p{place})",
        ]
    for place in range(len(op.parameters)):
        if place not in op.tensors:
            tuples = f"p{place}.__class__ is tuple and not (p{place} and isinstance(p{place}[0], Tensor))"
            lines.append(f"r{place} = p{place} if p{place}.__class__ in PLAIN or {tuples} else raw(p{place})")
    return lines


def _recording_lines(op: Op, arguments: str, residuals: Sequence[str], names: dict[str, Any]) -> list[str]:
    """Returns the lines that hang a node on `out` when an input has one."""
    first = min(op.tensors)
    lines = [f"n{first} = p{first}._node"]
    if len(op.tensors) == 1:
        lines.append(f"if n{first} is not None:")
        record = _node_lines(op, op.plan(1), names)
    else:
        lines.append(f"if {' or '.join(f'n{place} is not None' for place in op.tensors)}:")
        needed = " + ".join(f"(n{place} is not None) * {1 << edge}" for edge, place in enumerate(op.tensors))
        record = [
            f"needed = {needed}",
            f"node = (recorders[needed] or recorder(op, needed, recorders, globals()))(kind, {_passed(op)})",
        ]
    inputs = "(" + "".join(f"p{place}, " for place in op.tensors) + ")"
    return [
        *lines,
        "    mode = grad_enabled()",
        "    if mode is True:",
        *_indented(_indented(record)),
        "        out._node = node",
        "    elif mode:",
        f"        record(op, {_everything(op)}, ({arguments},), {inputs}, (out,), ({''.join(f'{e}, ' for e in residuals)}))",
    ]


def _passed(op: Op) -> str:
    """Returns what a recorder is given: everything the call knows."""
    places = range(len(op.parameters))
    values = [f"a{place}" if place in op.tensors else f"r{place}" for place in places]
    nodes = [f"n{place}" for place in op.tensors]
    residuals = [f"e{place}" for place in range(len(op.residuals))]
    return ", ".join([*(f"p{place}" for place in places), *values, *nodes, *residuals, "value"])


def _recorder(op: Op, needed: int, recorders: list[Any], names: dict[str, Any]) -> Callable[..., Node]:
    """Writes the function that makes the node when the inputs of the bit set `needed` have one."""
    own = dict(names)
    body = [*_node_lines(op, op.plan(needed), own), "return node"]
    text = "\n".join([f"def recorded(kind, {_passed(op)}):", *_indented(body)])
    recorder: Callable[..., Node] = _made("recorded", f"node {needed} of {op.name}", text, own)
    recorders[needed] = recorder
    return recorder


def _node_lines(op: Op, plan: Plan, names: dict[str, Any]) -> list[str]:
    names["plan"] = plan
    saved, sources, cells = [], [], []
    for code, place in plan.items:
        source = "None"
        if code == ARRAY:
            saved.append(f"a{place}")
            source = f"p{place}"
            cells.append(f"p{place} is not None and p{place}._cell is not None")
        elif code == ATTRIBUTE:
            saved.append(f"r{place}")
            source = f"(p{place} if isinstance(p{place}, Tensor) else None)"
            cells.append(f"r{place} is not p{place}")
        elif code == SHAPE:
            saved.append(f"saved_shape(p{place})")
        else:
            saved.append("value" if code == OUT else f"e{place}")
        sources.append(source)
    lines = [
        "node = new(Node)",
        "node.op = op",
        f"node.edges = ({''.join(f'n{place}, ' for place in op.tensors)})",
        "node.kind = kind",
        "node.plan = plan",
        f"node.saved = ({''.join(f'{item}, ' for item in saved)})",
        f"node.sources = ({''.join(f'{item}, ' for item in sources)})",
        "node.versions = "
        + (f"versions_of(node.sources, {plan.saves_out}) if {' or '.join(cells)} else None" if cells else "None"),
        "node.cell = node.hooks = node.outputs = None",
        "node.seq = next_sequence_number()",
    ]
    if op.broadcasts:
        lines.append(f"node.fix = fix_of(({''.join(f'p{place}, ' for place in op.tensors)}), tuple(value.shape))")
    else:
        lines.append("node.fix = None")
    return lines


def write_vjp(
    rules: Sequence[tuple[int | None, Callable[..., Any], tuple[int, ...]]], edges: int
) -> Callable[..., Any]:
    """Returns the function that runs the rules of a plan: the gradient of every edge from that of the result.

    A rule is (its edge, itself, the places of the saved values it takes); the edge of a joint rule is None, and a place
    below 0 stands for which edges want a gradient.
    """
    names: dict[str, Any] = {}
    made = ["None"] * edges
    joint = ""
    for number, (edge, rule, places) in enumerate(rules):
        names[f"rule{number}"] = rule
        wanted = "tuple([edge is not None for edge in edges])"
        arguments = "".join(f", saved[{place}]" if place >= 0 else f", {wanted}" for place in places)
        if edge is None:
            joint = f"rule{number}(F, g{arguments})"
        else:
            made[edge] = f"rule{number}(F, g{arguments})"
    text = f"def vjp(F, g, saved, edges):\n    return {joint or '(' + ', '.join(made) + ',)'}"
    vjp: Callable[..., Any] = _made(
        "vjp", f"gradients by {' '.join(rule.__qualname__ for _, rule, _ in rules)}", text, names
    )
    return vjp


VIEW_CALL = """
def call(x, {parameters}dtype=None):
    kind = x._kind
    cell = x._cell
    if cell is None:
        cell = cell_of(x)
    out = new(Tensor)
    out._kind = kind if dtype is None else kind.to(dtype)
    out._cell = cell
    args = ({parameters})
    old = x._view
    if old is None:
        out._view = view = new(View)
        view.base = x
        view.chain = ((lens, args),)
        view.counter = view.meta = None
    else:
        out._view = view = view_over(x, old, lens, args)
    if kind.mutable:
        out._array = {seen}
    else:
        out._array = None
        out._geometry = geometry(geometry_of(x), {parameters})
    aliases = cell.aliases
    if len(aliases) < cell.live:
        aliases.append(ref(out))
    else:
        cell.add_alias(out)
    parent = x._node
    out._node = None
    if parent is not None:
        if grad_enabled() is True:
            out._node = node = new(Node)
            node.op = op
            node.edges = (parent,)
            node.kind = kind
            node.plan = plan
            node.saved = (lens, args, shape_of(x))
            node.sources = (None, None, None)
            node.versions = node.fix = node.cell = node.hooks = node.outputs = None
            node.seq = next_sequence_number()
        else:
            record(x, out, args)
    return out
"""


def write_view_call(op: ViewOp, plan: Plan, record: Callable[..., None]) -> Callable[..., Tensor]:
    """Returns the function that calls a view op; `record` takes over in every other mode than plain recording."""
    names: dict[str, Any] = dict(
        op=op, plan=plan, record=record, lens=op.lens, lens_view=op.lens.view, geometry=op.lens.geometry, View=View,
        Tensor=Tensor, Node=Node, cell_of=cell_of, geometry_of=geometry_of, grad_enabled=grad_enabled, new=new,
        next_sequence_number=next_sequence_number, ref=weakref.ref, shape_of=shape_of, view_over=view_over,
    )  # fmt: skip
    parameters = "".join(f"p{place}, " for place in range(1, len(op.parameters)))
    kernel = op.lens.kernel
    seen = (
        f"lens_view(kind.F, x._array, {parameters})" if kernel is None else f"kind.F.{kernel}(x._array, {parameters})"
    )
    text = VIEW_CALL.format(parameters=parameters, seen=seen)
    return _made("call", f"call of {op.name}", text, names)
