"""The in-place twins of views, such as `unsqueeze_`: the tensor itself becomes the view of what it was."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from torchplug._core.inplace import check_writable
from torchplug._core.node import AccumulateGrad
from torchplug._core.tensor import Tensor, cell_of, count_write, geometry_of, new

__all__ = ["view_twin"]


def view_twin(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Returns the method that makes self what `function(self, ...)` returns, and returns self."""
    name = f"{function.__name__}_"

    def twin(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_writable(self, False)
        seen = function(self, *args, **kwargs)
        if self._view is None or self._view.base is None:
            # Views that exist look into what it was, so that needs a tensor of its own.
            seen = function(_stand_in(self), *args, **kwargs)
        leaf = self._node if type(self._node) is AccumulateGrad else None  # written in no_grad mode, it stays one
        _become(self, seen)
        if leaf is not None:
            self._node = leaf
        count_write(self._cell, self._view)
        return self

    twin.__name__ = twin.__qualname__ = name
    twin.__doc__ = f"The in-place form of `{function.__name__}`: changes how this tensor looks into its memory."
    return twin


def _stand_in(tensor: Tensor) -> Tensor:
    """Returns another tensor in its place: the base of all its views."""
    other = new(Tensor)
    cell = cell_of(tensor)
    _become(other, tensor)
    for ref in cell.aliases:
        view = ref()
        if view is not None and view._view is not None and view._view.base is tensor:
            view._view.base = other
    return other


def _become(tensor: Tensor, other: Tensor) -> None:
    tensor._kind, tensor._node, tensor._cell, tensor._view = other._kind, other._node, other._cell, other._view
    if not other._kind.mutable:
        tensor._geometry = geometry_of(other)
    tensor._array = other._array
    if not any(ref() is tensor for ref in other._cell.aliases):
        other._cell.aliases.append(weakref.ref(tensor))
