"""The examples run, and come to the results they are shown for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(folder: Path, name: str, *arguments: str) -> str:
    path = os.pathsep.join(
        [*(str(ROOT / part) for part in ("frontend", "backends", "plugins")), os.environ.get("PYTHONPATH", "")]
    )
    environment = {**os.environ, "PYTHONPATH": path, "TORCHPLUG_DISABLE_BACKENDS": "jax,cupy"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_line_is_found(tmp_path: Path) -> None:
    assert run(tmp_path, "linear_regression.py").splitlines()[-1] == "y = 3.00 x -2.00"


def test_digits_are_learned_and_saved(tmp_path: Path) -> None:
    found = re.findall(r"test accuracy (\d+\.\d+)%", run(tmp_path, "digits.py", "--epochs", "4"))
    assert float(found[-1]) > 90
    assert (tmp_path / "digits.pt").is_file()


def test_workers_read_a_data_set_of_ones_own(tmp_path: Path) -> None:
    assert run(tmp_path, "own_dataset.py").splitlines()[-1] == "test accuracy 100.0%"


def test_every_backend_takes_the_same_steps(tmp_path: Path) -> None:
    rows = [line.split() for line in run(tmp_path, "compiled_step.py").splitlines()[1:]]
    assert {row[0] for row in rows} >= {"numpy", "strict"} and {row[1] for row in rows} == {"plain", "compiled"}
    assert len({row[2] for row in rows}) == 1


def test_every_example_is_listed() -> None:
    listed = re.findall(r"^\| \[(.+?)\]", (ROOT / "examples" / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("name", ["linear_regression.py", "own_dataset.py"])
def test_the_same_program_runs_on_pytorch_with_the_same_numbers(tmp_path: Path, name: str) -> None:
    pytest.importorskip("torch")
    source = (ROOT / "examples" / name).read_text()
    (tmp_path / name).write_text(
        re.sub(r"\btorchplug\b", "torch", source.replace("import torchplug as torch", "import torch"))
    )
    done = subprocess.run([sys.executable, name], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    ours, theirs = (re.findall(r"-?\d+\.\d+|\d+", text) for text in (run(tmp_path, name), done.stdout))
    assert [float(number) for number in ours] == pytest.approx([float(number) for number in theirs], abs=2e-3)
