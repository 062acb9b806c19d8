"""Functions with derivatives of your own: `torch.autograd.Function`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torchplug._core import modes
from torchplug._core.inplace import rebase
from torchplug._core.node import FREED_MESSAGE, Node, NoPlan, Output, unpack_error
from torchplug._core.op import TENSOR_SPACE
from torchplug._core.tensor import Tensor, alias, array_of, cell_of, shape_of, wrap

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx:
    """What `forward` and `backward` of one call share: saved tensors, needs_input_grad, and any attributes of yours."""

    _saved: tuple[Any, ...] = ()
    _versions: tuple[int, ...] = ()
    _dirty: tuple[Tensor, ...] = ()
    _constant: frozenset[int] = frozenset()
    _materialize = True
    _freed = False
    needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors for `backward`, where `saved_tensors` returns them; writing them in between is an error there."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument 0 is of type {type(tensor).__name__}"
                )
        self._saved = tensors
        self._versions = tuple(0 if x is None or x._cell is None else x._cell.version for x in tensors)

    save_for_forward = save_for_backward

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors given to `save_for_backward`."""
        if self._freed:
            raise RuntimeError(FREED_MESSAGE)
        for x, version in zip(self._saved, self._versions, strict=True):
            if x is not None and x._cell is not None and x._cell.version != version:
                raise unpack_error(None, x, 0, x._cell.version, version)
        return tuple(self._saved)

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Says that `forward` wrote these inputs in place; they must be returned."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Says that these outputs have no gradient."""
        self._constant = frozenset(id(x) for x in tensors)

    def set_materialize_grads(self, value: bool) -> None:
        """Chooses whether undefined gradients reach `backward` as zeros (the default) or as None."""
        self._materialize = value


class _Custom:
    """The op of a custom function's nodes; one per Function class."""

    variadic = False
    fused_rule = False
    tensors: tuple[int, ...] = ()

    def __init__(self, cls: type[Function]) -> None:
        self.cls = cls
        self.name = cls.__name__
        self.node_name = f"{cls.__name__}Backward"

    def node_vjp(self, node: Node, g: Any, create_graph: bool, run: Any) -> list[Any]:
        ctx, places, count = node.saved
        kinds = node.metadata
        grads = g if isinstance(g, tuple) else (g,)
        given = [x if x is None or create_graph else wrap(x, kind) for x, (_, kind) in zip(grads, kinds, strict=True)]
        if ctx._materialize:
            given = [_zeros(shape, kind) if x is None else x for x, (shape, kind) in zip(given, kinds, strict=True)]
        token = modes.grad_mode.set(modes.recording_mode() if create_graph else False)
        try:
            returned = self.cls.backward(ctx, *given)
        finally:
            modes.grad_mode.reset(token)
        return self._checked(node, returned, places, count, create_graph)

    def _checked(self, node: Node, returned: Any, places: tuple[int, ...], count: int, create_graph: bool) -> list[Any]:
        results = returned if isinstance(returned, tuple) else (returned,)
        if len(results) > count and all(x is None for x in results[count:]):
            results = results[:count]
        if len(results) != count:
            raise RuntimeError(
                f"function {self.node_name} returned an incorrect number of gradients (expected {count}, got {len(results)})"
            )
        chosen: list[Any] = []
        for edge, place in enumerate(places):
            x = results[place]
            if x is None or node.edges[edge] is None:
                chosen.append(None)
                continue
            if not isinstance(x, Tensor):
                raise TypeError(
                    f"{self.node_name} returned a {type(x).__name__} as gradient {place}, expected a Tensor or None"
                )
            shape, kind = node.fix[edge]
            if shape_of(x) != shape:
                x = (
                    TENSOR_SPACE.unbroadcast(x, shape)
                    if _reducible(shape_of(x), shape)
                    else _bad_shape(self.node_name, place, x, shape)
                )
            x = x.to(kind.dtype) if x._kind.dtype is not kind.dtype else x
            chosen.append(x if create_graph else array_of(x))
        return chosen


def _reducible(have: tuple[int, ...], want: tuple[int, ...]) -> bool:
    return len(have) >= len(want) and all(w in (1, h) for h, w in zip(reversed(have), reversed(want), strict=False))


def _bad_shape(name: str, place: int, x: Tensor, want: tuple[int, ...]) -> Any:
    raise RuntimeError(
        f"Function {name} returned an invalid gradient at index {place} - got {list(shape_of(x))} but expected shape compatible "
        f"with {list(want)}"
    )


def _zeros(shape: tuple[int, ...], kind: Any) -> Tensor:
    return wrap(kind.F.full(shape, 0, kind.dtype, kind.native_device), kind)


class Function:
    """Base of functions with their own derivative: define static methods `forward(ctx, *args)` (or `forward(*args)` with
    `setup_context(ctx, inputs, output)`) and `backward(ctx, *grads)`; call `YourFunction.apply(*args)`.

    Source: https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd function with "
            "static forward method. (Example: https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Computes the result; with a first parameter `ctx` unless `setup_context` is defined."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Saves for backward what `forward(*args)` without ctx computed."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Returns one gradient (or None) per argument of forward."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with backward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs forward and records backward."""
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(arg, Tensor) and arg._node is not None for arg in args)
        records = bool(modes.grad_mode.get()) and any(ctx.needs_input_grad)
        token = modes.grad_mode.set(False)
        try:
            if cls.setup_context is not Function.setup_context:
                result = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args, **kwargs)
        finally:
            modes.grad_mode.reset(token)
        return _recorded(cls, ctx, args, result) if records else result


def _recorded(cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], result: Any) -> Any:
    outs = result if isinstance(result, tuple) else (result,)
    places = tuple(place for place, arg in enumerate(args) if isinstance(arg, Tensor))
    inputs = [args[place] for place in places]
    fresh = [_detached(x, args, ctx) if isinstance(x, Tensor) else x for x in outs]
    tensors = [x for x in fresh if isinstance(x, Tensor)]
    node = Node(_op_of(cls), tuple(x._node for x in inputs), inputs[0]._kind)  # type: ignore[arg-type]
    node.plan = NoPlan
    node.saved = (ctx, places, len(args))
    node.sources = (None, None, None)
    node.fix = tuple((shape_of(x), x._kind) for x in inputs)
    node.metadata = tuple((shape_of(x), x._kind) for x in tensors)
    if len(tensors) > 1:
        node.outputs = node.metadata
    for index, (x, given) in enumerate(zip(tensors, (x for x in outs if isinstance(x, Tensor)), strict=True)):
        place = node if len(tensors) == 1 else Output(node, index)
        if id(given) in ctx._constant or not x._kind.inexact:
            continue
        if any(given is dirty for dirty in ctx._dirty):
            cell_of(x).version += 1
            rebase(x, place)
        else:
            x._node = place
    return tuple(fresh) if isinstance(result, tuple) else fresh[0]


def _detached(x: Tensor, args: tuple[Any, ...], ctx: FunctionCtx) -> Tensor:
    """An input returned as it is must become a tensor of its own, unless it was marked dirty."""
    if any(x is dirty for dirty in ctx._dirty) or not any(x is arg for arg in args):
        return x
    return alias(x)


@functools.cache
def _op_of(cls: Any) -> Any:
    return _Custom(cls)


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a `backward` that cannot be differentiated itself: double backward through it raises."""

    @functools.wraps(backward)
    def wrapper(ctx: Any, *grads: Any) -> Any:
        needs = bool(modes.grad_mode.get()) and any(isinstance(g, Tensor) and g._node is not None for g in grads)
        token = modes.grad_mode.set(False)
        try:
            results = backward(ctx, *grads)
        finally:
            modes.grad_mode.reset(token)
        if not needs:
            return results
        outs = results if isinstance(results, tuple) else (results,)
        barred = tuple(
            _Barred.apply(x, *[g for g in grads if isinstance(g, Tensor)]) if isinstance(x, Tensor) else x for x in outs
        )
        return barred if isinstance(results, tuple) else barred[0]

    return wrapper


class _Barred(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *causes: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")
