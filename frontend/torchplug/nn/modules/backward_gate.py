"""Gates around a module: identities in the gradient graph that show gradients to its full backward hooks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torchplug._core.modes import grad_enabled
from torchplug._core.node import Node, NoPlan, Output
from torchplug._core.tensor import Tensor, View, alias, array_of, shape_of, wrap

if TYPE_CHECKING:
    from torchplug.nn.modules.module import Module

__all__ = ["BackwardGate"]

Grads = tuple[Any, ...]


class _GateOp:
    """The op of a gate's node: hands the gradients to the gate and sends on what comes back."""

    name = "backward_hook_function"
    node_name = "BackwardHookFunctionBackward"
    variadic = False
    fused_rule = False

    @staticmethod
    def node_vjp(node: Node, g: Any, create_graph: bool, inner: Any) -> Sequence[Any]:
        arrived = tuple(x if x is None or create_graph else wrap(x, node.kind.of(x)) for x in g)
        sent = node.attributes(arrived)
        return [x if x is None or create_graph else array_of(x) for x in sent]


_GATE = _GateOp()


def _pass_through(tensors: Sequence[Tensor], receive: Callable[[Grads], Grads]) -> list[Tensor]:
    """Returns the tensors behind a node that calls `receive` with their gradients."""
    node = Node(_GATE, tuple(x._node for x in tensors), tensors[0]._kind)
    node.plan = NoPlan
    node.attributes = receive
    node.outputs = tuple((shape_of(x), x._kind) for x in tensors)
    return [x if x._node is None else _behind(x, Output(node, index)) for index, x in enumerate(tensors)]


def _behind(x: Tensor, place: Output) -> Tensor:
    out = alias(x)
    out._node = place
    base = x if x._view is None or x._view.base is None else x._view.base
    # A write through `out` would give the base a history that skips the gate: the core refuses it, as PyTorch does.
    out._view = View(base, out._view.chain, out._view.counter, "function")
    return out


class BackwardGate:
    """What one call of a module leaves for its full backward hooks: the gate of the inputs and that of the outputs."""

    def __init__(self, module: Module, hooks: Sequence[Any], pre_hooks: Sequence[Any]) -> None:
        self.module = module
        self.hooks = hooks
        self.pre_hooks = pre_hooks
        self.grad_outputs: Grads | None = None
        self.input_places: list[int] | None = None
        self.output_places: list[int] = []
        self.inputs = self.outputs = 0

    def on_inputs(self, args: tuple) -> tuple:
        """Returns the arguments behind the input gate; as they are when none of them requires grad."""
        self.inputs = len(args)
        places = [place for place, x in enumerate(args) if isinstance(x, Tensor)]
        if not _any_requires_grad(args, places):
            return args
        self.input_places = places
        return _replaced(args, places, _pass_through([args[place] for place in places], self._receive_inputs))

    def on_outputs(self, result: Any) -> Any:
        """Returns the result behind the output gate."""
        single = isinstance(result, Tensor)
        if not single and not isinstance(result, tuple):
            return result
        values = (result,) if single else result
        self.outputs = len(values)
        places = self.output_places = [place for place, x in enumerate(values) if isinstance(x, Tensor)]
        if not _any_requires_grad(values, places):
            return result
        passed = _replaced(values, places, _pass_through([values[place] for place in places], self._receive_outputs))
        return passed[0] if single else passed

    def _receive_outputs(self, grads: Grads) -> Grads:
        seen = _spread(grads, self.output_places, self.outputs)
        for hook in self.pre_hooks:
            seen = _answer(hook(self.module, seen), seen, "Backward pre hook", "grad_output")
        self.grad_outputs = seen
        if self.input_places is None and self.hooks:
            self._run_without_inputs(seen)
        return tuple(seen[place] for place in self.output_places)

    def _run_without_inputs(self, seen: Grads) -> None:
        warnings.warn(
            "Full backward hook is firing when gradients are computed with respect to module outputs since no "
            "inputs require gradients. See "
            "https://docs.pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module."
            "register_full_backward_hook for more details.", stacklevel=5)  # fmt: skip
        for hook in self.hooks:
            returned = hook(self.module, (None,) * self.inputs, seen)
            if returned is not None and not (isinstance(returned, tuple) and all(g is None for g in returned)):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always return None or None "
                    "for all gradients."
                )
        self.grad_outputs = None

    def _receive_inputs(self, grads: Grads) -> Grads:
        if self.grad_outputs is None:
            # The outputs took no part in this backward: gradients reach the inputs on another way.
            return grads
        assert self.input_places is not None
        seen = _spread(grads, self.input_places, self.inputs)
        for hook in self.hooks:
            seen = _answer(hook(self.module, seen, self.grad_outputs), seen, "Backward hook", "grad_input")
        self.grad_outputs = None
        return tuple(seen[place] for place in self.input_places)


def _any_requires_grad(values: tuple, places: Sequence[int]) -> bool:
    return bool(grad_enabled()) and any(values[place]._node is not None for place in places)


def _replaced(values: tuple, places: Sequence[int], tensors: Sequence[Tensor]) -> tuple:
    items = list(values)
    for place, tensor in zip(places, tensors, strict=True):
        items[place] = tensor
    fields = getattr(values, "_fields", None)
    return type(values)(*items) if fields is not None else tuple(items)


def _spread(grads: Grads, places: Sequence[int], count: int) -> Grads:
    spread: list[Any] = [None] * count
    for place, g in zip(places, grads, strict=True):
        spread[place] = g
    return tuple(spread)


def _answer(returned: Any, seen: Grads, hook: str, what: str) -> Grads:
    if returned is None:
        return seen
    answer = returned if isinstance(returned, tuple) else (returned,)
    if len(answer) != len(seen):
        raise RuntimeError(f"{hook} returned an invalid number of {what}, got {len(answer)}, but expected {len(seen)}")
    return answer
