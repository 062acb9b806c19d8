"""The tensors alive on an engine: found, remembered, filled with traced values and put back.

An item is a place whose value a traced function may read or write: a Storage, a tensor without one, or the gradient of a leaf
(named through the leaf, because the gradient tensor itself is a new object at every step).
"""

from __future__ import annotations

import gc
from typing import Any

from torchplug._core.node import AccumulateGrad
from torchplug._core.tensor import Storage, Tensor

__all__ = ["GradientOf", "Snapshot", "install", "item_of", "value_of"]

_UNSET = object()


class GradientOf:
    """The place `leaf.grad`."""

    __slots__ = ("leaf",)

    def __init__(self, leaf: Tensor) -> None:
        self.leaf = leaf


def item_of(tensor: Tensor) -> Any:
    """Returns the place a tensor's value lives: its storage, or itself."""
    return tensor if tensor._cell is None else tensor._cell


def _settled(item: Any) -> Any:
    """Returns the Storage or tensor behind an item as it is now."""
    if type(item) is GradientOf:
        item = item.leaf._grad
    if isinstance(item, Tensor) and item._cell is not None:
        return item._cell
    return item


def value_of(item: Any) -> Any:
    """Returns the array of an item."""
    item = _settled(item)
    return item.read() if type(item) is Storage else item._array


def install(item: Any, array: Any, bumps: int = 0) -> None:
    """Gives an item another array, so that everything that looks into it reads that."""
    item = _settled(item)
    if type(item) is Storage:
        item.forget()
        item.array, item.mirror = array, None
        item.version += bumps
    else:
        item._array = array


def _grad_of(tensor: Tensor) -> Any:
    try:
        return tensor._grad
    except AttributeError:
        return _UNSET


def _with_subclasses(kind: type) -> set[type]:
    children: list[type] = type.__subclasses__(kind)
    return {kind}.union(*map(_with_subclasses, children))


class Snapshot:
    """All tensors of an engine at one moment, with what each held."""

    def __init__(self, engine: Any) -> None:
        self.tensors: list[tuple[Tensor, Any, Any, Any, Any, Any, Any]] = []
        self.cells: dict[int, tuple[Storage, Any, int, list]] = {}
        kinds = _with_subclasses(Tensor)
        for found in gc.get_objects():
            if type(found) in kinds:  # isinstance would run the `__class__` of strangers' objects
                self._add(found, engine)
        self.known = {id(row[0]) for row in self.tensors}

    def _add(self, tensor: Tensor, engine: Any) -> None:
        try:
            if tensor._kind.engine is not engine:
                return
            cell = tensor._cell
            array = tensor._array
        except (AttributeError, ValueError):
            return  # a tensor that another thread is making at this moment, or a parameter of a lazy layer, without values
        if array is not None and cell is None and engine.is_tracing(array):
            return  # left over from a trace that was given up; nobody will read it
        view = tensor._view if cell is not None else None
        self.tensors.append((tensor, array, cell, view, tensor._node, _grad_of(tensor), tensor._kind))
        if cell is not None and id(cell) not in self.cells:
            if cell.mirror is not None:
                cell.read()  # the host copy is written in place: what it holds now must be kept in an array
            self.cells[id(cell)] = (cell, cell.array, cell.version, list(cell.aliases))

    def has(self, item: Any) -> bool:
        """Says whether a live tensor can still see an item."""
        if type(item) is Storage:
            return id(item) in self.cells
        return id(item.leaf if type(item) is GradientOf else item) in self.known

    def places(self) -> dict[int, Any]:
        """Returns id(array) -> item for every array a live tensor holds."""
        found: dict[int, Any] = {}
        for cell, array, *_ in self.cells.values():
            if array is not None:
                found[id(array)] = cell
        for tensor, array, cell, *_ in self.tensors:
            if array is not None:
                found.setdefault(id(array), cell if cell is not None else tensor)
        for tensor, _, _, _, node, grad, _ in self.tensors:
            if isinstance(grad, Tensor) and type(node) is AccumulateGrad:
                place = GradientOf(tensor)
                if grad._cell is not None and grad._cell.array is not None:
                    found[id(grad._cell.array)] = place
                if grad._array is not None:
                    found[id(grad._array)] = place
        return found

    def gradients(self) -> list[tuple[Tensor, Tensor]]:
        """Returns (leaf, gradient) for every leaf that had a gradient."""
        return [
            (row[0], row[5]) for row in self.tensors if isinstance(row[5], Tensor) and type(row[4]) is AccumulateGrad
        ]

    def written(self) -> list[Any]:
        """Returns the items whose array is another one now; a gradient counts as the place `leaf.grad` while it is there."""
        held = {id(row[0]): (row[1], row[2]) for row in self.tensors}
        items: list[Any] = []
        skipped: set[int] = set()
        for leaf, grad in self.gradients():
            array, cell = held.get(id(grad), (None, None))
            skipped |= {id(grad), id(cell)}
            before = self.cells[id(cell)][1] if cell is not None else array
            if _grad_of(leaf) is grad and _settled_array(grad) is not before:
                items.append(GradientOf(leaf))
        for cell, array, *_ in self.cells.values():
            if id(cell) not in skipped and cell.array is not array:
                items.append(cell)
        for tensor, array, cell, *_ in self.tensors:
            if cell is None and id(tensor) not in skipped and _settled_array(tensor) is not array:
                items.append(tensor)
        return items

    def rebound(self) -> list[Tensor]:
        """Returns tensors that look into another storage now."""
        return [row[0] for row in self.tensors if row[2] is not None and row[0]._cell is not row[2]]

    def new_gradients(self) -> list[tuple[Tensor, Any]]:
        """Returns (leaf, gradient now) where `.grad` is another object."""
        changed = []
        for tensor, _, _, _, _, grad, _ in self.tensors:
            now = _grad_of(tensor)
            if now is not grad and not (now in (None, _UNSET) and grad in (None, _UNSET)):
                changed.append((tensor, None if now is _UNSET else now))
        return changed

    def new_histories(self) -> list[Tensor]:
        """Returns tensors whose place in the gradient graph changed."""
        return [row[0] for row in self.tensors if row[0]._node is not row[4]]

    def versions(self) -> dict[int, int]:
        """Returns how often each storage was written since, by id."""
        return {
            key: cell.version - version for key, (cell, _, version, _) in self.cells.items() if cell.version != version
        }

    def restore(self) -> None:
        """Puts everything back."""
        for cell, array, version, aliases in self.cells.values():
            cell.array, cell.mirror, cell.version, cell.aliases = array, None, version, aliases
        for tensor, array, cell, view, node, grad, kind in self.tensors:
            if array is None and not hasattr(tensor, "_geometry"):
                continue
            tensor._array, tensor._cell, tensor._node, tensor._kind = array, cell, node, kind
            if cell is not None:
                tensor._view = view
            if grad is _UNSET:
                if _grad_of(tensor) is not _UNSET:
                    tensor._grad = None
            else:
                tensor._grad = grad


def _settled_array(tensor: Tensor) -> Any:
    return tensor._array if tensor._cell is None else tensor._cell.array
