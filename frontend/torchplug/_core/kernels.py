"""The two tables everything is looked up in: default compositions by kernel name, and declared ops by slot."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torchplug._core.op import Op

__all__ = ["COMPOSITIONS", "OPS", "OPS_BY_KERNEL", "composition", "known_kernels"]

COMPOSITIONS: dict[str, Callable[..., Any]] = {}
"""Kernel name -> default implementation `f(F, *arguments)` over the other names of the namespace `F`."""
OPS: list[Op] = []
"""Every declared op; its index is its slot in each engine's kernel table."""
OPS_BY_KERNEL: dict[str, Op] = {}
"""Kernel name -> the op that runs it over Tensors, with a node in the graph."""

_F = TypeVar("_F", bound=Callable[..., Any])


def composition(function: _F) -> _F:
    """Registers the default implementation of the kernel named like `function`; its first parameter is the namespace."""
    COMPOSITIONS[function.__name__.rstrip("_")] = function
    return function


def known_kernels() -> frozenset[str]:
    """Returns every name an engine may mark with @kernel."""
    return frozenset(COMPOSITIONS) | frozenset(OPS_BY_KERNEL)
