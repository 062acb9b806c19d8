"""Every call that makes an array passes here, so that a run can be recorded."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchplug_strict.array import StrictArray
    from torchplug_strict.replay import Recording

__all__ = ["call", "current_recording", "recording_to"]


class _Current(threading.local):
    recording: Recording | None = None


_current = _Current()


def current_recording() -> Recording | None:
    """Returns what this thread records to, if it records."""
    return _current.recording


def call(name: str, function: Callable[..., StrictArray], arguments: tuple[Any, ...]) -> StrictArray:
    """Returns what `function` makes of the arguments; while a run is recorded, the call is too."""
    result = function(*arguments)
    if _current.recording is not None:
        _current.recording.add(name, function, arguments, result)
    return result


@contextlib.contextmanager
def recording_to(recording: Recording) -> Iterator[None]:
    """Records this thread's calls inside the block."""
    outer, _current.recording = _current.recording, recording
    try:
        yield
    finally:
        _current.recording = outer
