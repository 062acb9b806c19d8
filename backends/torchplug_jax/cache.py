"""Compiled programs on disk, so that the next process need not compile them again: a folder that only its user can enter.

What XLA stores is machine code, which the next process runs: a folder that others could write would let them run theirs.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import warnings
from pathlib import Path
from typing import Any

import jax

__all__ = ["cache_folder", "use_cache"]

_SHORTEST = 0.2
"""Seconds of compiling from which on a program is worth a file."""


def use_cache() -> None:
    """Makes JAX keep compiled programs, unless the user has said where, or TORCHPLUG_CACHE is set to "0"."""
    config: Any = jax.config
    if config.jax_compilation_cache_dir is not None or os.environ.get("TORCHPLUG_CACHE") == "0":
        return
    folder = cache_folder()
    if folder is not None:
        config.update("jax_compilation_cache_dir", str(folder))
        if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
            config.update("jax_persistent_cache_min_compile_time_secs", _SHORTEST)


def cache_folder() -> Path | None:
    """Returns the folder for this user and this kind of machine, made with mode 0700; None, with a warning, if it is not private.

    It lies under TORCHPLUG_CACHE, else XDG_CACHE_HOME, else ~/.cache.
    """
    own = os.environ.get("TORCHPLUG_CACHE")
    if own:
        top = Path(own)
    else:
        try:
            top = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torchplug"
        except RuntimeError:  # a user without a home
            return None
    folder = top / f"jax-{jax.__version__}-{_machine()}"
    try:
        top.parent.mkdir(parents=True, exist_ok=True)
        for part in (top, folder):
            part.mkdir(mode=0o700, exist_ok=True)
            reason = _fault(part)
            if reason:
                warnings.warn(f"torchplug keeps no compiled programs: {part} {reason}", UserWarning, stacklevel=2)
                return None
    except OSError:  # a read-only home
        return None
    return folder


def _fault(folder: Path) -> str:
    """Returns what is wrong with a folder that only its user should enter; nothing where the system has no such modes."""
    if not hasattr(os, "getuid"):
        return ""
    facts = os.lstat(folder)
    if not stat.S_ISDIR(facts.st_mode):
        return "is no folder"
    if facts.st_uid != os.getuid():
        return "belongs to another user"
    if stat.S_IMODE(facts.st_mode) & 0o077:
        return f"can be entered by others (mode {stat.S_IMODE(facts.st_mode):04o}; chmod 700 makes it private)"
    return ""


def _machine() -> str:
    """Returns a word for this kind of processor: machine code made for one may not run on another."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            facts = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        facts = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {facts}".encode()).hexdigest()[:12]
