"""Makes a backend that does not survive a fork raise in the child, where it would hang; costs nothing before."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NoReturn

from torchplug_spec.backend import Backend
from torchplug_spec.errors import BackendUnavailableError

__all__ = ["Refusal", "after_fork_in_child", "disarm", "refusal"]

Refusal = Callable[..., NoReturn]

_STILL_ANSWERED = frozenset({"api_version", "capabilities", "fork_safe", "name"})


def after_fork_in_child(action: Callable[[], None]) -> None:
    """Has `action` run in every child this process forks; where there is no fork, never."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=action)


def refusal(name: str) -> Refusal:
    """Returns a function that takes any arguments and raises, naming the backend and what to do instead."""
    parent = os.getppid()

    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise forked_error(name, parent)

    return refuse


def forked_error(name: str, parent: int) -> BackendUnavailableError:
    """Returns the error for a use of backend `name` in a child forked by process `parent`."""
    reason = f"process {os.getpid()} was forked from process {parent}, and its threads and device did not follow"
    remedy = "start the process with multiprocessing.get_context('forkserver') or 'spawn', or use backend 'numpy' in it"
    error = BackendUnavailableError(f"backend '{name}' cannot be used in a forked process: {reason}; {remedy}")
    error.reason, error.remedy = reason, remedy
    return error


def disarm(backend: Backend, refuse: Refusal) -> None:
    """Makes every attribute look-up on this instance call `refuse`, but for its name and other constants.

    Its class is exchanged, so nothing is tested per look-up in processes that never fork. Methods bound earlier are
    out of reach here: whoever keeps them listens with `Registry.on_fork`.
    """
    kind = type(backend)

    def __getattribute__(self: Backend, attribute: str) -> Any:
        if attribute in _STILL_ANSWERED or attribute.startswith("__"):
            return object.__getattribute__(self, attribute)
        return refuse()

    body = {"__slots__": (), "__getattribute__": __getattribute__, "__module__": kind.__module__}
    metaclass: Any = type(kind)
    forked = metaclass(kind.__name__, (kind,), body)
    try:
        backend.__class__ = forked
    except TypeError:
        return  # a layout of its own, from C: `get` and the listeners still refuse
