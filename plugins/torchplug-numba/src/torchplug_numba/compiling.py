"""Compiles functions on their first call and keeps the machine code in a folder of the user's own."""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numba
from numba.extending import overload

__all__ = ["CONTRACTED", "REORDERED", "cache_folder", "compiled", "number"]

CONTRACTED: Final = {"contract"}
"""Lets a product and a sum be rounded once. For polynomials whose terms are bounded."""

REORDERED: Final = {"reassoc"}
"""Lets the terms of a sum be added in another order, which vectors need. NaN and infinity keep their meaning."""


def cache_folder() -> Path | None:
    """Returns the folder for machine code, made if need be; None where no folder is the user's alone.

    It lies in NUMBA_CACHE_DIR, by default in `torchplug/numba` of the user's cache folder. Numba notices no change in a
    function that a compiled one calls, so every version of these sources has a folder of its own there.
    """
    root = Path(numba.config.CACHE_DIR) if numba.config.CACHE_DIR else _user_cache() / "torchplug" / "numba"
    folder = root / f"torchplug-{_fingerprint()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        return _without_cache(f"{folder} cannot be made: {error.strerror or error}")
    if os.name == "posix":
        found = folder.stat()
        if found.st_uid != os.getuid() or found.st_mode & 0o022:
            return _without_cache(f"{folder} can be written by others, who could plant code in it")
    return folder if os.access(folder, os.W_OK) else _without_cache(f"{folder} cannot be written")


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _fingerprint() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


def _without_cache(reason: str) -> None:
    warnings.warn(f"torchplug-numba compiles its kernels anew in every process: {reason}", stacklevel=2)


_FOLDER = cache_folder()


def compiled(flags: set[str] | None = None) -> Callable[[Callable[..., Any]], Any]:
    """Marks a function to be compiled when it is first called with arguments of a type; it lets other threads run."""

    def mark(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(nogil=True, error_model="numpy", fastmath=flags or False)(function)
        if _FOLDER is None:
            return dispatcher
        # Numba reads the setting when a function's cache is made, and programs have functions of their own.
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(_FOLDER)
        try:
            dispatcher.enable_caching()
        finally:
            numba.config.CACHE_DIR = before
        return dispatcher

    return mark


def number(value: float, x: Any) -> Any:
    """Returns a number in the type of `x`: in compiled code float32 times a Python number is a float64."""
    return type(x)(value)


@overload(number, strict=False)
def _number(value: Any, x: Any) -> Any:
    if x == numba.types.float32:
        return lambda value, x: numba.float32(value)
    return lambda value, x: numba.float64(value)
