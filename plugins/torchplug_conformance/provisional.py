"""New cases are provisional: for the rest of the minor version that brings them their failures cost no level.

The cases that are firm are those that the suite had when the development of this minor version began:
`scripts/record_case_names.py` writes them into `recorded/cases.json`. Without that file, in the first minor version, all are.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torchplug_conformance.parts.recorded import FOLDER

__all__ = ["FILE", "FirmCases", "firm_cases", "grouped"]

FILE = FOLDER / "cases.json"

NUMBERED = re.compile(r"(.*)-(\d+)")


class FirmCases:
    """The names that are firm: `groups` holds, for names that end with a number, how many there are of each."""

    def __init__(self, version: str, groups: Mapping[str, int]) -> None:
        self.version = version
        self.groups = groups

    def __contains__(self, key: str) -> bool:
        if not self.version:
            return True
        found = NUMBERED.fullmatch(key)
        return key in self.groups or (found is not None and int(found[2]) < self.groups.get(found[1], 0))


@functools.cache
def firm_cases() -> FirmCases:
    """Returns the firm cases of this version of the suite."""
    if not FILE.exists():
        return FirmCases("", {})
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return FirmCases(content["version"], content["cases"])


def grouped(keys: Iterable[str]) -> dict[str, int]:
    """Returns names as groups: those that end with numbers 0 to n - 1 become one entry that says n, others say 0."""
    groups: dict[str, int] = {}
    for key in keys:
        found = NUMBERED.fullmatch(key)
        if found is None:
            groups.setdefault(key, 0)
        else:
            groups[found[1]] = max(groups.get(found[1], 0), int(found[2]) + 1)
    return groups
