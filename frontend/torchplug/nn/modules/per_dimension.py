"""Sizes that are given as one number for all dimensions or as one per dimension."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["per_dimension"]


def per_dimension(value: Any, count: int) -> tuple[Any, ...]:
    """Returns `count` copies of a number; a sequence as a tuple, as it is."""
    return tuple(value) if isinstance(value, Iterable) else (value,) * count
