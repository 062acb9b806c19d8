"""`torchplug doctor`: what there is on this machine, and what is wrong with it."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from torchplug_spec import probe, registry
from torchplug_spec.status import BackendStatus, ExtensionStatus

__all__ = ["Diagnosis", "diagnose"]

_PACKAGES = ("torchplug", "numpy", "ml-dtypes", "pluggy", "safetensors", "jax", "jaxlib")
_CUPY = re.compile(r"cupy(-cuda\d+x|-rocm-[\d-]+)?")
_JAX_PLUGIN = re.compile(r"jax-(cuda|rocm)\d*-(plugin|pjrt)")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "XLA_FLAGS")
_OPENBLAS = {
    "OPENBLAS_CORETYPE": "it makes OpenBLAS use the kernels of that processor, whatever this one can do (Haswell halves "
    "NumPy's matrix products on processors with AVX-512)",
    "OPENBLAS_L2_SIZE": "it makes OpenBLAS cut matrices for a cache of that size, whatever this processor has",
}


class Diagnosis:
    """What `torchplug doctor` found.

    `facts`: sections of plain values (engines, versions, threads, blas, caches, environment). `problems`: what keeps programs
    from running, `warnings`: what makes them slow or surprising, a sentence each with its remedy. `ok`: there are no problems.
    """

    def __init__(self, facts: dict[str, Any], problems: list[str], warnings: list[str]) -> None:
        self.facts = facts
        self.problems = problems
        self.warnings = warnings

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it as what JSON can hold."""
        return {"ok": self.ok, "problems": self.problems, "warnings": self.warnings, **self.facts}

    def __repr__(self) -> str:
        lines: list[str] = []
        for title, facts in self.facts.items():
            lines += [title, *_indented(facts), ""]
        for title, found in (("problems", self.problems), ("warnings", self.warnings)):
            lines += [title, *(f"  {said}" for said in found or ["none"]), ""]
        return "\n".join(lines[:-1])


def diagnose(timeout: float = probe.TIMEOUT, environment: Mapping[str, str] | None = None) -> Diagnosis:
    """Looks at engines (each loaded in a process of its own, given `timeout` seconds), packages, threads, BLAS and caches.

    `environment`: the variables to judge, this process's if None.
    """
    variables = os.environ if environment is None else environment
    installed = dict(_installed())
    rows = probe.check([*registry.listing(), *registry.extensions()], timeout)
    blas = _blas()
    caches = _caches(variables)
    facts = {
        "versions": {"python": platform.python_version(), "platform": platform.platform()}
        | {name: installed[name] for name in (*_PACKAGES, *filter(_CUPY.fullmatch, installed)) if name in installed},
        "engines": {row.name: _engine(row) for row in rows if isinstance(row, BackendStatus)},
        "plugins": {row.name: row._asdict() for row in rows if isinstance(row, ExtensionStatus)},
        "threads": _threads(variables),
        "blas": blas,
        "caches": caches,
        "environment": {name: variables[name] for name in sorted(variables) if name.startswith("TORCHPLUG_")},
    }
    problems = [*_conflicts(installed), *_broken(rows, variables)]
    return Diagnosis(facts, problems, [*_slow_blas(blas, variables), *_too_many_threads(variables), *_unsafe(caches)])


# ---- facts -------------------------------------------------------------------------------------------------------------


def _installed() -> Iterator[tuple[str, str]]:
    for found in metadata.distributions():
        name = found.metadata["Name"]
        if name:
            yield re.sub(r"[-_.]+", "-", name).lower(), found.version


def _engine(row: BackendStatus) -> dict[str, Any]:
    facts: dict[str, Any] = {"state": row.state, "default": row.name == registry.default_name()}
    facts |= {"version": f"{row.distribution} {row.version}".strip()}
    if row.state == "available":
        return facts | {"devices": list(row.devices), "capabilities": list(row.capabilities)}
    return facts | {"reason": row.reason, "remedy": "" if row.remedy in row.reason else row.remedy}


def _threads(variables: Mapping[str, str]) -> dict[str, Any]:
    from torchplug._core.threads import get_num_threads

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    facts: dict[str, Any] = {"processors": os.cpu_count(), "usable": usable, "used for one op": get_num_threads()}
    return facts | {name: variables[name] for name in _THREADS if name in variables}


def _blas() -> dict[str, Any]:
    """Returns what NumPy says of its BLAS; little where it was built without saying."""
    import numpy as np

    try:
        built: Any = np.show_config(mode="dicts")
    except (TypeError, ValueError):
        return {"name": "unknown"}
    found = built.get("Build Dependencies", {}).get("blas", {})
    facts = {"name": found.get("name", "unknown"), "version": found.get("version", "unknown")}
    if found.get("openblas configuration"):
        facts["configuration"] = " ".join(found["openblas configuration"].split())
    return facts | {"vector instructions": list(built.get("SIMD Extensions", {}).get("found", ()))}


def _caches(variables: Mapping[str, str]) -> dict[str, Any]:
    """Returns the folders where engines keep compiled code: path, size in bytes, and whether they can be used."""
    home = Path(variables.get("HOME") or "~").expanduser()
    folders = {
        "jax": variables.get("JAX_COMPILATION_CACHE_DIR"),
        "cupy": variables.get("CUPY_CACHE_DIR") or str(home / ".cupy" / "kernel_cache"),
        "cuda": variables.get("CUDA_CACHE_PATH") or str(home / ".nv" / "ComputeCache"),
    }
    return {name: _folder(Path(path)) if path else {"path": None, "exists": False} for name, path in folders.items()}


def _folder(path: Path) -> dict[str, Any]:
    try:
        mode = path.stat().st_mode
    except OSError:
        return {"path": str(path), "exists": False}
    size = sum(_size(file) for file in path.rglob("*"))
    return {
        "path": str(path),
        "exists": True,
        "bytes": size,
        "writable": os.access(path, os.W_OK),
        "others may write": bool(mode & 0o022) and os.name == "posix",
    }


def _size(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except OSError:  # gone since it was listed
        return 0


# ---- what is wrong -----------------------------------------------------------------------------------------------------


def _conflicts(installed: Mapping[str, str]) -> Iterator[str]:
    wheels = sorted(f"{name} {version}" for name, version in installed.items() if _CUPY.fullmatch(name))
    if len(wheels) > 1:
        yield (
            f"{' and '.join(wheels)} are installed side by side and overwrite each other's files; uninstall all of them, "
            "then install the one for the CUDA of this machine"
        )
    jax, lib = installed.get("jax"), installed.get("jaxlib")
    if jax and lib and _numbers(lib) > _numbers(jax):
        yield f"jaxlib {lib} is newer than jax {jax}, which cannot use it; pip install --upgrade jax"
    for name, version in installed.items():
        if lib and _JAX_PLUGIN.match(name) and _numbers(version) != _numbers(lib):
            yield f"{name} {version} does not belong to jaxlib {lib}; pip install '{name}=={lib}'"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _broken(rows: Iterable[BackendStatus | ExtensionStatus], variables: Mapping[str, str]) -> Iterator[str]:
    """Yields engines that somebody wants and cannot use; that an engine of ours lacks its library is no problem."""
    default = registry.default_name()
    names = set()
    for row in rows:
        names.add(row.name)
        if row.state in ("absent", "unavailable") and (
            row.name == default or (row.state == "unavailable" and row.distribution not in ("torchplug", ""))
        ):
            remedy = f"; {row.remedy}" if row.remedy and row.remedy not in row.reason else ""
            role = "the default backend" if row.name == default else "the plugin"
            yield f"{role} '{row.name}' cannot be used: {row.reason or row.state}{remedy}"
    if default not in names:
        yield f"the default backend '{default}' (TORCHPLUG_BACKEND) is not installed; `torchplug backends` lists what is"
    for plugin in registry.default_plugins():
        if plugin not in names:
            yield f"the plugin '{plugin}' (TORCHPLUG_BACKEND) is not installed; `torchplug backends` lists what is"


def _slow_blas(blas: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[str]:
    if "openblas" in str(blas["name"]).lower():
        for name, effect in _OPENBLAS.items():
            if variables.get(name):
                yield f"{name}={variables[name]} is set: {effect}; unset it, unless it is there on purpose"


def _too_many_threads(variables: Mapping[str, str]) -> Iterator[str]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        said = variables.get(name, "")
        if said.isdigit() and int(said) > usable:
            yield f"{name}={said} asks for more threads than the {usable} processors this process may use; lower it"


def _unsafe(caches: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, folder in caches.items():
        if folder.get("exists") and not folder["writable"]:
            yield f"the cache of {name} in {folder['path']} cannot be written: code is compiled anew in every process"
        if folder.get("others may write"):
            yield f"the cache of {name} in {folder['path']} can be written by others, who could plant code: chmod go-w it"


# ---- as text -----------------------------------------------------------------------------------------------------------


def _indented(facts: Any) -> list[str]:
    if not facts:
        return ["  none"]
    width = max(len(name) for name in facts) + 2
    return [f"  {name:{width}}{_said(value)}".rstrip() for name, value in facts.items()]


def _said(value: Any) -> str:
    if isinstance(value, dict):
        if "exists" in value:
            value = (
                value
                if value["exists"]
                else {"path": value["path"] or "off", "not there yet": value["path"] is not None}
            )
        return ", ".join(_fact(name, item) for name, item in value.items() if item not in (None, "", False, [], ()))
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    return str(value)


def _fact(name: str, value: Any) -> str:
    if name in ("state", "version", "path", "reason", "distribution"):
        return _said(value)
    return name if value is True else f"{name}: {_said(value)}"
