"""Ways for the same numbers to lie in memory: tensors that are views of another, by basic operations alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["LAYOUTS", "Layout"]


class Layout:
    """How to lay an array out: `stored` makes the host array of the base, `view` takes the view from its tensor.

    Calling it returns (base, view); an array it does not fit is its own base.
    """

    def __init__(
        self,
        stored: Callable[[np.ndarray], np.ndarray],
        view: Callable[[Any, np.ndarray], Any],
        fits: Callable[[np.ndarray], bool],
    ) -> None:
        self.stored = stored
        self.view = view
        self.fits = fits

    def __call__(self, convert: Callable[[np.ndarray], Any], array: np.ndarray) -> tuple[Any, Any]:
        base = convert(self.stored(array)) if self.fits(array) else convert(array)
        return base, self.apply(base, array)

    def apply(self, base: Any, array: np.ndarray) -> Any:
        """Returns the view of a base that holds `array`."""
        return self.view(base, array) if self.fits(array) else base


def _reversed(array: np.ndarray) -> tuple[int, ...]:
    return tuple(reversed(range(array.ndim)))


LAYOUTS = {
    "transposed": Layout(
        lambda array: np.ascontiguousarray(array.T),
        lambda base, array: base.permute(_reversed(array)),
        lambda array: array.ndim >= 2,
    ),
    "offset": Layout(
        lambda array: np.concatenate([array[:1], array]),
        lambda base, array: base[1:],
        lambda array: array.ndim >= 1 and array.shape[0] > 0,
    ),
    "stepped": Layout(
        lambda array: np.repeat(array, 2, axis=-1),
        lambda base, array: base[..., ::2],
        lambda array: array.ndim >= 1 and array.size > 0,
    ),
    "expanded": Layout(
        lambda array: array[:1].copy(),
        lambda base, array: base.expand(array.shape),
        lambda array: array.ndim >= 1 and array.shape[0] > 1,
    ),
}
