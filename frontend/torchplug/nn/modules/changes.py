"""One counter of changes to modules, by which compiled functions learn that something they assumed may differ."""

from __future__ import annotations

from typing import Any

__all__ = ["ON_REMOVAL", "attribute_version", "count_change"]

_count = 0


def attribute_version() -> int:
    """Returns how often a plain attribute, parameter, buffer, submodule or hook of any module changed in this process.

    Values written into parameters and buffers do not count; assigning the value an attribute already has does not
    either.
    """
    return _count


def count_change() -> None:
    """Counts one change."""
    global _count
    _count += 1


class _OnRemoval:
    """Stands among the dictionaries of a hook's handle, so that removing the hook counts as a change."""

    def pop(self, key: Any, default: Any = None) -> None:
        """Counts the removal."""
        count_change()

    def __reduce__(self) -> str:
        return "ON_REMOVAL"


ON_REMOVAL: Any = _OnRemoval()
