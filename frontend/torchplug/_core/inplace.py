"""In-place writes as autograd sees them: who may be written, and whose history moves."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from torchplug._core import geometry as geo
from torchplug._core.autocasting import CASTING, uncast
from torchplug._core.modes import grad_enabled
from torchplug._core.node import AccumulateGrad, Node, NoPlan, Output, next_sequence_number
from torchplug._core.promotion import can_cast
from torchplug._core.tensor import Tensor, array_of, cell_of, geometry_of, new, shape_of, wrap, write

__all__ = ["assign", "check_places", "check_writable", "inplace_twin", "rebase", "write_out"]

OVERLAP_MESSAGE = (
    "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please "
    "clone() the tensor before performing the operation."
)


def check_writable(tensor: Tensor, records: object) -> None:
    """Raises PyTorch's error when an in-place write is not allowed; `records` says that autograd will see it."""
    check_places(tensor)
    cell = tensor._cell
    node = tensor._node
    if not grad_enabled() or not (records or node is not None):
        return
    view = tensor._view if cell is not None else None
    if view is not None and view.base is not None:
        _check_view(tensor, view)
    if node is not None and type(node) is AccumulateGrad:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


def check_places(tensor: Tensor) -> None:
    """Raises PyTorch's error for a tensor whose elements lie in one place, as those of an expanded one."""
    if tensor._cell is not None and tensor._view is not None:
        size, stride, _ = geometry_of(tensor)
        if geo.overlaps(size, stride):
            raise RuntimeError(OVERLAP_MESSAGE)


NO_GRAD_VIEW = (
    "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this use case is ambiguous "
    "and error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace either both inside the "
    "no_grad block (if you don't want the inplace to be tracked) or both outside (if you want the inplace to be tracked)."
)
MULTIPLE_VIEWS = (
    "is a view and is being modified inplace. This view is the output of a function that returns multiple views. Such functions do "
    "not allow the output views to be modified inplace. You should replace the inplace operation by an out-of-place one."
)
FUNCTION_VIEW = (
    "is a view and is being modified inplace. This view was created inside a custom Function (or because an input was returned as-is) "
    "and the autograd logic to handle view+inplace would override the custom backward associated with the custom Function, leading to "
    "incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of the custom Function."
)


def _check_view(tensor: Tensor, view: Any) -> None:
    base_node = view.base._node
    if view.meta == "no_grad":
        raise RuntimeError(NO_GRAD_VIEW)
    if view.meta == "function":
        place = tensor._node
        node, index = (place.node, place.index) if type(place) is Output else (place, 0)
        raise RuntimeError(
            f"Output {index} of {node.name().removesuffix('0').removesuffix('Backward')} {FUNCTION_VIEW}"
        )
    if type(view.meta) is int:
        node = tensor._node
        name = node.name() if type(node) is Node else "SplitBackward0"
        raise RuntimeError(f"Output {view.meta} of {name.removesuffix('Backward0')} {MULTIPLE_VIEWS}")
    if tensor._node is not None and (base_node is None or type(base_node) is AccumulateGrad):
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")


def assign(tensor: Tensor, result: Tensor, host: Any = None) -> Tensor:
    """Writes `result` (same shape, any castable dtype) into `tensor` and moves the history; returns `tensor`."""
    array = array_of(result)
    if result._kind.dtype is not tensor._kind.dtype:
        array = tensor._kind.F.astype(array, tensor._kind.dtype)
    write(tensor, array, host)
    node = result._node
    if node is None and tensor._node is not None and grad_enabled():
        node = _constant(tensor)
    if node is not None or tensor._node is not None or _base_node(tensor) is not None:
        if grad_enabled():
            rebase(tensor, node)
    return tensor


def _constant(tensor: Tensor) -> Node:
    """Returns the history of a tensor overwritten by something without gradient: it still requires grad, its past gets none."""
    node = Node(CONSTANT, (tensor._node,), tensor._kind)
    node.plan = NoPlan
    return node


def _base_node(tensor: Tensor) -> Any:
    view = tensor._view
    return view.base._node if view is not None and view.base is not None else None


def rebase(tensor: Tensor, node: Any) -> None:
    """Makes `node` the history of a tensor that was just written, and brings the tensors that share its memory in line."""
    if type(node) is Node and node.plan is not None and node.plan.saves_out:
        # The result that the rule reads is the tensor now.
        before = node.versions[:-1] if node.versions is not None else [0] * len(node.saved)
        node.cell, node.versions = tensor._cell, [*before, tensor._cell.version]
    view = tensor._view
    base = tensor
    if view is not None and view.base is not None:
        base = view.base
        base._node = _copy_slices(base, view, node)
    tensor._node = node if base is tensor else _view_node(base, tensor)
    for ref in tensor._cell.aliases:
        other = ref()
        if other is None or other is tensor or other is base:
            continue
        if other._view is not None and other._view.base is base:
            other._node = _view_node(base, other)


def _view_node(base: Tensor, view: Tensor) -> Any:
    if base._node is None:
        return None
    node = Node(AS_VIEW, (base._node,), base._kind)
    node.plan = AS_VIEW.PLAN
    node.saved = (_relative(base, view), shape_of(base))
    node.sources = (None, None)
    return node


def _relative(base: Tensor, view: Tensor) -> tuple:
    skip = len(base._view.chain) if base._view is not None else 0
    return view._view.chain[skip:]


def _copy_slices(base: Tensor, view: Any, inner: Any) -> Any:
    if inner is None and base._node is None:
        return None
    skip = len(base._view.chain) if base._view is not None else 0
    inner_edges = inner.edges[1:] if inner is not None else ()
    node = Node(COPY_SLICES, (base._node, *inner_edges), base._kind)
    node.plan = COPY_SLICES.PLAN
    node.saved = (view.chain[skip:], inner, shape_of(base))
    node.sources = (None, None, None)
    return node


def read_chain(F: Any, x: Any, chain: tuple) -> Any:
    """Returns the view of `x` through a chain of lenses."""
    for lens, args in chain:
        x = lens.get(F, x, *args)
    return x


def send_back(F: Any, g: Any, shape: tuple[int, ...], chain: tuple) -> Any:
    """Returns the gradient for a base of `shape` from the gradient of its view through a chain."""
    shapes = chain_shapes(shape, chain)
    for (lens, args), parent in zip(reversed(chain), reversed(shapes), strict=True):
        g = lens.back(F, g, parent, *args)
    return g


def chain_shapes(shape: tuple[int, ...], chain: tuple) -> list[tuple[int, ...]]:
    """Returns the shape before each step of a chain that starts at a contiguous tensor of `shape`."""
    geometry = geo.contiguous(shape)
    shapes = []
    for lens, args in chain:
        shapes.append(geometry[0])
        geometry = lens.geometry(geometry, *args)
    return shapes


class _AsView:
    """The history of a view whose base was written since: the view taken anew from the base."""

    name = "as_strided"
    node_name = "AsStridedBackward0"
    variadic = False
    fused_rule = False

    @staticmethod
    def node_vjp(node: Node, g: Any, create_graph: bool, run: Any) -> tuple[Any, ...]:
        from torchplug._core.op import TENSOR_SPACE

        chain, shape = node.saved
        return (send_back(TENSOR_SPACE if create_graph else node.kind.F, g, shape, chain),)


class _CopySlices:
    """The history of a base one of whose views was written by the op of the node `inner`."""

    name = "copy_slices"
    node_name = "CopySlices"
    variadic = False
    fused_rule = False

    @staticmethod
    def node_vjp(node: Node, g: Any, create_graph: bool, run: Any) -> tuple[Any, ...]:
        from torchplug._core.op import TENSOR_SPACE

        F: Any = TENSOR_SPACE if create_graph else node.kind.F
        chain, inner, shape = node.saved
        seen = read_chain(F, g, chain)
        grads = list(run(inner, seen, create_graph)) if inner is not None else [None]
        own = grads[0] if grads[0] is not None else F.zeros_of(seen, seen.shape)
        return (put_chain(F, g, own, chain), *grads[1:])


def put_chain(F: Any, x: Any, value: Any, chain: tuple) -> Any:
    """Returns `x` with its view through a chain replaced by `value`, without writing."""
    parents = []
    for lens, args in chain:
        parents.append(x)
        x = lens.get(F, x, *args)
    for (lens, args), parent in zip(reversed(chain), reversed(parents), strict=True):
        value = lens.put(F, parent, value, *args)
    return value


class _Constant:
    name = "constant"
    node_name = "FillBackward0"
    variadic = False
    fused_rule = False

    @staticmethod
    def node_vjp(node: Node, g: Any, create_graph: bool, run: Any) -> tuple[None]:
        return (None,)


AS_VIEW: Any = _AsView()
COPY_SLICES: Any = _CopySlices()
CONSTANT: Any = _Constant()
AS_VIEW.PLAN = COPY_SLICES.PLAN = NoPlan


def shadow(tensor: Tensor) -> Tensor:
    """Returns the tensor as it is before an in-place op, for that op's history; it shares no storage."""
    if tensor._cell is None and tensor._node is not None:
        cell_of(tensor)
    other = new(Tensor)
    other._array = array_of(tensor)
    other._kind = tensor._kind
    other._node = tensor._node
    other._cell = None
    return other


def inplace_twin(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Returns the method that writes `function(self, ...)` into self and returns self."""
    name = f"{function.__name__}_"

    def twin(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        records = grad_enabled() and (
            self._node is not None
            or any(isinstance(arg, Tensor) and arg._node is not None for arg in (*args, *kwargs.values()))
        )
        check_writable(self, records)
        before = shadow(self)
        start = next_sequence_number() if records else 0
        result = uncast(function, before, *args, **kwargs) if CASTING else function(before, *args, **kwargs)
        check_result(self, result)
        if records and self._kind.mutable:
            _keep_saved(before, result._node, start)
        return assign(self, result)

    twin.__name__ = twin.__qualname__ = name
    twin.__doc__ = f"In-place version of `{function.__name__}`: writes the result into self, returns self."
    return twin


def _keep_saved(before: Tensor, last: Any, start: int) -> None:
    """Copies what the nodes made since `start` saved of the tensor `before` and its views: their memory is about to be written."""
    kept: dict[int, Any] = {}

    def keep(source: Any, saved: Any) -> Any:
        if type(source) in (list, tuple):
            return type(source)(keep(one, value) for one, value in zip(source, saved, strict=True))
        if not isinstance(source, Tensor):
            return saved
        if source is not before and (source._cell is None or source._cell is not before._cell):
            return saved
        if id(source) not in kept:
            kept[id(source)] = source._array = source._kind.F.copy(array_of(source))
        return kept[id(source)]

    waiting, seen = [last], set()
    while waiting:
        node = waiting.pop()
        node = node.node if type(node) is Output else node
        if node is None or node.seq <= start or node in seen:
            continue
        seen.add(node)
        if node.sources:
            node.saved = [keep(source, saved) for source, saved in zip(node.sources, node.saved, strict=True)]
        waiting += node.edges


def check_result(target: Tensor, result: Tensor) -> None:
    """Raises PyTorch's error when a result does not fit the tensor it is to be written into."""
    if shape_of(result) != shape_of(target):
        raise RuntimeError(
            f"output with shape {list(shape_of(target))} doesn't match the broadcast shape {list(shape_of(result))}"
        )
    if not can_cast(result._kind.dtype, target._kind.dtype):
        from torchplug._core.naming import scalar_type_name

        raise RuntimeError(
            f"result type {scalar_type_name(result._kind.dtype)} can't be cast to the desired output type "
            f"{scalar_type_name(target._kind.dtype)}"
        )


def write_out(out: Tensor, result: Tensor, name: str) -> Tensor:
    """Writes a result into `out=`, resizing an empty one; refuses gradients, as PyTorch does."""
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if grad_enabled() and (result._node is not None or out._node is not None):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the arguments "
            "requires grad."
        )
    if not can_cast(result._kind.dtype, out._kind.dtype):
        check_result(wrap(array_of(result), out._kind), result)
    if shape_of(out) != shape_of(result):
        if 0 not in shape_of(out):
            warnings.warn(
                f"An output with one or more elements was resized since it had shape {list(shape_of(out))}, which does not "
                f"match the required output shape {list(shape_of(result))}. This behavior is deprecated, and in a future "
                "PyTorch release outputs will not be resized unless they have zero elements. You can explicitly reuse an out "
                "tensor t by resizing it, inplace, to zero elements with t.resize_(0).",
                stacklevel=3,
            )
        array = out._kind.F.astype(array_of(result), out._kind.dtype)
        out._array, out._cell = array, None
        return out
    cell_of(out)
    return assign(out, result)
