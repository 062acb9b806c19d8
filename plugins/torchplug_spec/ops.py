"""What a plugin declares of an op it brings: a function over tensors, and what the conformance suite needs to hold it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

__all__ = ["OpDeclaration", "declaration_fault"]

KINDS = ("float", "complex", "int", "bool")


class OpDeclaration(NamedTuple):
    """One op: `torchplug.<name>(input, ...)` and, as a method, `tensor.<name>(...)`.

    `function` computes with torchplug's functions, so gradients follow, or is the `apply` of an `autograd.Function`.
    `samples(make)` yields calls that every engine must agree on, `errors()` calls that must fail, as
    `torchplug_conformance.sampling` has them. `dtypes` holds the kinds it is sampled with, of "float", "complex", "int" and
    "bool"; `differentiable` says whether gradients are checked. `plugin` is filled in when it is registered.
    """

    name: str
    function: Callable[..., Any]
    samples: Callable[..., Iterable[Any]] | None = None
    errors: Callable[[], Iterable[Any]] | None = None
    dtypes: tuple[str, ...] = ("float",)
    differentiable: bool = True
    method: bool = True
    plugin: str = ""


def declaration_fault(declaration: Any) -> str:
    """Returns what is wrong with what a plugin registered as an op, or ""."""
    if not isinstance(declaration, OpDeclaration):
        return f"it registers {declaration!r}, expected a torchplug_spec.OpDeclaration"
    name = declaration.name
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        return (
            f"it registers an op of the name {name!r}, expected one that Python takes and that does not begin with '_'"
        )
    for what in ("function", "samples", "errors"):
        value = getattr(declaration, what)
        if not callable(value) and (what == "function" or value is not None):
            return f"the {what} of its op '{name}' is {value!r}, expected something to call"
    unknown = [kind for kind in declaration.dtypes if kind not in KINDS]
    if unknown or not isinstance(declaration.dtypes, tuple):
        return f"the dtypes of its op '{name}' are {declaration.dtypes!r}, expected a tuple of {', '.join(KINDS)}"
    return ""
