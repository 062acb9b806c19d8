"""A Tensor's part in differentiation: requires_grad, grad, backward, hooks, data."""

from __future__ import annotations

from typing import Any

from torchplug._core import modes
from torchplug._core.hooks import NodeHooks, RemovableHandle
from torchplug._core.naming import c_name, scalar_type_name
from torchplug._core.node import AccumulateGrad, Output, check_unwritten, is_lost, lost_place
from torchplug._core.tensor import Tensor, alias, cell_of, geometry_of, shape_of

__all__: list[str] = []


def _requires_grad(self: Tensor) -> bool:
    """Whether gradients flow to this tensor."""
    return self._node is not None


def _set_requires_grad(self: Tensor, value: bool) -> None:
    requires_grad_(self, value)


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Makes a leaf record gradients (or stop), in place; returns self."""
    node = self._node
    if node is not None and type(node) is not AccumulateGrad:
        if not requires_grad:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph "
                "that doesn't require differentiation use var_no_grad = var.detach()."
            )
        return self
    if not requires_grad:
        self._node = lost_place() if _base_requires_grad(self) else None
        _tell_views(self)
        return self
    if not self._kind.inexact:
        raise RuntimeError("only Tensors of floating point dtype can require gradients")
    if node is None or is_lost(node):
        if getattr(self, "_inference", False) and not modes.inference.get():
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        self._node = AccumulateGrad(self)
        _tell_views(self)
    return self


def _base_requires_grad(x: Tensor) -> bool:
    """Says whether a tensor is a view of one that requires grad: it then does so too, without being able not to."""
    view = x._view if x._cell is not None else None
    return view is not None and view.base is not None and view.base._node is not None


def _tell_views(base: Tensor) -> None:
    """Makes the views that have neither history nor gradient of their own require grad as their base does."""
    for ref in base._cell.aliases if base._cell is not None else ():
        view = ref()
        if view is None or view._view is None or view._view.base is not base:
            continue
        if view._node is None or is_lost(view._node):
            view._node = None if base._node is None else lost_place()


def _is_leaf(self: Tensor) -> bool:
    """Whether the tensor was made by the user, or needs no gradient."""
    return self._node is None or type(self._node) is AccumulateGrad


def _grad_fn(self: Tensor) -> Any:
    """The node that made this tensor; None for leaves."""
    node = self._node
    if node is None:
        return None
    if type(node) is AccumulateGrad:
        check_unwritten(node)
        return None
    return node.node if type(node) is Output else node


def _output_nr(self: Tensor) -> int:
    """Which output of its node this tensor is."""
    return self._node.index if type(self._node) is Output else 0


def _grad(self: Tensor) -> Tensor | None:
    """The gradient that backward() has added up, or None."""
    try:
        return self._grad
    except AttributeError:
        pass
    if self._node is not None and type(self._node) is not AccumulateGrad and not getattr(self, "_retains", False):
        import warnings

        warnings.warn(
            "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be populated "
            "during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf Tensor, use "
            ".retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure you access the leaf "
            "Tensor instead. See github.com/pytorch/pytorch/pull/30531 for more informations.",
            UserWarning,
            stacklevel=2,
        )
    return None


def _set_grad(self: Tensor, value: Tensor | None) -> None:
    if value is None:
        self._grad = None
        return
    if not isinstance(value, Tensor):
        raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}")
    if value is self:
        raise RuntimeError("can't assign Variable as its own grad")
    if shape_of(value) != shape_of(self):
        raise RuntimeError(
            f"attempting to assign a gradient of size '{list(shape_of(value))}' to a tensor of size '{list(shape_of(self))}'. "
            "Please ensure that the gradient and the tensor are the same size"
        )
    if value._kind.dtype is not self._kind.dtype:
        raise RuntimeError(
            f"attempting to assign a gradient with dtype '{c_name(value._kind.dtype)}' to a tensor with grad_dtype "
            f"'{scalar_type_name(self._kind.dtype)}'. The gradient must match the tensor's dtype."
        )
    if value._kind is not self._kind:
        raise RuntimeError("assigned grad has data located on a different device")
    self._grad = value


def register_hook(self: Tensor, hook: Any) -> RemovableHandle:
    """Calls `hook(grad)` whenever a gradient of this tensor is computed; what it returns (not None) replaces it."""
    if self._node is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    node, index = (self._node.node, self._node.index) if type(self._node) is Output else (self._node, 0)
    return NodeHooks.of(node).add_pre(index, hook)


def register_post_accumulate_grad_hook(self: Tensor, hook: Any) -> RemovableHandle:
    """Calls `hook(self)` after backward() has added to `.grad`."""
    if self._node is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if type(self._node) is not AccumulateGrad:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return NodeHooks.of(self._node).add_post_accumulate(hook)


def retain_grad(self: Tensor) -> None:
    """Makes backward() keep `.grad` of this non-leaf tensor too."""
    if self._node is None:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if type(self._node) is AccumulateGrad or getattr(self, "_retains", False):
        return
    import weakref

    place = weakref.ref(self)

    def keep(g: Tensor) -> None:
        tensor = place()
        if tensor is not None:
            old = getattr(tensor, "_grad", None)
            tensor._grad = g.clone() if old is None else old + g

    self._retains = True
    register_hook(self, keep)


def _retains_grad(self: Tensor) -> bool:
    """Whether backward() keeps `.grad` though this is no leaf."""
    return getattr(self, "_retains", False)


def _data(self: Tensor) -> Tensor:
    """The same memory outside the graph; writes through it are not counted by autograd's version check."""
    return alias(self, counts=False)


def _set_data(self: Tensor, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
    if self._node is not None and not value._kind.inexact:
        raise RuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")
    version = self._cell.version if self._cell is not None else 0
    source = alias(value)
    self._array, self._kind, self._cell, self._view = source._array, source._kind, source._cell, source._view
    if not self._kind.mutable:
        self._geometry = geometry_of(value)
    self._cell.add_alias(self)
    del version


def detach_(self: Tensor) -> Tensor:
    """Takes this tensor out of the graph, in place; returns self."""
    if self._cell is not None and self._view is not None and self._view.base is not None:
        raise RuntimeError(
            "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for "
            "training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence "
            "detach_() cannot be called on these gradients. To fix this error, please refer to the "
            "Optimizer.zero_grad() function in torch/optim/optimizer.py as the solution."
        )
    cell_of(self)  # made while the node is known: a rule may read this very tensor
    self._node = None
    return self


for _name, _get, _set in (
    ("requires_grad", _requires_grad, _set_requires_grad),
    ("is_leaf", _is_leaf, None),
    ("grad_fn", _grad_fn, None),
    ("output_nr", _output_nr, None),
    ("grad", _grad, _set_grad),
    ("data", _data, _set_data),
    ("retains_grad", _retains_grad, None),
):
    setattr(Tensor, _name, property(_get, _set, doc=_get.__doc__))

for _function in (requires_grad_, register_hook, register_post_accumulate_grad_hook, retain_grad, detach_):
    setattr(Tensor, _function.__name__, _function)
