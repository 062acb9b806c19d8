"""Nested arguments and results as flat lists of leaves: lists, tuples, named tuples and dicts are structure, the rest leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["flatten", "rebuild"]

LEAF = object()


def flatten(value: Any) -> tuple[list[Any], Any]:
    """Returns (leaves, structure); equal structures compare equal and are hashable."""
    leaves: list[Any] = []
    return leaves, _flatten(value, leaves)


def _flatten(value: Any, leaves: list[Any]) -> Any:
    kind = type(value)
    if kind is list or kind is tuple or (isinstance(value, tuple) and hasattr(value, "_fields")):
        return (kind, None, tuple(_flatten(item, leaves) for item in value))
    if isinstance(value, dict):
        return (kind, tuple(value), tuple(_flatten(item, leaves) for item in value.values()))
    leaves.append(value)
    return None


def rebuild(structure: Any, leaves: Iterator[Any]) -> Any:
    """Returns the nested value of a structure filled with leaves in order."""
    if structure is None:
        return next(leaves)
    kind, keys, parts = structure
    items = [rebuild(part, leaves) for part in parts]
    if keys is not None:
        return _dict(kind, dict(zip(keys, items, strict=True)))
    return kind(*items) if hasattr(kind, "_fields") else kind(items)


def _dict(kind: Callable[..., Any], items: dict[Any, Any]) -> Any:
    try:
        return kind(items)
    except TypeError:
        return items
