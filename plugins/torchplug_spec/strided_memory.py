"""Memory kernels of engines with strided arrays: copies, slices written in place, rows gathered and put."""

from __future__ import annotations

from typing import Any

from torchplug_spec.backend import Array, Shape, kernel
from torchplug_spec.dtypes import DType

__all__ = ["StridedMemory"]


class StridedMemory:
    """What a library with NumPy's array methods does better than the default compositions."""

    xp: Any

    def copied(self, x: Array, order: str) -> Array:
        """Returns a copy in order "C", or "K" (that of the strides)."""
        return self.xp.array(x, order=order)

    @kernel("slice")
    def sliced(self, x: Array, key: tuple[Any, ...]) -> Array:
        seen = x[key]
        return seen if seen.__class__ is x.__class__ else x[(*key, ...)]  # the Ellipsis keeps a 0-d result an array

    @kernel("own")
    def own(self, x: Array) -> Array:
        out = self.xp.asanyarray(x)
        # NumPy gives new empty arrays strides of 0; passing through one dimension gives those of C order.
        return out if out.size else out.reshape(-1).reshape(out.shape)

    @kernel("copy")
    def copy(self, x: Array) -> Array:
        """Keeps the order of the strides."""
        return self.copied(x, "K")

    @kernel("clone")
    def clone(self, x: Array) -> Array:
        return self.copied(x, "K")

    @kernel("dense")
    def dense(self, x: Array) -> Array:
        return self.copied(x, "C")

    @kernel("reshapes_in_place")
    def reshapes_in_place(self, x: Array) -> bool:
        return bool(x.flags.c_contiguous)

    @kernel("view_as_real")
    def view_as_real(self, x: Array) -> Array:
        """Returns a view: real and imaginary part along a new last axis."""
        return x[..., None].view(x.real.dtype)

    @kernel("view_as_complex")
    def view_as_complex(self, x: Array) -> Array:
        """Returns a view; the last axis has length 2 and stride 1."""
        return x.view("complex64" if x.dtype.char == "f" else "complex128")[..., 0]

    @kernel("reinterpret")
    def reinterpret(self, x: Array, dtype: DType) -> Array:
        """Returns a view of the same bytes."""
        return x.view(dtype.numpy)

    @kernel("slice_update")
    def slice_update(self, x: Array, value: Array, key: tuple[Any, ...]) -> Array:
        out = self.copied(x, "K")
        out[key] = value
        return out

    @kernel("slice_embed")
    def slice_embed(self, g: Array, shape: Shape, key: tuple[Any, ...]) -> Array:
        out = self.xp.zeros_like(g, shape=shape, order="C")
        out[key] = g
        return out

    @kernel("scatter")
    def scatter(self, x: Array, index: Array, values: Array) -> Array:
        out = self.copied(x, "K")
        out[index] = values
        return out
