"""The stream of 32-bit words under PyTorch's CPU generator: its seeds, its saved state, and uniform numbers made of it.

The words are those of the Mersenne Twister MT19937 (Matsumoto and Nishimura 1998) seeded the original way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from torchplug._core import distributions

if TYPE_CHECKING:
    from numpy.random import MT19937, RandomState

__all__ = ["STATE_BYTES", "Twister"]

T = TypeVar("T")

_KEY_WORDS = 624

# The C struct behind `torch.get_rng_state()`; normal_x and normal_rho are unused, normal_y is the spare normal number.
_STATE = np.dtype(
    [
        ("seed", np.uint64),
        ("left", np.int32),
        ("seeded", np.int32),
        ("next", np.uint64),
        ("key", np.uint64, (_KEY_WORDS,)),
        ("normal_x", np.float64),
        ("normal_y", np.float64),
        ("normal_rho", np.float64),
        ("normal_is_valid", np.int32),
        ("float_normal", np.float32),
        ("float_normal_is_valid", np.bool_),
    ],
    align=True,
)
STATE_BYTES: Final = _STATE.itemsize

# Numbers made per call of the bit generator: few enough that the words are still in the cache when they are converted.
_CHUNK = 1 << 15


class Twister:
    """A seeded stream of words, with the normal number left over from the last pair drawn.

    `raw(n)` returns the next n words, each in a uint64; `seed` is where the stream started. Not for several threads at
    once: their draws would interleave.
    """

    __slots__ = ("_bits", "_first_key", "_float_normal", "_legacy", "_spare", "raw", "seed")

    def __init__(self, seed: int) -> None:
        from numpy.random import MT19937, RandomState

        self._bits: MT19937 = MT19937(0)
        # NumPy's legacy interface is the one that still seeds the original way.
        self._legacy: RandomState = RandomState(self._bits)
        self.raw = self._bits.random_raw
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Starts the stream of `seed`, 0 <= seed < 2**64, of which the words see the low 32 bits."""
        self.seed = seed
        self._legacy.seed(seed % 2**32)
        self._first_key: NDArray[Any] | None = None
        self._spare: float | None = None
        self._float_normal: float | None = None

    def get_state(self) -> NDArray[np.uint8]:
        """Returns the 5056 bytes `torch.get_rng_state()` returns at the same place of the stream; a new array."""
        saved = self._bits.state["state"]
        key, used = saved["key"], saved["pos"]
        # PyTorch has used 0 words of the block a seed makes, NumPy pretends to have used them all.
        if used == _KEY_WORDS and np.array_equal(key, self._unstarted_key()):
            used = 0
        fields = np.zeros((), _STATE)
        fields["seed"], fields["seeded"], fields["key"] = self.seed, 1, key
        fields["next"], fields["left"] = used, _KEY_WORDS + 1 - used if used else 1
        if self._spare is not None:
            fields["normal_y"], fields["normal_is_valid"] = self._spare, 1
        if self._float_normal is not None:
            fields["float_normal"], fields["float_normal_is_valid"] = self._float_normal, True
        return np.frombuffer(fields.tobytes(), np.uint8).copy()

    def set_state(self, state: NDArray[np.uint8]) -> None:
        """Continues the stream from the bytes of `get_state` or `torch.get_rng_state()`.

        Raises TypeError for anything but a uint8 array, RuntimeError for another size or an impossible state.
        """
        if getattr(state, "dtype", None) != np.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        if state.size != STATE_BYTES:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {STATE_BYTES} "
                f"but found the input RNG state size to be {state.size}"
            )
        fields: Any = np.frombuffer(state.tobytes(), _STATE)[0]
        used, left = int(fields["next"]), int(fields["left"])
        unstarted = used == 0 and left == 1
        started = 0 < used <= _KEY_WORDS and used + left == _KEY_WORDS + 1
        if fields["seeded"] == 0 or not (unstarted or started):
            raise RuntimeError("Invalid mt19937 state")
        key = fields["key"].astype(np.uint32)
        position = _KEY_WORDS if unstarted else used
        self._bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": position}}
        self._first_key = key if unstarted else None
        self.seed = int(fields["seed"])
        self._spare = float(fields["normal_y"]) if fields["normal_is_valid"] else None
        self._float_normal = float(fields["float_normal"]) if fields["float_normal_is_valid"] else None

    def _unstarted_key(self) -> NDArray[Any]:
        """Returns the block of words the stream began with, before any of it was used."""
        if self._first_key is not None:
            return self._first_key
        from numpy.random import RandomState

        seeded: Any = RandomState(self.seed % 2**32).get_state(legacy=False)
        key: NDArray[Any] = seeded["state"]["key"]
        return key

    def wide(self, count: int) -> NDArray[np.uint64]:
        """Returns `count` numbers of 64 bits, each made of two words, the first one high."""
        words = self.raw(2 * count)
        return (words[0::2] << np.uint64(32)) | words[1::2]

    def floats(self, count: int) -> NDArray[np.float32]:
        """Returns `count` float32 uniforms in [0, 1), a word each."""
        if count <= _CHUNK:
            return distributions.floats_from_words(self.raw(count))
        out = np.empty(count, np.float32)
        for start in range(0, count, _CHUNK):
            part = out[start : start + _CHUNK]
            distributions.floats_from_words(self.raw(part.size), part)
        return out

    def doubles(self, count: int) -> NDArray[np.float64]:
        """Returns `count` float64 uniforms in [0, 1), two words each."""
        if count <= _CHUNK:
            return distributions.doubles_from_words(self.raw(2 * count))
        out = np.empty(count, np.float64)
        for start in range(0, count, _CHUNK):
            part = out[start : start + _CHUNK]
            distributions.doubles_from_words(self.raw(2 * part.size), part)
        return out

    def normals(self, count: int) -> NDArray[np.float64]:
        """Returns `count` standard normals made in pairs; what is left of the last pair is kept for the next call."""
        out = np.empty(count + 1)
        start = 0
        if self._spare is not None and count:
            out[0], self._spare, start = self._spare, None, 1
        end = count + (count - start) % 2
        if end > start:
            distributions.normal_pairs(self.doubles(end - start), out[start:end])
        if end > count:
            self._spare = float(out[count])
        return out[:count]

    def one_by_one(self, draw: Callable[[Callable[[], float]], T], batch: int) -> T:
        """Returns `draw(uniform)`, where each `uniform()` is the next float64 in [0, 1), made `batch` at a time."""
        before = self._bits.state
        taken = 0

        def uniforms() -> Iterator[float]:
            nonlocal taken
            while True:
                for value in self.doubles(batch).tolist():
                    taken += 1
                    yield value

        try:
            return draw(uniforms().__next__)
        finally:
            self._bits.state = before
            self.raw(2 * taken, False)
