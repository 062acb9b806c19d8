"""Switches for gradient recording, as context managers and decorators."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from torchplug._core import modes

__all__ = [
    "enable_grad", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled", "no_grad", "set_grad_enabled",
]  # fmt: skip


if TYPE_CHECKING:
    from typing import Self, TypeVar, overload

    Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class _Mode:
    """A mode that is entered with `with` or put on a function, generator functions included."""

    variable: ContextVar[int] = modes.grad_mode
    value: bool

    if TYPE_CHECKING:

        @overload
        def __new__(cls, function: None = None) -> Self: ...
        @overload
        def __new__(cls, function: Callable[..., Any]) -> Any: ...
        def __new__(cls, function: Any = None) -> Any: ...

    else:

        def __new__(cls, function: Any = None) -> Any:
            mode = object.__new__(cls)
            mode._tokens = []
            return mode(function) if callable(function) else mode

    def __enter__(self) -> None:
        self._tokens.append(self.variable.set(modes.recording_mode() if self.value else False))

    def __exit__(self, *_: object) -> None:
        self.variable.reset(self._tokens.pop())

    _tokens: list[Token[int]]

    def clone(self) -> Any:
        """Returns another mode of the kind."""
        return type(self)()

    def __call__(self, function: Decorated) -> Decorated:
        return _decorated(self.clone, function)


def _decorated(make: Callable[[], Any], function: Callable[..., Any]) -> Any:
    if getattr(function, "__code__", None) is not None and function.__code__.co_flags & 0x20:

        @functools.wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Any:
            steps = function(*args, **kwargs)
            try:
                with make():
                    value = next(steps)
                while True:
                    sent = yield value
                    with make():
                        value = steps.send(sent)
            except StopIteration as stop:
                return stop.value
            finally:
                steps.close()

        return generator

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with make():
            return function(*args, **kwargs)

    return wrapped


class no_grad(_Mode):  # noqa: N801 -- PyTorch's name
    """Switches gradient recording off."""

    value = False


class enable_grad(_Mode):  # noqa: N801 -- PyTorch's name
    """Switches gradient recording on."""

    value = True


class set_grad_enabled:  # noqa: N801 -- PyTorch's name
    """Switches gradient recording on or off: at once when called, restored at the end of a with block."""

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)
        self.previous = modes.grad_mode.get()
        self.__enter__()

    def __enter__(self) -> None:
        modes.grad_mode.set(modes.recording_mode() if self.mode else False)

    def __exit__(self, *_: object) -> None:
        modes.grad_mode.set(self.previous)

    def __call__(self, function: Decorated) -> Decorated:
        modes.grad_mode.set(self.previous)
        return _decorated(lambda: set_grad_enabled(self.mode), function)


class inference_mode:  # noqa: N801 -- PyTorch's name
    """Switches recording off for good: tensors made inside can never require grad."""

    if TYPE_CHECKING:

        @overload
        def __new__(cls, mode: bool = True) -> Self: ...
        @overload
        def __new__(cls, mode: Callable[..., Any]) -> Any: ...
        def __new__(cls, mode: Any = True) -> Any: ...

    else:

        def __new__(cls, mode: Any = True) -> Any:
            made = object.__new__(cls)
            made.mode = True if callable(mode) else bool(mode)
            made._tokens = []
            return made(mode) if callable(mode) else made

    mode: bool
    _tokens: list[Any]

    def __enter__(self) -> None:
        self._tokens.append(
            (modes.inference.set(self.mode), modes.grad_mode.set(False if self.mode else modes.grad_mode.get()))
        )

    def __exit__(self, *_: object) -> None:
        inference, grad = self._tokens.pop()
        modes.grad_mode.reset(grad)
        modes.inference.reset(inference)

    def __call__(self, function: Decorated) -> Decorated:
        return _decorated(lambda: inference_mode(self.mode), function)


def is_grad_enabled() -> bool:
    """Says whether gradients are being recorded."""
    return bool(modes.grad_mode.get())


def is_inference_mode_enabled() -> bool:
    """Says whether inference mode is on."""
    return modes.inference.get()
