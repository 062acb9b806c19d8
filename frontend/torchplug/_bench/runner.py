"""Runs asv benchmarks in the environment it finds, and reads what they measured."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["BenchError", "Row", "run_suite", "suite_folder"]


_QUICK = ["-a", "rounds=2", "-a", "repeat=3", "-a", "warmup_time=0.05", "-a", "sample_time=0.01"]
"""Few samples, each warm: enough for ratios. asv's own --quick times one cold call."""
_FULL = ["-a", "rounds=4", "-a", "repeat=5", "-a", "warmup_time=0.1", "-a", "sample_time=0.02"]


class BenchError(RuntimeError):
    """The benchmarks cannot be run; the text says why and what to do. `status` is the exit status of the command."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class Row:
    """One measurement: benchmark, its parameters without the backend, and the figure per backend.

    `meaning` names the parameters; `spreads` holds, where samples were taken, the quartiles below and above the figure, their median.
    """

    __slots__ = ("figures", "meaning", "name", "parameters", "spreads", "unit")

    def __init__(self, name: str, parameters: tuple[str, ...], unit: str, meaning: tuple[str, ...] = ()) -> None:
        self.name, self.parameters, self.unit, self.meaning = name, parameters, unit, meaning
        self.figures: dict[str, float] = {}
        self.spreads: dict[str, tuple[float, float]] = {}


def suite_folder() -> Path:
    """Returns the folder of the benchmark suite: `asv_bench` of the clone this package runs from."""
    for parent in Path(__file__).resolve().parents:
        folder = parent / "asv_bench"
        if (folder / "asv.conf.json").is_file():
            return folder
    raise BenchError(
        "the benchmark suite is not installed with the package; run `torchplug bench` from a clone installed with `pip install -e`"
    )


def run_suite(names: Sequence[str], pattern: str, quick: bool) -> list[Row]:
    """Runs the benchmarks whose names match `pattern` for some backends; returns their rows.

    Every benchmark is run in several rounds, each going through all backends, so that a slow minute of the machine
    falls on all of them.
    """
    if importlib.util.find_spec("asv") is None:
        raise BenchError('asv is not installed; `pip install "torchplug[bench]"` brings it')
    folder = suite_folder()
    with tempfile.TemporaryDirectory() as scratch:
        repository, commit = _history(folder, Path(scratch))
        config = _config(folder, Path(scratch), repository)
        # asv keeps its description of the machine in the home folder; here it gets one that goes with the results.
        environment = {
            **os.environ,
            "TORCHPLUG_BENCH": ",".join(names),
            "OMP_NUM_THREADS": "1",
            "HOME": scratch,
            "USERPROFILE": scratch,
        }
        if "PYTHONPATH" in os.environ:
            environment["ASV_PYTHONPATH"] = os.environ["PYTHONPATH"]  # asv drops the other
        asv = [sys.executable, "-m", "asv"]
        subprocess.run(
            [*asv, "machine", "--yes", "--config", str(config)], env=environment, cwd=scratch, capture_output=True
        )
        command = [
            *asv,
            "run",
            "--config",
            str(config),
            "--python=same",
            "--set-commit-hash",
            commit,
            "--bench",
            pattern,
            *(_QUICK if quick else _FULL),
        ]
        done = subprocess.run(command, env=environment, cwd=scratch, capture_output=True, text=True)
        rows = list(_rows(Path(scratch)))
        if not rows:
            raise BenchError(
                f"asv measured nothing (exit status {done.returncode}):\n{(done.stdout + done.stderr)[-2000:]}"
            )
        return rows


def _history(folder: Path, scratch: Path) -> tuple[Path, str]:
    """Returns a git repository and its commit, by which asv names results: the clone's, or an empty one without history."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        if commit:
            return folder.parent, commit
        empty = scratch / "history"
        empty.mkdir()
        _git(empty, "init")
        who = ("-c", "user.name=torchplug", "-c", "user.email=torchplug@localhost")
        _git(empty, *who, "commit", "--allow-empty", "--message", "A folder without history")
        return empty, _git(empty, "rev-parse", "HEAD")
    except FileNotFoundError:
        raise BenchError("asv names its results by git commits, and git is not installed") from None


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True).stdout.strip()


def _config(folder: Path, scratch: Path, repository: Path) -> Path:
    config = {
        "version": 1, "project": "torchplug", "repo": str(repository), "dvcs": "git", "branches": ["HEAD"],
        "environment_type": "existing", "benchmark_dir": str(folder / "benchmarks"), "env_dir": str(scratch / "env"),
        "results_dir": str(scratch / "results"), "html_dir": str(scratch / "html"),
    }  # fmt: skip
    path = scratch / "asv.conf.json"
    path.write_text(json.dumps(config))
    return path


def _rows(scratch: Path) -> Iterator[Row]:
    results = scratch / "results"
    described = json.loads((results / "benchmarks.json").read_text()) if (results / "benchmarks.json").exists() else {}
    for path in results.glob("*/*.json"):
        if path.name == "machine.json":
            continue
        found = json.loads(path.read_text())
        columns = found["result_columns"]
        for name, values in found["results"].items():
            if name in described:
                yield from _rows_of(name, described[name], dict(zip(columns, values, strict=False)))


def _rows_of(name: str, benchmark: dict[str, Any], values: dict[str, Any]) -> Iterator[Row]:
    parameters = values.get("params") or benchmark["params"]
    figures = values["result"] or []
    backend = benchmark["param_names"].index("backend") if "backend" in benchmark["param_names"] else None
    meaning = tuple(name for name in benchmark["param_names"] if name != "backend")
    rows: dict[tuple[str, ...], Row] = {}
    quartiles = zip(values.get("stats_q_25") or [], values.get("stats_q_75") or [], strict=True)
    rest = itertools.chain(quartiles, itertools.repeat((None, None)))
    for choice, figure, (low, high) in zip(itertools.product(*parameters), figures, rest, strict=False):
        plain = [part.strip("'") for part in choice]
        who = plain.pop(backend) if backend is not None else "here"
        row = rows.setdefault(tuple(plain), Row(name, tuple(plain), benchmark["unit"], meaning))
        if figure is not None and figure == figure:
            row.figures[who] = figure
            if low is not None and high is not None:
                row.spreads[who] = low, high
    yield from rows.values()
