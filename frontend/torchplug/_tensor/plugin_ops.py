"""Ops of plugins that a program selected: published as functions of torchplug and methods of Tensor, and taken back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torchplug._core.declare import DECLARATIONS, Declaration
from torchplug._core.tensor import Tensor
from torchplug_spec import BackendError, registry
from torchplug_spec.registry import OpConflict

if TYPE_CHECKING:
    from torchplug_spec.ops import OpDeclaration

__all__ = ["ADOPTED", "adopt", "missing_name"]

ADOPTED: dict[str, OpDeclaration] = {}
"""The ops of plugins that are published now, by name."""


def adopt(declarations: Sequence[OpDeclaration]) -> None:
    """Publishes exactly these ops of plugins: new ones are added, those no longer named are taken back.

    Raises OpConflict, with nothing changed, for a name that torchplug or another plugin has already.
    """
    wanted: dict[str, OpDeclaration] = {}
    for declaration in declarations:
        name = declaration.name
        if name in wanted:
            raise OpConflict(declaration, f"plugin '{wanted[name].plugin}' has one of that name")
        if name not in ADOPTED and _is_taken(declaration):
            raise OpConflict(declaration, "torchplug has that name already")
        wanted[name] = declaration
    for name, published in list(ADOPTED.items()):
        if wanted.get(name) is not published:
            _take_back(published)
    for name, declaration in wanted.items():
        if name not in ADOPTED:
            _publish(declaration)


def _package() -> Any:
    return sys.modules["torchplug"]


def _is_taken(declaration: OpDeclaration) -> bool:
    import importlib.util

    name = declaration.name
    if name in vars(_package()) or name in DECLARATIONS or importlib.util.find_spec(f"torchplug.{name}") is not None:
        return True
    return declaration.method and hasattr(Tensor, name)


def _publish(op: OpDeclaration) -> None:
    declared = Declaration(
        op.name, op.function, op=None, samples=op.samples, errors=op.errors, dtypes=op.dtypes, public=True,
        method=op.method, inplace=False, aliases=(), operator=None, differentiable=op.differentiable,
    )  # fmt: skip
    declared.family = op.plugin
    DECLARATIONS[op.name] = declared
    setattr(_package(), op.name, op.function)
    if op.method:
        setattr(Tensor, op.name, op.function)
    ADOPTED[op.name] = op


def _take_back(op: OpDeclaration) -> None:
    del ADOPTED[op.name], DECLARATIONS[op.name]
    delattr(_package(), op.name)
    if op.method:
        delattr(Tensor, op.name)


def missing_name(name: str) -> Any:
    """Returns an op of a selected plugin that was not loaded before; AttributeError for any other name."""
    fault: BackendError | None = None
    if not name.startswith("_") and registry.enabled() and not _is_submodule(name):
        try:
            registry.ops()
        except BackendError as error:
            fault = error
        if name in ADOPTED:
            return ADOPTED[name].function
    reason = f" ({fault})" if fault is not None else ""
    raise AttributeError(f"module 'torchplug' has no attribute '{name}'{reason}") from fault


def _is_submodule(name: str) -> bool:
    # `from torchplug import vision` asks for the attribute before it imports, which must load no plugin.
    import importlib.util

    return importlib.util.find_spec(f"torchplug.{name}") is not None


registry.on_ops(adopt)
