"""Reading a tensor's values on the host, where a program may ask for them."""

from __future__ import annotations

import numpy as np

from torchplug._core.mirror import HOST
from torchplug._core.tensor import Tensor, array_of
from torchplug._core.tracing import current_trace, user_line

__all__ = ["host_array"]


def host_array(self: Tensor) -> np.ndarray:
    """Returns the values on the host, as a NumPy array that must not be written to. Reads a dirty mirror directly."""
    cell = self._cell
    kind = self._kind
    if cell is not None and not kind.mutable and cell.array is None:
        view = cell.mirror
        for lens, args in self._view.chain if self._view is not None else ():
            view = lens.view(HOST, view, *args)
        return view
    array = array_of(self)
    trace = current_trace()
    if trace is not None and (kind.engine.is_tracing(array) or trace.refuses(array)):
        raise RuntimeError(
            f"{user_line()} asks for the value of a tensor while torchplug.compile traces the function: the value is not known "
            "until the compiled function runs, and is another one at every run. Keep .item(), .tolist(), .numpy(), print and "
            "conditions on values out of the compiled function, or return the tensor and read it outside."
        )
    return kind.F.to_numpy(array)
