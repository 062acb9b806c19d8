"""What is sent to a worker process when it starts, and how the process makes ready to unpack it."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import sys
import types
from collections.abc import Iterator
from multiprocessing import reduction, spawn
from typing import Any

import numpy as np

from torchplug._core import selection
from torchplug._core.modes import default_dtype, set_default_dtype
from torchplug._core.tensor import Tensor
from torchplug.utils.data._utils import messages, shared

__all__ = ["Parcel", "refuse_while_unpacking"]

_SHARED_FROM = 1 << 20
"""Bytes from which an array is handed over as shared memory, which all workers map and nobody copies again."""

_MOST_SHARED = 64
"""Arrays shared at most: a starting process takes 256 descriptors."""

Files = dict[tuple[Any, ...], tuple[np.ndarray, int]]
"""Shared arrays and the descriptors of their files; the arrays are held so that their addresses stay theirs."""


class Parcel:
    """Objects for workers. Tensors arrive on the numpy backend; large arrays as private views of one shared copy.

    The main module is imported in the worker only if the objects refer to it, so that a script without an
    `if __name__ == "__main__":` guard can have workers for datasets of other modules.
    """

    def __init__(self, content: Any) -> None:
        self.content = content
        preparation = spawn.get_preparation_data("worker")
        self._main = {key: value for key, value in preparation.items() if key.startswith("init_main_")}
        self._files: Files = {}

    def __reduce__(self) -> Any:
        file = io.BytesIO()
        pickler = _Pickler(file, self._files)
        pickler.dump(self.content)
        if pickler.needs_main and not self._main:
            raise pickle.PicklingError(
                f"'{pickler.needs_main}' is defined in an interactive session, where worker processes cannot import it"
            )
        main = self._main if pickler.needs_main else {}
        alias = sys.modules.get("torch") is sys.modules["torchplug"]
        return _Unopened, (file.getvalue(), main, default_dtype().name, alias)

    def open(self) -> Any:
        """Returns the objects; in a forked worker they are the parent's own."""
        selection.set_backend("numpy")
        return self.content

    def close(self) -> None:
        """Closes the files of shared arrays; workers that have started keep their views."""
        for _, descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()


class _Unopened:
    """A parcel that arrived, not yet unpacked: the process must be made ready first."""

    def __init__(self, pickled: bytes, main: dict[str, str], dtype: str, alias: bool) -> None:
        self.pickled = pickled
        self.main = main
        self.dtype = dtype
        self.alias = alias

    def open(self) -> Any:
        from torchplug_spec import dtypes

        if self.alias:
            from torchplug.torch_alias import as_torch

            as_torch()
        selection.set_backend("numpy")
        with _unpacking():
            spawn.prepare(self.main)
        set_default_dtype(dtypes.named(self.dtype))
        selection.set_backend("numpy")  # the main module may have chosen another
        return pickle.loads(self.pickled)


_is_unpacking = False


@contextlib.contextmanager
def _unpacking() -> Iterator[None]:
    global _is_unpacking
    _is_unpacking = True
    try:
        yield
    finally:
        _is_unpacking = False


def refuse_while_unpacking() -> None:
    """Raises RuntimeError in a worker process that is importing the main module."""
    if _is_unpacking:
        raise RuntimeError(
            "a DataLoader with worker processes was used while such a worker imported the script: workers import the "
            "script that defines their dataset, so its work must stand under `if __name__ == '__main__':`; "
            "or use num_workers=0"
        )


class _Pickler(reduction.ForkingPickler):
    def __init__(self, file: io.BytesIO, files: Files) -> None:
        super().__init__(file, 5)
        self.files = files
        self.needs_main = ""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return messages.reduce_tensor(value)
        if isinstance(value, np.ndarray):
            return self._shared(value)
        if isinstance(value, type | types.FunctionType) and value.__module__ == "__main__":
            self.needs_main = value.__qualname__
        return NotImplemented

    def _shared(self, value: np.ndarray) -> Any:
        plain = type(value) is np.ndarray and value.dtype.isbuiltin == 1 and not value.dtype.hasobject
        if not (plain and shared.AVAILABLE and value.nbytes >= _SHARED_FROM):
            return NotImplemented
        key = (value.__array_interface__["data"][0], value.shape, value.strides, value.dtype.str)
        if key not in self.files:
            if len(self.files) == _MOST_SHARED:
                return NotImplemented
            self.files[key] = (value, shared.file_of(value))
        handle = reduction.DupFd(self.files[key][1])
        return _mapped, (handle, value.dtype, value.shape)


def _mapped(handle: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    return shared.map_private(handle.detach(), dtype, shape)
