"""A computation small enough to run on every backend and large enough to notice one that cannot compute."""

from __future__ import annotations

import numpy as np

from torchplug_spec import dtypes
from torchplug_spec.backend import Backend

__all__ = ["smoke_fault"]


def smoke_fault(backend: Backend) -> str:
    """Returns what is wrong with `sum(where(x < 3, x @ y, 2 * x))` on the first device of a backend, or ""."""
    device = backend.devices()[0]
    host = np.arange(9, dtype=np.float32).reshape(3, 3)
    x = backend.from_numpy(host, device)
    y = backend.full((3, 3), 0.5, dtypes.float32, device)
    three = backend.full((), 3.0, dtypes.float32, device)
    chosen = backend.where(backend.less(x, three), backend.matmul(x, y), backend.add(x, x))
    result = backend.sum(chosen, None, False)
    backend.synchronize(device)
    got, expected = (
        float(backend.to_numpy(result)),
        float(np.where(host < 3, host @ np.full((3, 3), 0.5), host + host).sum()),
    )
    return "" if got == expected else f"a smoke computation on {device} gave {got}, expected {expected}"
