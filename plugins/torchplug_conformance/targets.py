"""The files a conformance run writes: named before it starts, checked at once, written when it ends."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torchplug_conformance.goals import add_to_file, file_fault

if TYPE_CHECKING:
    from torchplug_conformance.report import Report

__all__ = ["KINDS", "target_fault", "write"]

KINDS = {
    "json": "write the report as JSON here",
    "html": "write the report as one HTML page here",
    "badge": "write an SVG picture with the level here",
    "goals": "add what the run measured of the project's goals to this JSON file",
}
"""Kind of file -> what the option of its name does."""


WHOLE = {"badge": "a badge needs a run", "goals": "goals are measured by a run"}
"""Kinds that only a run of all cases can write, and how that is said."""


def target_fault(targets: Mapping[str, str], selection: str = "") -> str:
    """Returns why the files, kind -> path, cannot be written, or "". Nothing is created."""
    for kind in ("badge", "goals"):
        if selection and kind in targets:
            return f"{WHOLE[kind]} of all cases, but '{selection}' chooses some; leave out one of the two"
    seen: dict[str, str] = {}
    for kind, target in targets.items():
        path = os.path.realpath(target)
        if path in seen:
            return f"cannot write {target} twice: it is named for the {seen[path]} and for the {kind}"
        seen[path] = kind
        if fault := _path_fault(target) or (file_fault(target) if kind == "goals" else ""):
            return fault
    return ""


def _path_fault(target: str) -> str:
    path = Path(target)
    folder = path.absolute().parent
    if not folder.is_dir():
        return f"cannot write {target}: the folder {folder} does not exist"
    if path.is_dir():
        return f"cannot write {target}: it is a folder"
    if not os.access(path if path.exists() else folder, os.W_OK):
        return f"cannot write {target}: no permission"
    return ""


def write(report: Report, targets: Mapping[str, str]) -> list[str]:
    """Writes the files of a report and returns a sentence for each that could not be written."""
    faults = []
    for kind, target in targets.items():
        if kind in WHOLE and report.stopped:
            faults.append(f"no {kind} in {target}: the run stopped before its end")
            continue
        try:
            if kind == "goals":
                add_to_file(target, report.goals())
            else:
                Path(target).write_text(_text(kind, report), encoding="utf-8")
        except OSError as error:
            faults.append(f"cannot write {target}: {error.strerror or error}")
    return faults


def _text(kind: str, report: Report) -> str:
    import json

    from torchplug_conformance.badge import badge
    from torchplug_conformance.page import page

    if kind == "badge":
        return badge(report.level)
    content = report.as_json()
    return page(content) if kind == "html" else json.dumps(content, indent=1) + "\n"
