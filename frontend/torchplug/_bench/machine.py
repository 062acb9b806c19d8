"""What a measurement was made on: processor, threads, versions."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata

__all__ = ["facts"]

_PACKAGES = ("torchplug", "numpy", "jax", "jaxlib", "cupy", "numba", "torch", "autograd", "asv")


def facts() -> dict[str, str]:
    """Returns the facts to keep beside figures, by name."""
    found = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads per engine": "1",
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "BLAS of NumPy": _blas(),
    }
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _blas() -> str:
    import numpy

    built = numpy.show_config(mode="dicts")
    blas = built.get("Build Dependencies", {}).get("blas", {}) if isinstance(built, dict) else {}
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
