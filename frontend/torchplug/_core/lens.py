"""View movements as lenses: how to read a view from its parent, write it back, and send a gradient up.

Every lens works over a namespace `F`, so the same few lines serve raw arrays and Tensors:
`get(F, x, *args)` reads, `put(F, x, value, *args)` returns the parent with the view replaced (immutable engines),
`back(F, g, shape, *args)` is the gradient for a parent of `shape`, `geometry(parent, *args)` moves size, stride, offset.
"""

from __future__ import annotations

import math
from typing import Any

from torchplug._core import geometry as geo
from torchplug._core.geometry import Geometry

__all__ = ["LENSES", "Lens", "Restride"]

Shape = tuple[int, ...]
LENSES: dict[str, Lens] = {}


class Lens:
    """One kind of movement. `native` says that `get` on a strided engine is itself a view of the parent's memory.

    `kernel` names the function of `F` that makes the view on a strided engine, where it is one call with `args`.
    """

    __slots__ = ("name",)
    native = True
    kernel: str | None = None

    def __init__(self, name: str) -> None:
        self.name = name
        LENSES[name] = self

    def geometry(self, parent: Geometry, *args: Any) -> Geometry:
        """Returns size, stride and offset of the view of a parent with the geometry `parent`."""
        raise NotImplementedError

    def view(self, F: Any, x: Any, *args: Any) -> Any:
        """Returns the view of a strided array: the library's own, or one with the strides that PyTorch gives it."""
        return self.get(F, x, *args) if self.native else self._restrided(F, x, args)

    def get(self, F: Any, x: Any, *args: Any) -> Any:
        """Returns the elements of the view, of any array."""
        raise NotImplementedError

    def _restrided(self, F: Any, x: Any, args: tuple) -> Any:
        flat, offset = F.storage_of(x)
        return F.as_strided(flat, *self.geometry((tuple(x.shape), F.strides_of(x), offset), *args))

    def __repr__(self) -> str:
        return f"<lens {self.name}>"

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return LENSES.__getitem__, (self.name,)


class _Index(Lens):
    def geometry(self, parent: Geometry, key: tuple) -> Geometry:
        return geo.index(parent, key)

    def view(self, F: Any, x: Any, key: tuple) -> Any:
        # The library gives a new dimension another stride than PyTorch.
        return self._restrided(F, x, (key,)) if None in key else F.slice(x, key)

    def get(self, F: Any, x: Any, key: tuple) -> Any:
        return F.slice(x, key)

    def put(self, F: Any, x: Any, value: Any, key: tuple) -> Any:
        return F.slice_update(x, value, key)

    def back(self, F: Any, g: Any, shape: Shape, key: tuple) -> Any:
        return F.slice_embed(g, shape, key)


class _Pick(_Index):
    """An index without new dimensions."""

    kernel = "slice"

    def view(self, F: Any, x: Any, key: tuple) -> Any:
        return F.slice(x, key)


class _Permute(Lens):
    kernel = "permute_dims"

    def geometry(self, parent: Geometry, axes: Shape) -> Geometry:
        return geo.permute(parent, axes)

    def get(self, F: Any, x: Any, axes: Shape) -> Any:
        return F.permute_dims(x, axes)

    def put(self, F: Any, x: Any, value: Any, axes: Shape) -> Any:
        return F.permute_dims(value, _inverse(axes))

    def back(self, F: Any, g: Any, shape: Shape, axes: Shape) -> Any:
        return F.permute_dims(g, _inverse(axes))


def _inverse(axes: Shape) -> Shape:
    inverse = [0] * len(axes)
    for place, axis in enumerate(axes):
        inverse[axis] = place
    return tuple(inverse)


class _Reshape(Lens):
    # A strided library copies where no strides fit, and the core asks for views only where they do; the strides are then
    # computed by the core, because a library may judge odd cases (length 1, stride 0) otherwise.
    def geometry(self, parent: Geometry, shape: Shape) -> Geometry:
        return geo.reshape(parent, shape)

    def view(self, F: Any, x: Any, *args: Any) -> Any:
        if 1 in x.shape or not F.reshapes_in_place(x):
            return self._restrided(F, x, args)
        return F.reshape(x, args[0])

    def get(self, F: Any, x: Any, shape: Shape) -> Any:
        return F.reshape(x, shape)

    def put(self, F: Any, x: Any, value: Any, shape: Shape) -> Any:
        return F.reshape(value, x.shape)

    def back(self, F: Any, g: Any, shape: Shape, _new: Shape) -> Any:
        return F.reshape(g, shape)


class _ReshapeDense(_Reshape):
    """Another shape of a strided array in C order without dimensions of length 1: the library's own strides are right."""

    kernel = "reshape"

    def view(self, F: Any, x: Any, *args: Any) -> Any:
        return F.reshape(x, args[0])


class _Insert(_Reshape):
    """A new dimension of length 1, with the stride PyTorch gives it."""

    def geometry(self, parent: Geometry, shape: Shape, dim: int) -> Geometry:  # type: ignore[override]
        size, stride, offset = parent
        step = size[dim] * stride[dim] if dim < len(size) else 1
        return shape, (*stride[:dim], step, *stride[dim:]), offset

    def get(self, F: Any, x: Any, shape: Shape, dim: int) -> Any:  # type: ignore[override]
        return F.reshape(x, shape)

    def put(self, F: Any, x: Any, value: Any, shape: Shape, dim: int) -> Any:  # type: ignore[override]
        return F.reshape(value, x.shape)

    def back(self, F: Any, g: Any, shape: Shape, _new: Shape, dim: int) -> Any:  # type: ignore[override]
        return F.reshape(g, shape)


class _Expand(Lens):
    kernel = "broadcast_to"

    def geometry(self, parent: Geometry, shape: Shape) -> Geometry:
        return geo.expand(parent, shape)

    def get(self, F: Any, x: Any, shape: Shape) -> Any:
        return F.broadcast_to(x, shape)

    def put(self, F: Any, x: Any, value: Any, shape: Shape) -> Any:
        # Writes to overlapping places are refused before they come here; what remains are dimensions of length 1.
        return F.reshape(value, x.shape)

    def back(self, F: Any, g: Any, shape: Shape, _new: Shape) -> Any:
        return F.unbroadcast(g, shape)


class _Strided(Lens):
    """A movement given by its geometry alone: read by gathering places, written by scattering to them."""

    native = False

    def _places(self, shape: Shape, args: tuple) -> Any:
        size, stride, offset = self.geometry(geo.contiguous(shape), *args)
        return size, geo.index_map(size, stride, offset).reshape(-1)

    def get(self, F: Any, x: Any, *args: Any) -> Any:
        size, places = self._places(x.shape, args)
        flat = F.reshape(x, (math.prod(x.shape),))
        return F.reshape(F.take(flat, F.host(places, flat), 0), size)

    def put(self, F: Any, x: Any, value: Any, *args: Any) -> Any:
        size, places = self._places(x.shape, args)
        flat = F.reshape(x, (math.prod(x.shape),))
        return F.reshape(F.scatter(flat, F.host(places, flat), F.reshape(value, (len(places),))), x.shape)

    def back(self, F: Any, g: Any, shape: Shape, *args: Any) -> Any:
        size, places = self._places(shape, args)
        flat = F.reshape(g, (len(places),))
        zeros = F.zeros_of(flat, (math.prod(shape),))
        return F.reshape(F.scatter_add(zeros, F.host(places, flat), flat), shape)


class _Diagonal(_Strided):
    def geometry(self, parent: Geometry, shift: int, dim1: int, dim2: int) -> Geometry:
        return geo.diagonal(parent, shift, dim1, dim2)


class _Unfold(_Strided):
    def geometry(self, parent: Geometry, dim: int, length: int, step: int) -> Geometry:
        return geo.unfold(parent, dim, length, step)


class _AsStrided(_Strided):
    """`as_strided`: size, stride and offset count in the storage, whatever the parent's own geometry."""

    def geometry(self, parent: Geometry, size: Shape, stride: Shape, offset: int) -> Geometry:
        return size, stride, offset


class Restride:
    """The gradient of `as_strided` of a tensor that is no plain C-ordered storage: through the storage of its geometry."""

    __slots__ = ("parent",)

    def __init__(self, parent: Geometry) -> None:
        self.parent = parent

    def back(self, F: Any, g: Any, shape: Shape, size: Shape, stride: Shape, offset: int) -> Any:
        own = geo.index_map(*self.parent).reshape(-1)
        seen = geo.index_map(size, stride, offset).reshape(-1)
        length = 1 + max(int(places.max()) if places.size else 0 for places in (own, seen))
        flat = F.reshape(g, (len(seen),))
        storage = F.scatter_add(F.zeros_of(flat, (length,)), F.host(seen, flat), flat)
        return F.reshape(F.take(storage, F.host(own, flat), 0), shape)


class _ViewAsReal(Lens):
    def geometry(self, parent: Geometry) -> Geometry:
        size, stride, offset = parent
        return (*size, 2), (*(2 * step for step in stride), 1), 2 * offset

    def get(self, F: Any, x: Any) -> Any:
        return F.view_as_real(x)

    def put(self, F: Any, x: Any, value: Any) -> Any:
        return F.view_as_complex(value)

    def back(self, F: Any, g: Any, shape: Shape) -> Any:
        return F.view_as_complex(g)


class _ViewAsComplex(Lens):
    def geometry(self, parent: Geometry) -> Geometry:
        size, stride, offset = parent
        return size[:-1], tuple(step // 2 for step in stride[:-1]), offset // 2

    def get(self, F: Any, x: Any) -> Any:
        return F.view_as_complex(x)

    def put(self, F: Any, x: Any, value: Any) -> Any:
        return F.view_as_real(value)

    def back(self, F: Any, g: Any, shape: Shape) -> Any:
        return F.view_as_real(g)


class _Part(Lens):
    """The real (0) or imaginary (1) part of a complex tensor."""

    def geometry(self, parent: Geometry, part: int) -> Geometry:
        size, stride, offset = parent
        return size, tuple(2 * step for step in stride), 2 * offset + part

    def get(self, F: Any, x: Any, part: int) -> Any:
        return F.imag(x) if part else F.real(x)

    def put(self, F: Any, x: Any, value: Any, part: int) -> Any:
        return F.complex(F.real(x), value) if part else F.complex(value, F.imag(x))

    def back(self, F: Any, g: Any, shape: Shape, part: int) -> Any:
        zeros = F.zeros_of(g, g.shape)
        return F.complex(zeros, g) if part else F.complex(g, zeros)


class _Reinterpret(Lens):
    """`view(dtype)`: the same bytes as another type; not differentiable."""

    def geometry(self, parent: Geometry, dtype: Any, ratio: tuple[int, int]) -> Geometry:
        size, stride, offset = parent
        old, new = ratio
        if old == new:
            return parent
        if old > new:
            factor = old // new
            return (*size[:-1], size[-1] * factor), (*(step * factor for step in stride[:-1]), 1), offset * factor
        factor = new // old
        return (*size[:-1], size[-1] // factor), (*(step // factor for step in stride[:-1]), 1), offset // factor

    def get(self, F: Any, x: Any, dtype: Any, ratio: tuple[int, int]) -> Any:
        return F.reinterpret(x, dtype)

    def put(self, F: Any, x: Any, value: Any, dtype: Any, ratio: tuple[int, int]) -> Any:
        return F.reinterpret(value, F.dtype_of(x))


INDEX = _Index("index")
PICK = _Pick("pick")
PERMUTE = _Permute("permute")
RESHAPE = _Reshape("reshape")
RESHAPE_DENSE = _ReshapeDense("reshape_dense")
INSERT = _Insert("insert")
EXPAND = _Expand("expand")
DIAGONAL = _Diagonal("diagonal")
UNFOLD = _Unfold("unfold")
AS_STRIDED = _AsStrided("as_strided")
VIEW_AS_REAL = _ViewAsReal("view_as_real")
VIEW_AS_COMPLEX = _ViewAsComplex("view_as_complex")
PART = _Part("part")
REINTERPRET = _Reinterpret("reinterpret")
