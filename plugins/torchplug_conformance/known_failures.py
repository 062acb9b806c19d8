"""Failures a backend declares: `known_failures`, a mapping from patterns of case names to reasons."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from torchplug_spec import Backend

__all__ = ["KnownFailures"]


class KnownFailures:
    """The declared failures of a backend: `{"gradient-*-cumprod-*": "the library has no scan"}`.

    Raises TypeError or ValueError for a declaration that is no mapping of patterns to reasons.
    """

    def __init__(self, backend: Backend) -> None:
        declared = getattr(type(backend), "known_failures", {})
        if not isinstance(declared, Mapping):
            raise TypeError(f"known_failures is a {type(declared).__name__}, expected a mapping of patterns to reasons")
        for pattern, reason in declared.items():
            if not isinstance(reason, str) or not reason.strip():
                raise ValueError(f"known failure {pattern!r} has no reason; say why it fails")
        self.declared: Mapping[str, str] = declared

    def reason(self, key: str) -> str | None:
        """Returns why a case is declared to fail, None if it is not."""
        return next((reason for pattern, reason in self.declared.items() if fnmatchcase(key, pattern)), None)

    def unused(self, keys: list[str]) -> list[str]:
        """Returns the patterns that name no case."""
        return [pattern for pattern in self.declared if not any(fnmatchcase(key, pattern) for key in keys)]
