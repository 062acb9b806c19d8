"""The Tensor and its storage cell: data, views, versions, and reads and writes that alias on every engine.

A fresh tensor owns an engine array and nothing else. The first view or in-place write gives it a `Storage` that all its
views share. On engines with strided memory a view is the library's own; elsewhere it is a chain of lenses over the
storage's base array, read when first needed and forgotten when the storage is written.
"""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any

from torchplug._core import geometry as geo
from torchplug._core import lens as lenses
from torchplug._core.kind import Kind
from torchplug._core.tracing import trace_state

__all__ = [
    "Parameter",
    "Storage",
    "Tensor",
    "View",
    "alias",
    "array_of",
    "cell_of",
    "laid_out",
    "make_view",
    "memory_order",
    "strides_of",
    "view_over",
    "wrap",
    "write",
    "write_slice",
]

if TYPE_CHECKING:
    # Methods are attached by torchplug._tensor and the declarations; this stub is written from them.
    from torchplug._core.tensor_methods import TensorMethods
else:
    TensorMethods = object

Chain = tuple[tuple[Any, tuple], ...]


class Tensor(TensorMethods):
    """An n-dimensional array of one element type on one device, with PyTorch's meaning; see `torchplug.tensor`.

    `_array` is the engine's array, None while a lazy view is unread; `_kind` its engine, device and dtype; `_node` its
    place in the gradient graph or None; `_cell` its Storage or None while nothing else can see its memory.
    """

    __slots__ = ("__dict__", "__weakref__", "_array", "_cell", "_geometry", "_grad", "_kind", "_node", "_view")

    if TYPE_CHECKING:
        __array_priority__: int
        _array: Any
        _cell: Any
        _geometry: geo.Geometry
        _grad: Any
        _kind: Kind
        _node: Any
        _inference: bool
        _is_buffer: bool
        _retains: bool
        _view: Any

        def __init__(self, *args: Any, **keywords: Any) -> None: ...  # torchplug._tensor.typed has __new__


class Parameter(Tensor):
    """A tensor that Modules register as their own; requires grad by default."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None: ...


new = object.__new__


class Storage:
    """The memory a tensor and its views share: on immutable engines the current base array, everywhere the version.

    `aliases` are weak references to the tensors that look into it. `mirror` is a host copy that takes small writes for
    an immutable engine; while it is ahead, `array` is None, and `shown` says whether a tensor holds what it read there.
    """

    __slots__ = ("__weakref__", "aliases", "array", "kind", "live", "mirror", "shown", "version")

    def __init__(self, array: Any, kind: Kind) -> None:
        self.array = array
        self.kind = kind
        self.version = 0
        self.aliases: list[weakref.ref[Tensor]] = []
        self.live = 16
        self.mirror: Any = None
        self.shown = False

    def read(self) -> Any:
        """Returns the base array, uploading the mirror when that is ahead."""
        if self.array is None:
            self.array = self.kind.F.from_numpy(self.mirror, self.kind.native_device)
        return self.array

    def add_alias(self, tensor: Tensor) -> None:
        aliases = self.aliases
        if len(aliases) >= self.live:
            self.aliases = aliases = [ref for ref in aliases if ref() is not None]
            self.live = max(16, 2 * len(aliases))
        aliases.append(weakref.ref(tensor))

    def forget(self) -> None:
        """Makes every tensor on this storage read it anew (immutable engines, after a write)."""
        self.shown = False
        for ref in self.aliases:
            tensor = ref()
            if tensor is not None:
                if tensor._array is not None:
                    _keep_geometry(tensor)
                tensor._array = None


class View:
    """How a tensor looks into its storage: the lenses from the base array, and the base tensor for gradients.

    `base` is None for detached aliases. `counter` is a list of one count for `.data` and its views, whose writes do not bump the
    version that autograd checks; None for all others. `meta` says how the view was made when that forbids writing it under autograd.
    """

    __slots__ = ("base", "chain", "counter", "meta")

    def __init__(
        self, base: Tensor | None, chain: Chain, counter: list[int] | None = None, meta: str | None = None
    ) -> None:
        self.base = base
        self.chain = chain
        self.counter = counter
        self.meta = meta


def wrap(array: Any, kind: Kind) -> Tensor:
    """Returns a tensor over an engine array that nothing else holds."""
    tensor = new(Tensor)
    tensor._array = array
    tensor._kind = kind
    tensor._node = None
    tensor._cell = None
    return tensor


def array_of(tensor: Tensor) -> Any:
    """Returns the engine's array, reading a lazy view or a written storage if needed."""
    array = tensor._array
    if array is None:
        cell, F = tensor._cell, tensor._kind.F
        chain = tensor._view.chain if tensor._view is not None else ()
        if cell.array is None and chain and trace_state.get() is None and _fits_mirror(tensor._geometry[0], cell):
            array = F.from_numpy(_seen_in_mirror(cell, chain).copy(), tensor._kind.native_device)
            cell.shown = True
        else:
            array = cell.read()
            for lens, args in chain:
                array = lens.get(F, array, *args)
        tensor._array = array
    return array


def _seen_in_mirror(cell: Storage, chain: Chain) -> Any:
    """Returns the NumPy view of a storage's host copy through a chain."""
    from torchplug._core.mirror import HOST

    seen = cell.mirror
    for lens, args in chain:
        seen = lens.view(HOST, seen, *args)
    return seen


def _fits_mirror(shape: tuple[int, ...], cell: Storage) -> bool:
    """Says whether a view is so small that its storage had better be read and written on the host."""
    count = math.prod(shape)
    return count <= MIRROR_LIMIT and 4 * count <= math.prod((cell.mirror if cell.array is None else cell.array).shape)


def cell_of(tensor: Tensor) -> Storage:
    """Returns the storage of a tensor, making it at the first view or write."""
    cell = tensor._cell
    if cell is None:
        kind = tensor._kind
        # A kernel may return a library scalar for 0-d results; from here on the memory must be one that can be shared.
        array = tensor._array = kind.F.own(tensor._array) if kind.mutable else tensor._array
        node = None if tensor._node is None else _reader(tensor._node)
        if node is not None and node.cell is not None and not node.cell.aliases:
            cell = tensor._cell = node.cell  # the node made the storage first, to show its result
        else:
            cell = tensor._cell = Storage(array, kind)
            if node is not None and node.cell is None:
                node.cell = cell  # so that the node hears of writes
        tensor._view = None
        cell.add_alias(tensor)
    return cell


def _reader(place: Any) -> Any:
    """Returns the node of a tensor's place in the graph if its rule reads that very tensor, its result; else None."""
    node = getattr(place, "node", place)
    if node is not place and place.index:
        return None
    plan = getattr(node, "plan", None)
    return node if plan is not None and plan.saves_out else None


def geometry_of(tensor: Tensor) -> geo.Geometry:
    """Returns (size, stride, offset) in elements."""
    array, kind = tensor._array, tensor._kind
    if kind.mutable:
        cell_of(tensor)
        array = tensor._array
        return tuple(array.shape), kind.F.strides_of(array), kind.F.storage_of(array)[1]
    if tensor._cell is None:
        return geo.contiguous(tuple(array.shape))
    return _keep_geometry(tensor)


def strides_of(tensor: Tensor) -> tuple[int, ...]:
    """Returns the strides in elements, without making a storage."""
    if tensor._kind.mutable:
        array = array_of(tensor)
        return tuple(tensor._kind.F.strides_of(array)) if array.ndim else ()
    return geometry_of(tensor)[1] if tensor._cell is not None else geo.contiguous_strides(tuple(tensor._array.shape))


def memory_order(tensor: Tensor) -> tuple[int, ...] | None:
    """Returns the dimensions from the largest step in memory to the smallest, None for those of a tensor in C order."""
    if tensor._kind.mutable:
        if tensor._kind.F.reshapes_in_place(array_of(tensor)):
            return None
    elif tensor._cell is None:
        return None
    order = geo.memory_order(shape_of(tensor), strides_of(tensor))
    return None if order == tuple(range(len(order))) else order


def laid_out(made: Tensor, order: tuple[int, ...]) -> Tensor:
    """Returns a fresh tensor whose dimensions are in memory order with the dimensions in place."""
    places = tuple(order.index(dim) for dim in range(len(order)))
    return wrap(made._kind.F.permute_dims(made._array, places), made._kind)


def _keep_geometry(tensor: Tensor) -> geo.Geometry:
    try:
        return tensor._geometry
    except AttributeError:
        tensor._geometry = geo.contiguous(tuple(tensor._array.shape))
        return tensor._geometry


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """Returns the size as a plain tuple."""
    array = tensor._array
    return tuple(array.shape) if array is not None else tensor._geometry[0]


def make_view(x: Tensor, lens: Any, args: tuple, dtype: Any = None) -> Tensor:
    """Returns a view of `x` through a lens, without history; the caller records the node."""
    kind = x._kind
    cell = x._cell or cell_of(x)
    view = new(Tensor)
    view._kind = kind if dtype is None else kind.to(dtype)
    view._node = None
    view._cell = cell
    view._view = View(x, ((lens, args),)) if x._view is None else view_over(x, x._view, lens, args)
    if kind.mutable:
        view._array = lens.view(kind.F, x._array, *args)
    else:
        view._array = None
        view._geometry = lens.geometry(geometry_of(x), *args)
    cell.add_alias(view)
    return view


def view_over(x: Tensor, old: View, lens: Any, args: tuple) -> View:
    """Returns how a view of `x` looks into the storage when `x` itself is a view, or detached."""
    if lens is lenses.AS_STRIDED:
        base = x if old.base is None and not old.chain else old.base
        return View(base, _from_storage(x._cell, old.chain, args), old.counter, old.meta)
    # A detached alias (every Parameter is one) begins a history of its own: it is the base of its views.
    return View(x if old.base is None else old.base, (*old.chain, (lens, args)), old.counter, old.meta)


def _from_storage(cell: Storage, chain: Chain, args: tuple) -> Chain:
    return (*chain[: _typed_prefix(chain)], (lenses.AS_STRIDED, args))


def _typed_prefix(chain: Chain) -> int:
    """Returns how many steps of a chain lead to the storage in units of its last element type, in C order."""
    keep = 0
    for place, (lens, _) in enumerate(chain):
        if lens in (lenses.VIEW_AS_REAL, lenses.VIEW_AS_COMPLEX, lenses.REINTERPRET):
            keep = place + 1
    return keep


def alias(x: Tensor, counts: bool = True) -> Tensor:
    """Returns a tensor on the same memory without history: `detach()`, or `.data` with counts=False.

    A detached alias of `.data` keeps its counter.
    """
    cell = cell_of(x)
    other = new(Tensor)
    other._array = x._array
    other._kind = x._kind
    other._node = None
    other._cell = cell
    old = x._view
    counter = [0] if not counts else None if old is None else old.counter
    other._view = View(None, () if old is None else old.chain, counter)
    if not x._kind.mutable:
        other._geometry = geometry_of(x)
    cell.add_alias(other)
    return other


MIRROR_LIMIT = 4096
"""Reads and writes of at most this many elements go to the host mirror of an immutable engine's storage."""


def write(tensor: Tensor, value: Any, host: Any = None) -> None:
    """Replaces the elements of a tensor in place; `value` is an engine array of its shape and kind.

    `host` may carry the same value as a NumPy array or Python number; a small write to an immutable engine then costs
    what NumPy's costs. Bumps the version; does not touch the gradient graph.
    """
    cell = cell_of(tensor)
    view = tensor._view
    if tensor._kind.mutable:
        tensor._kind.F.assign(tensor._array, value if host is None else host)
    else:
        if host is None:
            host = _small(cell, view, value)
        if host is None or _is_traced(cell):
            _write_chain(cell, view, value if value is not None else tensor._kind.F.host(host, tensor), tensor)
        else:
            _write_mirror(cell, view, host)
    count_write(cell, view)


def count_write(cell: Storage, view: View | None) -> None:
    """Bumps the version that a write through this view counts for."""
    if view is None or view.counter is None:
        cell.version += 1
    else:
        view.counter[0] += 1


def _is_traced(cell: Storage) -> bool:
    return cell.array is not None and cell.kind.engine.is_tracing(cell.array)


def _small(cell: Storage, view: View | None, value: Any) -> Any:
    """Returns the host copy of a value that is a small part of its storage, None if the engine had better write it."""
    if view is None or not view.chain:
        return None
    if not _fits_mirror(tuple(value.shape), cell) or cell.kind.engine.is_tracing(value):
        return None
    return cell.kind.F.to_numpy(value)


def write_slice(tensor: Tensor, key: tuple, value: Any) -> bool:
    """Writes a Python number into a basic slice without making the view; False where that is not possible."""
    cell = tensor._cell
    if cell is None:
        cell = cell_of(tensor)
    view = tensor._view
    if tensor._kind.mutable:
        F = tensor._kind.F
        F.assign(F.slice(tensor._array, key), value)
    else:
        if _is_traced(cell):
            return False
        chain = ((lenses.INDEX, (key,)),) if view is None else (*view.chain, (lenses.INDEX, (key,)))
        _write_mirror(cell, View(None, chain), value)
    count_write(cell, view)
    return True


def _write_chain(cell: Storage, view: View | None, value: Any, tensor: Tensor) -> None:
    base = value
    if view is not None and view.chain:
        chain = view.chain
        F = cell.kind.F
        overlapping = any(not lens.native or lens is lenses.EXPAND for lens, _ in chain)
        keep = _typed_prefix(chain) if overlapping else len(chain)
        arrays = [cell.read()]
        for lens, args in chain[:keep]:
            arrays.append(lens.get(F, arrays[-1], *args))
        if overlapping:
            # One place may show several times on the way to this view: only its own places are written.
            places = F.host(geo.index_map(*geometry_of(tensor)).reshape(-1), value)
            flat = F.reshape(arrays[-1], (math.prod(arrays[-1].shape),))
            base = F.reshape(
                F.scatter(flat, places, F.reshape(value, (math.prod(value.shape),))), tuple(arrays[-1].shape)
            )
        for parent, (lens, args) in zip(reversed(arrays[:keep]), reversed(chain[:keep]), strict=True):
            base = lens.put(F, parent, base, *args)
    cell.forget()
    cell.array, cell.mirror = base, None
    tensor._array = value


def _write_mirror(cell: Storage, view: View | None, host: Any) -> None:
    if cell.array is not None:
        if cell.mirror is None:
            cell.mirror = cell.kind.F.to_numpy(cell.array).copy()
        cell.array = None
        cell.forget()
    elif cell.shown:
        cell.forget()
    _seen_in_mirror(cell, view.chain if view is not None else ())[...] = host
