"""The quick question before a compiled call: is everything the fingerprint looked at still the very same object?

A fingerprint walks all Python values a function can reach, which takes tens of microseconds to milliseconds. While it walks
it notes here every place that could hold something else the next time; asking those places takes a few microseconds. "No"
costs nothing but the walk: the fingerprint decides.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter, is_
from typing import Any

import numpy as np

from torchplug._core.tensor import Tensor

__all__ = ["Watch", "content_of"]

_ABSENT = object()
_cell_of: Callable[[Tensor], Any] = attrgetter("_cell")


class Watch:
    """Places and what they held. `version` asks for the counter of changes to modules, None while no module was met."""

    def __init__(self) -> None:
        self.version: Callable[[], int] | None = None
        self.modules_change = False
        self._version = 0
        self._met: set[Any] = set()
        self._places: list[tuple[Callable[[], Any], tuple]] = []
        self._held: list[Any] = []
        self._closures: list[Any] = []
        self._contents: list[Any] = []
        self._arrays: list[tuple[np.ndarray, Any]] = []
        self._tensors: list[Tensor] = []
        self._cells: list[Any] = []

    # ---- noting ------------------------------------------------------------------------------------------------------

    def sequence(self, value: Any) -> None:
        """Notes the items of a list or set."""
        if self._is_new("items", value):
            self._note(lambda: value)

    def table(self, value: dict[Any, Any], left_out: tuple[str, ...] = ()) -> None:
        """Notes the keys and values of a dict, but for the values of some names."""
        if not self._is_new("table", value):
            return
        if left_out:
            self._note(lambda: [*value, *[item for name, item in value.items() if name not in left_out]])
        else:
            self._note(lambda: [*value, *value.values()])

    def tables(self, outer: dict[Any, Any]) -> None:
        """Notes the values of all dicts in a dict, as of the state of an optimizer."""
        if not self._is_new("tables", outer):
            return

        def fetch() -> list[Any]:
            found = [*outer]
            for inner in outer.values():
                found += inner.values()
            return found

        self._note(fetch)

    def names(self, owner: Any, namespace: dict[str, Any], names: tuple[str, ...]) -> None:
        """Notes what names mean in the namespace of an owner, or that they are not in it."""
        if names and self._is_new(names, owner):
            self._note(lambda: [namespace.get(name, _ABSENT) for name in names])

    def attribute(self, owner: Any, name: str) -> None:
        """Notes what an attribute is."""
        if self._is_new(name, owner):
            self._note(lambda: (getattr(owner, name, _ABSENT),))

    def closure(self, cells: tuple[Any, ...]) -> None:
        """Notes the contents of a function's closure, whose cells are all filled."""
        for cell in cells:
            if self._is_new("cell", cell):
                self._closures.append(cell)
                self._contents.append(cell.cell_contents)

    def array(self, value: np.ndarray, content: Any) -> None:
        """Notes the content of a NumPy array."""
        if self._is_new("array", value):
            self._arrays.append((value, content))

    def tensor(self, value: Tensor) -> None:
        """Notes which storage a tensor looks into."""
        if self._is_new("tensor", value):
            self._tensors.append(value)

    def done(self) -> Watch:
        """Ends the noting, at the moment that later moments are compared with."""
        self.refresh()
        self._met.clear()
        return self

    def refresh(self) -> None:
        """Takes the storages of this moment as those to compare with."""
        self._cells = [x._cell for x in self._tensors]
        if self.version is not None:
            self._version = self.version()

    def _is_new(self, what: Any, value: Any) -> bool:
        key = (what, id(value))
        if key in self._met:
            return False
        self._met.add(key)
        self._held.append(value)
        return True

    def _note(self, fetch: Callable[[], Any]) -> None:
        self._places.append((fetch, tuple(fetch())))

    # ---- asking ------------------------------------------------------------------------------------------------------

    def holds(self) -> bool:
        """Says whether nothing noted has changed."""
        if self.modules_change or (self.version is not None and self.version() != self._version):
            return False
        try:
            if not all(map(is_, [cell.cell_contents for cell in self._closures], self._contents)):
                return False
            for fetch, held in self._places:
                now = fetch()
                if len(now) != len(held) or not all(map(is_, now, held)):
                    return False
        except (ValueError, RuntimeError, AttributeError):  # a cell was emptied, a dict grew while it was read
            return False
        if not all(map(is_, map(_cell_of, self._tensors), self._cells)):
            return False
        return all(content_of(array) == content for array, content in self._arrays)

    def looks_elsewhere(self) -> bool:
        """Says whether a noted tensor that had a storage looks into another one now (`.data = `, `set_`)."""
        pairs = zip(self._tensors, self._cells, strict=True)
        return any(cell is not None and x._cell is not cell for x, cell in pairs)


_SHORT = 1 << 16


def content_of(array: np.ndarray) -> Any:
    """Returns what two NumPy arrays of equal content have in common: the bytes, or a digest of many bytes."""
    if array.dtype.hasobject:
        return (array.shape, array.dtype.str, tuple(id(item) for item in array.flat))
    if array.nbytes <= _SHORT:
        return (array.shape, array.dtype.str, array.tobytes())
    from hashlib import blake2b

    digest = blake2b(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, digest_size=16)
    return (array.shape, array.dtype.str, digest.digest())
