"""A host generator beside PyTorch's, and what it means for their numbers to be the same."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from torchplug._core.mt19937 import HostGenerator

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
HALVES = (np.dtype(np.float16), BFLOAT16)
REALS = (np.dtype(np.float32), np.dtype(np.float64), *HALVES)
COMPLEX = (np.dtype(np.complex64), np.dtype(np.complex128))
INTEGERS = tuple(np.dtype(name) for name in ("uint8", "int8", "int16", "int32", "int64"))

# What two libraries' log, sin and cos may differ by, relative to 1 and to the number.
TOLERANCE = {4: 2.4e-7, 8: 1e-14, 2: 0.0}


class Pair:
    """A host generator and a PyTorch one that must stay in step."""

    def __init__(self, seed: int = 1) -> None:
        self.torch = pytest.importorskip("torch")
        self.draws = pytest.importorskip("torch_draws")
        self.host = HostGenerator(seed)
        self.other = self.torch.Generator().manual_seed(seed)

    def draw(self, method: str, *args: Any, exact: bool = True, **kwargs: Any) -> np.ndarray:
        ours = getattr(self.host, method)(*args, **kwargs)
        assert_same(ours, self.draws.draw(self.other, method, *args, **kwargs), exact)
        assert isinstance(ours, np.ndarray) and ours.flags.c_contiguous and ours.flags.writeable
        return ours

    def assert_in_step(self) -> None:
        theirs = self.other.get_state().numpy()
        ours = self.host.get_state()
        # The spare normal number may differ in its last bits.
        spare = slice(5016, 5040)
        np.testing.assert_array_equal(np.delete(ours, spare), np.delete(theirs, spare))
        np.testing.assert_allclose(ours[spare].view(np.float64), theirs[spare].view(np.float64), rtol=1e-14)


def assert_same(ours: np.ndarray, theirs: np.ndarray, exact: bool = True) -> None:
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    if exact or ours.dtype.kind in "biu":
        assert ours.tobytes() == theirs.tobytes()
        return
    wide = np.complex128 if ours.dtype.kind == "c" else np.float64
    tolerance = TOLERANCE[ours.dtype.itemsize // (2 if ours.dtype.kind == "c" else 1)]
    if not tolerance:  # One unit in the last place, where the float32 before rounding straddles a midpoint.
        tolerance = 2.0 ** -(7 if ours.dtype == BFLOAT16 else 10)
        assert (ours != theirs).sum() <= 1 + ours.size // 100
    np.testing.assert_allclose(ours.astype(wide), theirs.astype(wide), rtol=tolerance, atol=tolerance)
