"""Tensors that live on another engine for a while: the same objects over copies of their memory, then as they were."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from torchplug._core import geometry as geo
from torchplug._core.kind import Engine, Kind
from torchplug._core.node import AccumulateGrad
from torchplug._core.tensor import Storage, Tensor, View

__all__ = ["Stay"]

_SLOTS = ("_array", "_cell", "_geometry", "_grad", "_kind", "_node", "_view")


class Stay:
    """A with block in which tensors live on an engine, on copies of what they hold; tensors that share memory still do.

    Inside, a tensor with a history is a leaf that requires grad: its past stays on the engine it came from. Afterwards all
    hold what they held before, whatever was written in between.
    """

    def __init__(self, tensors: Iterable[Tensor], engine: Engine) -> None:
        self.engine = engine
        self._tensors: dict[int, Tensor] = {}
        for tensor in tensors:
            self._add(tensor)

    def _add(self, tensor: Tensor) -> None:
        if id(tensor) in self._tensors:
            return
        self._tensors[id(tensor)] = tensor
        for ref in tensor._cell.aliases if tensor._cell is not None else ():
            other = ref()
            if other is not None and other._cell is tensor._cell:
                self._add(other)

    def __enter__(self) -> Stay:
        self._before = [
            (tensor, {name: getattr(tensor, name) for name in _SLOTS if hasattr(tensor, name)})
            for tensor in self._tensors.values()
        ]
        # All is copied before anything changes: a dtype that the engine lacks must leave every tensor where it is.
        copies: dict[int, Any] = {}
        for tensor in self._tensors.values():
            place = tensor if tensor._cell is None else tensor._cell
            if id(place) not in copies:
                copies[id(place)] = self._copy(place)
            self._kind_for(tensor._kind)
        cells: dict[int, Storage] = {}
        for tensor, held in self._before:
            self._move(tensor, held, copies, cells)
        return self

    def __exit__(self, *_: object) -> None:
        for tensor, held in self._before:
            for name in _SLOTS:
                if name in held:
                    setattr(tensor, name, held[name])
                elif hasattr(tensor, name):
                    delattr(tensor, name)

    def _kind_for(self, kind: Kind) -> Kind:
        engine = self.engine
        own = kind.native_device
        stays = own != kind.engine.default_device() and own in engine.backend.devices()
        return engine.kind(kind.dtype, own if stays else engine.default_device())

    def _copy(self, place: Any) -> tuple[Any, Any]:
        """Returns a storage's, or a lone tensor's, memory on the engine, and its geometry there."""
        old = place.kind if type(place) is Storage else place._kind
        array = place.read() if type(place) is Storage else place._array
        kind = self._kind_for(old)
        host = np.array(old.F.to_numpy(array), order="K" if kind.mutable else "C")
        moved = kind.F.from_numpy(host, kind.native_device)
        return moved, kind

    def _move(self, tensor: Tensor, held: dict[str, Any], copies: dict[int, Any], cells: dict[int, Storage]) -> None:
        cell = held.get("_cell")
        array, base_kind = copies[id(tensor if cell is None else cell)]
        tensor._kind = kind = self._kind_for(held["_kind"])
        if cell is None:
            tensor._array = array
        else:
            storage = cells.get(id(cell))
            if storage is None:
                storage = cells[id(cell)] = Storage(array, base_kind)
                storage.version = cell.version
            tensor._cell = storage
            self._look(tensor, held.get("_view"), storage, kind)
            storage.add_alias(tensor)
        node = held.get("_node")
        if node is not None and type(node) is not AccumulateGrad:
            tensor._node = AccumulateGrad(tensor)

    def _look(self, tensor: Tensor, view: Any, storage: Storage, kind: Kind) -> None:
        """Gives a tensor its view of the copied storage."""
        chain = () if view is None else view.chain
        if view is not None:
            counter = None if view.counter is None else list(view.counter)
            tensor._view = View(view.base, chain, counter, view.meta)
        array = storage.array
        if kind.mutable:
            for lens, args in chain:
                array = lens.view(storage.kind.F, array, *args)
            tensor._array = array
            return
        geometry = geo.contiguous(tuple(array.shape))
        for lens, args in chain:
            geometry = lens.geometry(geometry, *args)
        tensor._geometry = geometry
        tensor._array = None if chain else array
