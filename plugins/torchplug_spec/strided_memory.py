"""Memory kernels of engines with strided arrays: copies, slices written in place, rows gathered and put."""

from __future__ import annotations

from typing import Any

from torchplug_spec.backend import Array, Shape, kernel

__all__ = ["StridedMemory"]


class StridedMemory:
    """What a library with NumPy's array methods does better than the default compositions."""

    xp: Any

    def copied(self, x: Array, order: str) -> Array:
        """Returns a copy in order "C", or "K" (that of the strides)."""
        return self.xp.array(x, order=order)

    @kernel("own")
    def own(self, x: Array) -> Array:
        return self.xp.asanyarray(x)

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
