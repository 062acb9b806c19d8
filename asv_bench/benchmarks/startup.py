"""What it costs to be there: import time and memory after import, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

MODULES = ["torchplug", "numpy"]
_TIME = "import time; t = time.perf_counter(); import {0}; print(time.perf_counter() - t)"
_MEMORY = "import resource, {0}; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"


def _median(program: str, runs: int = 5) -> float:
    found = sorted(
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
        for _ in range(runs)
    )
    return found[len(found) // 2]


class Import:
    """Importing the package."""

    params = [MODULES]
    param_names = ["module"]

    def track_seconds(self, module: str) -> float:
        return _median(_TIME.format(module))

    def track_resident_megabytes(self, module: str) -> float:
        return _median(_MEMORY.format(module))

    track_seconds.unit = "seconds"  # type: ignore[attr-defined]
    track_resident_megabytes.unit = "MB"  # type: ignore[attr-defined]
