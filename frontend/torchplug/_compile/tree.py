"""Nested arguments and results as flat lists of leaves: lists, tuples of all kinds, dicts and dataclasses are structure."""

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
    if kind is list or isinstance(value, tuple):
        return (kind, None, tuple(_flatten(item, leaves) for item in value))
    if isinstance(value, dict):
        return (kind, tuple(value), tuple(_flatten(item, leaves) for item in value.values()))
    if hasattr(kind, "__dataclass_fields__"):
        fields = tuple(name for name in kind.__dataclass_fields__ if hasattr(value, name))
        return (kind, fields, tuple(_flatten(getattr(value, name), leaves) for name in fields))
    leaves.append(value)
    return None


def rebuild(structure: Any, leaves: Iterator[Any]) -> Any:
    """Returns the nested value of a structure filled with leaves in order."""
    if structure is None:
        return next(leaves)
    kind, keys, parts = structure
    items = [rebuild(part, leaves) for part in parts]
    if hasattr(kind, "__dataclass_fields__") and not issubclass(kind, (dict, tuple)):
        return _with_fields(object.__new__(kind), dict(zip(keys, items, strict=True)))
    if keys is not None:
        return _dict(kind, dict(zip(keys, items, strict=True)))
    return kind(*items) if hasattr(kind, "_fields") else kind(items)


def _dict(kind: Callable[..., Any], items: dict[Any, Any]) -> Any:
    try:
        return kind(items)
    except TypeError:
        return items


def _with_fields(made: Any, items: dict[str, Any]) -> Any:
    for name, item in items.items():
        object.__setattr__(made, name, item)  # frozen dataclasses have no other way
    return made
