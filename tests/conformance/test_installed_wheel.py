"""The suite as it is installed: from a wheel, in any folder, without PyTorch, without the clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {ROOT / name for name in ("frontend", "backends", "plugins")}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A Python that has torchplug from its wheel and, of this machine's packages, all but PyTorch and the clone."""
    wheel_builder = pytest.importorskip("hatchling.builders.wheel", reason="building a wheel needs hatchling")
    folder = tmp_path_factory.mktemp("installed")
    builder = wheel_builder.WheelBuilder(str(ROOT))
    (wheel,) = builder.build(directory=str(folder / "dist"), versions=["standard"])
    venv.create(folder / "environment", with_pip=False, symlinks=os.name != "nt")
    (packages,) = (folder / "environment").glob("**/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    others = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    # In a .pth file these come after the wheel's own packages, and their editable installs of this clone do not count.
    (packages / "others.pth").write_text("\n".join(others))
    (packages / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    (interpreter,) = (folder / "environment").glob("**/python.exe" if os.name == "nt" else "bin/python")
    return [str(interpreter)]


def run(python: list[str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TORCHPLUG"))}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [*python, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_the_packages_are_the_wheels(python: list[str], tmp_path: Path) -> None:
    program = "import torchplug, torchplug_conformance, torchplug_spec as s; print(torchplug.__file__, s.__file__)"
    done = run(python, tmp_path, "-c", program)
    assert done.returncode == 0, done.stderr
    assert not any(str(source) in done.stdout for source in SOURCES)


def test_the_command_runs_from_any_folder(python: list[str], tmp_path: Path) -> None:
    arguments = ("-k", "files or (contract and bool)", "--level", "2", "--json", "report.json", "--html", "report.html")
    done = run(python, tmp_path, "-m", "torchplug", "conformance", "numpy", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["backend"], report["level"], report["failures"]) == ("numpy", 2, [])
    assert (tmp_path / "report.html").is_file()


def test_pytest_runs_it_by_the_packages_name(python: list[str], tmp_path: Path) -> None:
    options = ("-p", "torchplug_conformance.pytest_plugin", "-p", "no:cacheprovider", "-q")
    suite = ("--pyargs", "torchplug_conformance", "--torchplug-backend", "strict", "-k", "files")
    done = run(python, tmp_path, "-m", "pytest", *options, *suite)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torchplug conformance of 'strict'" in done.stdout
    assert "read-what-pytorch-saved" not in done.stderr
