"""How many threads engines may use."""

from __future__ import annotations

from torchplug._core import kind as kinds
from torchplug_spec.settings import default_threads

__all__ = ["get_num_interop_threads", "get_num_threads", "set_num_interop_threads", "set_num_threads", "wanted"]

_count: int | None = None
_interop = 1


def get_num_threads() -> int:
    """Returns the number of threads engines use for one op."""
    return _count or default_threads()


def set_num_threads(num: int) -> None:
    """Sets the number of threads engines use for one op, on engines in use now and later."""
    global _count
    if not isinstance(num, int) or isinstance(num, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(num).__name__}")
    if num <= 0:
        raise RuntimeError("set_num_threads expects a positive integer")
    _count = num
    for name in kinds.loaded():
        kinds.engine_for(name).set_threads(num)
    from torchplug_spec import registry

    registry.set_num_threads(num)


def wanted() -> int | None:
    """Returns the number that `set_num_threads` asked for, None if it was never called."""
    return _count


def get_num_interop_threads() -> int:
    """Returns the number of ops that may run at once: engines run one after the other."""
    return _interop


def set_num_interop_threads(num: int) -> None:
    """Accepts a number of ops to run at once."""
    global _interop
    if num <= 0:
        raise RuntimeError("Expected positive number of threads")
    _interop = num
