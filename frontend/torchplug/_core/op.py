"""Ops: declarations made callable over Tensors, with one node in the graph each.

An `Op` has a kernel (looked up in the engine's table), and one derivative rule per differentiable input or one for all. A
rule is a function over a namespace whose parameter names say what it needs: `F`, then `g`, then any of the op's parameters,
`<parameter>_shape`, `out`, or a residual by name. Only what the rules of the inputs that need gradients name is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torchplug._core.calling import (
    ARRAY,
    ATTRIBUTE,
    OUT,
    RESIDUAL,
    SHAPE,
    fix_of,
    raw,
    saved_shape,
    versions_of,
    write_call,
    write_view_call,
    write_vjp,
)
from torchplug._core.kernels import COMPOSITIONS, OPS, OPS_BY_KERNEL
from torchplug._core.modes import WITH_LINES, grad_enabled
from torchplug._core.node import Node, Output, lost_place
from torchplug._core.tensor import Tensor, array_of, new, shape_of

__all__ = ["TENSOR_SPACE", "Op", "ViewOp", "parameters_of", "record"]


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Returns the names of a function's positional parameters."""
    code = function.__code__
    return code.co_varnames[: code.co_argcount]


class Plan:
    """What to save and which rules to run for one choice of inputs that need gradients.

    `vjp(F, g, saved, edges)` returns the gradient of every edge, None where no rule is run. It is None for an op without
    rules, for which `edges` is None.
    `light` says that nothing but shapes and dtypes is saved, so that nodes can keep it and run again.
    """

    __slots__ = ("items", "light", "saves_out", "vjp")

    def __init__(self, items: tuple, rules: tuple, edges: int | None) -> None:
        self.items = items
        self.saves_out = any(code == OUT for code, _ in items)
        self.vjp = None if edges is None else write_vjp(rules, edges)
        self.light = False


class Op:
    """A declared op at kernel level: positional arguments, already promoted.

    `tensors` gives the positions of tensor parameters; `variadic` says that parameter 0 is a sequence of tensors.
    `rules` maps parameter names to rules; `joint` is one rule for all, returning a gradient (or None) per tensor input.
    `residuals` names what the kernel returns beside its `outputs`. `broadcasts` lets gradients be reduced to the shapes of
    the inputs by the engine.

    `op.call(...)` is the function written for the op at its first call; `op(...)` calls it.
    """

    def __init__(
        self,
        name: str,
        parameters: Sequence[str],
        *,
        tensors: Sequence[str],
        kernel: str | None = None,
        forward: Callable[..., Any] | None = None,
        rules: dict[str, Callable[..., Any]] | None = None,
        joint: Callable[..., Any] | None = None,
        node: str | None = None,
        outputs: int = 1,
        differentiable_outputs: int | None = None,
        residuals: Sequence[str] = (),
        broadcasts: bool = False,
        variadic: bool = False,
        fused_rule: bool = False,
    ) -> None:
        self.name = name
        self.kernel = kernel or name
        self.parameters = tuple(parameters)
        self.tensors = tuple(self.parameters.index(name) for name in tensors)
        self.rules = rules or {}
        self.joint = joint
        self.node_name = node or _node_name(name)
        self.outputs = outputs
        self.differentiable_outputs = outputs if differentiable_outputs is None else differentiable_outputs
        self.residuals = tuple(residuals)
        self.broadcasts = broadcasts
        self.variadic = variadic
        self.fused_rule = fused_rule
        self.forward = forward
        self._plans: dict[int, Plan] = {}
        self.smooth = self.differentiable
        self.call: Callable[..., Any] = self._first_call
        if forward is not None:
            COMPOSITIONS[self.kernel] = forward
        self.slot = len(OPS)
        OPS.append(self)
        OPS_BY_KERNEL.setdefault(self.kernel, self)

    @property
    def differentiable(self) -> bool:
        """Whether any rule exists, or the composition can be differentiated in its place."""
        return (
            bool(self.rules) or self.joint is not None or (self.forward is not None and self.differentiable_outputs > 0)
        )

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __call__(self, *args: Any) -> Any:
        return self.call(*args)

    def _first_call(self, *args: Any) -> Any:
        if self.outputs == 1 and self.tensors and not self.variadic:
            self.call = write_call(self, Op.call_any, record)
        else:
            self.call = lambda *args: self.call_any(args)
        return self.call(*args)

    def call_any(self, args: tuple) -> Any:
        """Calls the op with whatever it can be called with: several results, tensors of many kinds, numbers."""
        kind, inputs, raw = self._prepared(args)
        results = kind.table[self.slot](*raw)
        residuals: tuple = ()
        if self.residuals:
            residuals, results = results[self.outputs :], results[: self.outputs]
            if self.outputs == 1:
                results = results[0]
        if self.outputs == 1:
            out: Any = _tensor(results, kind)
            outs: tuple[Tensor, ...] = (out,)
        else:
            outs = tuple(_tensor(result, kind) for result in results)
            out = outs
        if self.smooth and grad_enabled():
            for x in inputs:
                if x is not None and x._node is not None:
                    record(self, args, raw, inputs, outs, residuals)
                    break
        return out

    def _prepared(self, args: tuple) -> tuple[Any, list[Tensor | None], list[Any]]:
        """Returns the kind of the call, the tensor of each edge (None for a number or an absent one) and the raw arguments."""
        given = [arg if place in self.tensors else raw(arg) for place, arg in enumerate(args)]
        inputs: list[Tensor | None] = []
        kind = None
        if self.variadic:
            inputs.extend(args[0])
            given[0] = [array_of(x) if x._array is None else x._array for x in args[0]]
            kind = self._common_kind(inputs)
        for place in self.tensors:  # the order of the edges, not always that of the arguments
            if self.variadic and place == 0:
                continue
            arg = args[place]
            if not isinstance(arg, Tensor):
                inputs.append(None)
                continue
            given[place] = array_of(arg) if arg._array is None else arg._array
            inputs.append(arg)
            if kind is None:
                kind = arg._kind
            elif arg._kind is not kind:
                kind = self._common_kind(inputs)
        return kind, inputs, given

    def _common_kind(self, inputs: list[Tensor | None]) -> Any:
        """Returns the kind of the first tensor; PyTorch's error if another is on another device."""
        kind: Any = None
        for x in inputs:
            if x is None or x._kind is kind:
                continue
            if kind is None:
                kind = x._kind
            elif x._kind.native_device != kind.native_device or x._kind.engine is not kind.engine:
                raise device_error(self.name, [x for x in inputs if x is not None])
        return kind

    def plan(self, needed: int) -> Plan:
        """Returns what to save when the inputs of the bit set `needed` want gradients."""
        plan = self._plans.get(needed)
        if plan is None:
            plan = self._plans[needed] = self._make_plan(needed)
            plan.light = all(
                code == SHAPE or (code == ATTRIBUTE and self.parameters[place].endswith("dtype"))
                for code, place in plan.items
            )
        return plan

    def _make_plan(self, needed: int) -> Plan:
        items: list[tuple[int, int]] = []
        if self.fused_rule or (self.joint is None and not self.rules):
            # The composition may run again: it takes every parameter, in order.
            items = [
                (ARRAY if place in self.tensors or (self.variadic and place == 0) else ATTRIBUTE, place)
                for place in range(len(self.parameters))
            ]
        if self.joint is None and not self.rules:
            return Plan(tuple(items), (), None)
        rules = []
        if self.joint is not None:
            chosen: list[tuple[int | None, Callable[..., Any]]] = [(None, self.joint)]
        else:
            chosen = [
                (edge, self.rules[self.parameters[place]])
                for edge, place in enumerate(self.tensors)
                if needed >> edge & 1 and self.parameters[place] in self.rules
            ]
        for edge, rule in chosen:
            places = []
            for name in parameters_of(rule)[2:]:
                if name == "needs":
                    places.append(-1)
                    continue
                item = self._item(name)
                if item not in items:
                    items.append(item)
                places.append(items.index(item))
            rules.append((edge, rule, tuple(places)))
        return Plan(tuple(items), tuple(rules), len(self.tensors))

    def _item(self, name: str) -> tuple[int, int]:
        if name == "out" and "out" not in self.parameters:
            return OUT, 0
        if name in self.residuals:
            return RESIDUAL, self.residuals.index(name)
        if name in self.parameters:
            place = self.parameters.index(name)
            return (ARRAY if place in self.tensors or (self.variadic and place == 0) else ATTRIBUTE), place
        if name.endswith("_shape") and name[:-6] in self.parameters:
            return SHAPE, self.parameters.index(name[:-6])
        raise TypeError(f"the rule of op '{self.name}' asks for '{name}', which is none of {self.parameters}")


def _node_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.strip("_").split("_")) + "Backward0"


def _tensor(array: Any, kind: Any) -> Tensor:
    tensor = new(Tensor)
    tensor._array = array
    tensor._kind = kind.by_native.get(array.dtype) or kind.of(array)
    tensor._node = None
    tensor._cell = None
    return tensor


def record(
    op: Op,
    args: Sequence[Any],
    raw: Sequence[Any],
    inputs: Sequence[Tensor | None],
    outs: Sequence[Tensor],
    residuals: tuple,
) -> Node:
    """Makes the node of one call and hangs it on the outputs."""
    needed = 0
    for edge, x in enumerate(inputs):
        if x is not None and x._node is not None:
            needed |= 1 << edge
    kind = next(x._kind for x in inputs if x is not None)
    node = Node(op, tuple(None if x is None else x._node for x in inputs), kind)
    plan = node.plan = op.plan(needed if not op.variadic else -1)
    _save(node, plan, args, raw, outs, residuals)
    if op.broadcasts:
        node.fix = fix_of(inputs, tuple(outs[0]._array.shape))
    if op.differentiable_outputs == 1:
        outs[0]._node = node
    else:
        node.outputs = tuple((shape_of(out), out._kind) for out in outs)
        for index, out in enumerate(outs[: op.differentiable_outputs]):
            if out._kind.dtype.is_floating_point or out._kind.dtype.is_complex:
                out._node = Output(node, index)
    if grad_enabled() == WITH_LINES:
        from torchplug._core.anomaly import remember

        remember(node, op, args)
    return node


def _save(
    node: Node, plan: Plan, args: Sequence[Any], raw: Sequence[Any], outs: Sequence[Tensor], residuals: tuple
) -> None:
    if not plan.items:
        return
    saved: list[Any] = []
    sources: list[Any] = []
    for code, place in plan.items:
        source = None
        if code == ARRAY:
            saved.append(raw[place])
            source = args[place]
        elif code == ATTRIBUTE:
            saved.append(raw[place])
            source = args[place] if isinstance(args[place], Tensor) else None
        elif code == SHAPE:
            saved.append(saved_shape(args[place]))
        else:
            saved.append(outs[0]._array if code == OUT else residuals[place])
        sources.append(source)
    node.saved, node.sources = saved, sources
    node.versions = versions_of(sources, plan.saves_out)


class ViewOp(Op):
    """A movement declared as an op: its result looks into the memory of its input."""

    def __init__(self, name: str, lens: Any, parameters: Sequence[str], node: str | None = None) -> None:
        self.lens = lens
        super().__init__(
            name,
            ("input", *parameters),
            tensors=("input",),
            kernel=f"view_{name}",
            forward=lambda F, x, *args: lens.get(F, x, *args),
            joint=_view_rule,
            node=node,
        )

    def _first_call(self, *args: Any, **keywords: Any) -> Tensor:
        self.call = write_view_call(self, VIEW_PLAN, self.attach)
        return self.call(*args, **keywords)

    def __call__(self, *args: Any, **keywords: Any) -> Tensor:
        return self.call(*args, **keywords)

    def attach(self, x: Tensor, out: Tensor, args: tuple) -> None:
        """Records the node of a view, whatever the mode."""
        if not grad_enabled():
            if out._view.base is not None:
                out._view.meta = "no_grad"
                out._node = lost_place(out._cell)
            return
        node = Node(self, (x._node,), x._kind)
        node.plan = VIEW_PLAN
        node.saved = (self.lens, args, shape_of(x))
        node.sources = (None, None, None)
        out._node = node
        if grad_enabled() == WITH_LINES:
            from torchplug._core.anomaly import remember

            remember(node, self, (x, *args))


def _view_rule(F: Any, g: Any, lens: Any, args: tuple, shape: tuple[int, ...]) -> tuple[Any]:
    return (lens.back(F, g, shape, *args),)


VIEW_PLAN = Plan(((ATTRIBUTE, 0), (ATTRIBUTE, 1), (ATTRIBUTE, 2)), ((None, _view_rule, (0, 1, 2)),), 1)


class TensorSpace:
    """The namespace `F` over Tensors: the same names as an engine's, each recording itself. See `Namespace`."""

    raw = False

    def __getattr__(self, name: str) -> Any:
        if name in OPS_BY_KERNEL:
            function: Any = OPS_BY_KERNEL[name]
        elif name in COMPOSITIONS:
            body = COMPOSITIONS[name]

            def function(*args: Any) -> Any:
                return body(self, *args)
        else:
            raise AttributeError(f"no kernel named '{name}'")
        setattr(self, name, function)
        return function


TENSOR_SPACE: Any = TensorSpace()


def device_error(name: str, tensors: Sequence[Tensor]) -> RuntimeError:
    """Returns PyTorch's error for tensors on different devices, naming both and the call that mends it."""
    first = tensors[0]._kind.device
    other = next(
        x._kind.device
        for x in tensors
        if x._kind.native_device != tensors[0]._kind.native_device or x._kind.engine is not tensors[0]._kind.engine
    )
    return RuntimeError(
        f"Expected all tensors to be on the same device, but found at least two devices, {first.qualified()} and "
        f"{other.qualified()}! (in {name}; move one with .to({str(first.qualified())!r}))"
    )


IDENTITY = Op("identity", ("x",), tensors=("x",), forward=lambda F, x: x, rules={"x": lambda F, g: g})
"""The same values at a new place in the graph: where the gradient of a recomputed composition is collected."""
