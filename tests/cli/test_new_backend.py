"""`torchplug new-backend`: what it writes works at once, is what the template shares, and bad names are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from torchplug.cli import main
from torchplug.cli.new_backend import Project, written

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "plugins"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def installed(project: Path, name: str) -> dict[str, str]:
    """Returns an environment in which a written project is installed: its sources, and the metadata pip would write."""
    package = f"torchplug_{name}"
    metadata = project / "src" / f"{package}-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torchplug-{name}\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[torchplug.backends]\n{name} = {package}:plugin\n")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TORCHPLUG")}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(project / "src"), *filter(None, sys.path)])}


def test_the_first_test_run_of_a_new_project_passes_level_1(folder: Path) -> None:
    assert main(["new-backend", "afternoon"]) == 0
    project = folder / "torchplug-afternoon"
    environment = installed(project, "afternoon")
    suite = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(suite, cwd=project, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_a_new_project_measures_its_kernel_beside_the_composition(folder: Path) -> None:
    assert main(["new-backend", "afternoon"]) == 0
    project = folder / "torchplug-afternoon"
    measure = [sys.executable, "measure.py", "softmax", "1", "--size", "8"]
    done = subprocess.run(
        measure,
        cwd=project,
        env=installed(project, "afternoon"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("softmax: own ")


def test_the_template_shares_all_but_its_engine_with_a_new_project() -> None:
    own = {"README.md", "src/torchplug_template/backend.py"}
    for path, text in written(Project("template")).items():
        if path not in own:
            assert (PLUGINS / "template-backend" / path).read_text("utf-8") == text, path


@pytest.mark.parametrize(("name", "library"), [("array-api-strict", "array_api_strict"), ("mlx", "mlx.core")])
def test_our_plugins_are_small_and_tested_as_new_projects_are(name: str, library: str) -> None:
    project = Project(name, library)
    folder = PLUGINS / project.distribution
    sources = sorted((folder / "src" / project.package).glob("*.py"))
    assert sum(len(path.read_text("utf-8").splitlines()) for path in sources) <= 120
    test = "tests/test_conformance.py"
    engine = (folder / test).read_text("utf-8").partition(f"from {project.package} import ")[2].split()[0]
    expected = written(project)[test].replace(project.engine, engine).replace("LEVEL = 1", "LEVEL = 4")
    assert (folder / test).read_text("utf-8") == expected


def test_names_follow_from_the_backends_name() -> None:
    project = Project("my-array_lib", "my.array")
    assert project.distribution == "torchplug-my-array-lib"
    assert project.package == "torchplug_my_array_lib"
    assert project.engine == "MyArrayLibBackend"
    assert 'dependencies = ["my", "torchplug"]' in written(project)["pyproject.toml"]


def test_every_python_file_of_a_new_project_compiles() -> None:
    for path, text in written(Project("afternoon", "mlx.core")).items():
        assert "$" not in text, path
        if path.endswith(".py"):
            compile(text, path, "exec")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["Foo"], "got the name 'Foo', expected lower case letters"),
        (["3d"], "got the name '3d', expected lower case letters"),
        (["a b"], "got the name 'a b', expected lower case letters"),
        (["../up"], "got the name '../up', expected lower case letters"),
        (["numpy"], "the name 'numpy' is taken: torchplug backends numpy"),
        (["cupy"], "the name 'cupy' is taken: torchplug backends cupy"),
        (["cpu"], "the name 'cpu' is taken: it is a type of device"),
        (["spec"], "the name 'spec' is taken: there is a module torchplug_spec"),
        (["fine", "--library", "not-a-module"], "got the library 'not-a-module', expected the name of a module"),
    ],
)
def test_a_name_that_cannot_be_used_gets_one_sentence(
    arguments: list[str], reason: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new-backend", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"torchplug new-backend: {reason}")
    assert not list(folder.iterdir())


def test_a_folder_that_exists_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "torchplug-mine").mkdir()
    assert main(["new-backend", "mine"]) == 2
    assert capsys.readouterr().err.startswith("torchplug new-backend: torchplug-mine exists already")
    assert not list((folder / "torchplug-mine").iterdir())


def test_a_folder_that_cannot_be_written_ends_with_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Path, *arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    assert main(["new-backend", "mine"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("torchplug new-backend: cannot write ") and line.endswith(": No space left on device")
