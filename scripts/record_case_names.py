#!/usr/bin/env python3
"""Records the names of all cases of the suite: plugins/torchplug_conformance/recorded/cases.json.

Run it once, when the development of a new minor version begins, before the version is raised and a case is added: what is
not in the file is provisional until the next minor version.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("frontend", "backends", "plugins")]

ENGINES = ("numpy", "strict")
"""Engines that between them have every capability, and so every case."""


def main() -> None:
    import torchplug
    from torchplug_conformance.cases import PARTS, Subject, cases_of
    from torchplug_conformance.provisional import FILE, grouped

    keys = [case.key for engine in ENGINES for part in PARTS for case in cases_of(part, Subject(engine))]
    minor = ".".join(torchplug.__version__.split(".")[:2])
    rows = [f"{json.dumps(key)}: {count}" for key, count in sorted(grouped(keys).items())]
    FILE.write_text(f'{{"version": "{minor}", "cases": {{\n' + ",\n".join(rows) + "\n}}\n", encoding="utf-8")
    print(f"{FILE.name}: {len(set(keys))} cases of {minor} in {len(rows)} rows")


if __name__ == "__main__":
    main()
