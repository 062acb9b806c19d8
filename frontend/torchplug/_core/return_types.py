"""Tuples with named fields, printed as PyTorch prints those of `torch.return_types`: what max, sort, svd, ... return."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any

__all__ = ["RETURN_TYPES", "return_type"]

RETURN_TYPES: dict[str, type] = {}
"""Every named result by the name of its function."""


class _Fields(tuple[Any, ...]):
    """A tuple whose class names its places; made from one sequence, as CPython's struct sequences are."""

    __slots__ = ()
    fields: tuple[str, ...] = ()

    def __new__(cls, values: Iterable[Any]) -> _Fields:
        made = tuple.__new__(cls, values)
        if len(made) != len(cls.fields):
            raise TypeError(
                f"torch.return_types.{cls.__name__}() takes a {len(cls.fields)}-sequence ({len(made)}-sequence given)"
            )
        return made

    def __repr__(self) -> str:
        shown = ",\n".join(f"{name}={value!r}" for name, value in zip(self.fields, self, strict=True))
        return f"torch.return_types.{type(self).__name__}(\n{shown})"

    def __reduce__(self) -> tuple[Any, tuple[tuple[Any, ...]]]:
        return type(self), (tuple(self),)


def return_type(name: str, *fields: str) -> type[Any]:
    """Returns the class of a function's named results, making it at the first call."""
    found = RETURN_TYPES.get(name)
    if found is None:
        members: dict[str, Any] = {field: property(itemgetter(place)) for place, field in enumerate(fields)}
        members |= {
            "fields": fields,
            "__slots__": (),
            "__module__": "torchplug.return_types",
            "n_fields": len(fields),
            "n_sequence_fields": len(fields),
            "n_unnamed_fields": 0,
        }
        found = RETURN_TYPES[name] = type(name, (_Fields,), members)
    return found
