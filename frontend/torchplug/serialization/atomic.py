"""Files that appear whole or not at all: written beside their place, flushed to the disk, then renamed over it."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from typing import Any

__all__ = ["replacing"]

_SUFFIX = ".torchplug-part"
_SWEPT: set[tuple[int, str]] = set()
"""(process, folder) whose leftovers were looked for."""


@contextlib.contextmanager
def replacing(path: str) -> Iterator[Any]:
    """Opens a file to write that takes the place of `path` when the block ends well; else `path` stays as it was.

    A link keeps pointing where it does, an existing file keeps its permissions. What is no regular file (a pipe, a device) is
    written directly. Raises RuntimeError when the folder does not exist.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {os.path.dirname(path) or folder} does not exist.")
    mode = _mode_of(target)
    if mode is not None and not stat.S_ISREG(mode):
        with open(target, "wb") as stream:
            yield stream
        return
    _sweep(folder)
    part = os.path.join(folder, f".{os.path.basename(target)[:100]}.{_mark()}.{os.urandom(4).hex()}{_SUFFIX}")
    try:
        with open(part, "xb") as stream:
            if mode is not None:
                os.chmod(part, stat.S_IMODE(mode))
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise
    _flush_folder(folder)


def _mode_of(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _flush_folder(folder: str) -> None:
    """Makes the renaming itself last; file systems that cannot open a folder need no such call."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _mark() -> str:
    """Returns what tells whose part of a file this is: the machine and the process."""
    return f"{_machine()}-{os.getpid()}"


def _machine() -> str:
    name = socket.gethostname()
    return "".join(letter if letter.isalnum() else "_" for letter in name)[:40] or "host"


def _sweep(folder: str) -> None:
    """Removes what saves of processes that died on this machine left in a folder; looks once per process and folder."""
    key = (os.getpid(), folder)
    if key in _SWEPT:
        return
    _SWEPT.add(key)
    machine = _machine()
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(".") and entry.name.endswith(_SUFFIX):
                owner = entry.name[: -len(_SUFFIX)].rpartition(".")[0].rpartition(".")[2]
                host, _, pid = owner.rpartition("-")
                if host == machine and pid.isdigit() and not _is_alive(int(pid)):
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # another user's process, or a system that cannot tell
    return True
