"""The table of declared functions: what the public names, methods, in-place twins, conformance cases and docs come from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from torchplug._core.autocasting import asking

__all__ = ["DECLARATIONS", "Declaration", "Sample", "declare", "declare_functional"]

_F = TypeVar("_F", bound=Callable[..., Any])

DECLARATIONS: dict[str, Declaration] = {}
"""Every declared function by its PyTorch name, in order of declaration."""


class Sample:
    """One call of a declared function, in NumPy arrays and plain values: `function(*args, **kwargs)`.

    NumPy arrays become tensors of the engine under test; `error` is (exception type, words its text must contain) for calls
    that must fail. `stated_gradient`: PyTorch states a gradient that is not the slope of the function (padding_idx,
    straight-through estimates), so finite differences cannot measure it.
    """

    __slots__ = ("args", "error", "kwargs", "stated_gradient")

    def __init__(
        self,
        *args: Any,
        error: tuple[type[BaseException], str] | None = None,
        stated_gradient: bool = False,
        **kwargs: Any,
    ) -> None:
        self.args = args
        self.kwargs = kwargs
        self.error = error
        self.stated_gradient = stated_gradient

    def __repr__(self) -> str:
        shown = [_short(value) for value in self.args] + [
            f"{name}={_short(value)}" for name, value in self.kwargs.items()
        ]
        return f"({', '.join(shown)})"


def _short(value: Any) -> str:
    return f"{value.dtype}{list(value.shape)}" if hasattr(value, "shape") else repr(value)


class Declaration:
    """What torchplug knows of one public function.

    `op` is the kernel-level op it records (None for functions made of others), `samples` makes calls that must equal
    PyTorch's, `errors` calls that must fail, `dtypes` the kinds it is sampled with ("float", "complex", "int", "bool"),
    `differentiable` whether gradients are checked, `operator` the shorter way to the same function that Python's operators
    take (None: the function itself).
    """

    __slots__ = (
        "aliases", "differentiable", "dtypes", "errors", "family", "function", "inplace", "method", "name", "op", "operator",
        "public", "samples",
    )  # fmt: skip

    aliases: tuple[str, ...]
    differentiable: bool
    dtypes: tuple[str, ...]
    errors: Callable[[], Iterable[Sample]] | None
    inplace: bool
    method: bool
    op: Any
    operator: Callable[..., Any] | None
    public: bool
    samples: Callable[..., Iterable[Sample]] | None

    def __init__(self, name: str, function: Callable[..., Any], **facts: Any) -> None:
        self.name = name
        self.function = function
        self.family = _family()
        for fact in self.__slots__:
            if fact not in ("name", "function", "family"):
                setattr(self, fact, facts[fact])


def _family() -> str:
    """Returns the module that is declaring: the nearest caller outside the core (factories set `__module__` to a public one)."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("torchplug._core."):
        frame = frame.f_back
    return str(frame.f_globals["__name__"]).rpartition(".")[2]


def declare(
    *,
    op: Any = None,
    samples: Callable[..., Iterable[Sample]] | None = None,
    errors: Callable[[], Iterable[Sample]] | None = None,
    dtypes: Sequence[str] = ("float",),
    differentiable: bool | None = None,
    public: bool = True,
    method: bool = True,
    inplace: bool = False,
    aliases: Sequence[str] = (),
    name: str | None = None,
    operator: Callable[..., Any] | None = None,
    asks: bool = False,
) -> Callable[[_F], _F]:
    """Registers a public function: `torch.<name>` (public), `Tensor.<name>` (method), `Tensor.<name>_` (inplace).

    Returns it, or where autocast has a policy for it that it does not ask for itself (`asks`: further in, by a function it
    calls), the function that asks first.
    """

    def mark(function: _F) -> _F:
        known = name or function.__name__
        function = function if asks else asking(known, function)
        DECLARATIONS[known] = Declaration(
            known, function, op=op, samples=samples, errors=errors, dtypes=tuple(dtypes), public=public, method=method,
            inplace=inplace, aliases=tuple(aliases), operator=operator,
            differentiable=bool(op is not None and op.differentiable) if differentiable is None else differentiable,
        )  # fmt: skip
        return function

    return mark


def declare_functional(
    *,
    op: Any = None,
    samples: Callable[..., Iterable[Sample]] | None = None,
    errors: Callable[[], Iterable[Sample]] | None = None,
    dtypes: Sequence[str] = ("float",),
    differentiable: bool | None = None,
) -> Callable[[_F], _F]:
    """Registers a function of `torch.nn.functional` alone, as "nn.functional.<name>"."""

    def mark(function: _F) -> _F:
        return declare(
            op=op, samples=samples, errors=errors, dtypes=dtypes, differentiable=differentiable, public=False, method=False,
            name=f"nn.functional.{function.__name__}",
        )(function)  # fmt: skip

    return mark
