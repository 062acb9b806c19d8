"""`torchplug new-backend NAME`: writes a complete plugin project around an array library, tests included."""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from pathlib import Path
from typing import NamedTuple

__all__ = ["FILES", "Project", "add_arguments", "run", "written"]

FILES = {
    "pyproject.toml": "pyproject.toml.template",
    "README.md": "README.md.template",
    "measure.py": "measure.py.template",
    "src/{package}/__init__.py": "plugin.py.template",
    "src/{package}/backend.py": "backend.py.template",
    "tests/test_conformance.py": "test_conformance.py.template",
}
"""File of a project -> the template it is written from, a file beside this module."""


class Project(NamedTuple):
    """What tells one project from another: the backend's name, and the module of its array library."""

    name: str
    library: str = "numpy"

    @property
    def distribution(self) -> str:
        return f"torchplug-{self.name.replace('_', '-')}"

    @property
    def package(self) -> str:
        return f"torchplug_{self.name.replace('-', '_')}"

    @property
    def engine(self) -> str:
        """The name of the backend's class."""
        return "".join(word[:1].upper() + word[1:] for word in re.split("[-_]", self.name)) + "Backend"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    parser.add_argument("name", metavar="NAME", help="what users will select the backend by; goes to torchplug-NAME/")
    parser.add_argument(
        "--library", metavar="MODULE", default="numpy", help="the module of the array library (default: numpy)"
    )


def run(args: argparse.Namespace) -> int:
    """Writes the project and returns the exit status: 2 when the name cannot be used, 1 when writing fails."""
    project = Project(args.name, args.library)
    if fault := _fault(project):
        print(f"torchplug new-backend: {fault}", file=sys.stderr)
        return 2
    folder = Path(project.distribution)
    try:
        _write(folder, written(project))
    except OSError as error:
        print(f"torchplug new-backend: cannot write {error.filename or folder}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"wrote {folder}/; now:\n\n    cd {folder}\n    pip install -e '.[test]'\n    pytest")
    return 0


def written(project: Project) -> dict[str, str]:
    """Returns the files of a project: path -> text."""
    from string import Template

    values = {
        "name": project.name,
        "distribution": project.distribution,
        "package": project.package,
        "engine": project.engine,
        "library": project.library,
        "requirement": "numpy>=2.0" if project.library == "numpy" else project.library.partition(".")[0],
    }
    templates = Path(__file__).parent / "backend_project"
    files = {
        path.format(package=project.package): Template((templates / source).read_text("utf-8")).substitute(values)
        for path, source in FILES.items()
    }
    return {**files, f"src/{project.package}/py.typed": ""}


def _fault(project: Project) -> str:
    from torchplug._core.device import DEVICE_TYPES
    from torchplug_spec import registry

    name = project.name
    if re.fullmatch("[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*", name) is None:
        return (
            f"got the name {name!r}, expected lower case letters and digits, the first a letter, parted by '-' or '_'"
        )
    if name in DEVICE_TYPES:
        return f"the name '{name}' is taken: it is a type of device"
    if name in registry.names():
        return f"the name '{name}' is taken: torchplug backends {name} says by whom"
    if importlib.util.find_spec(project.package) is not None:
        return f"the name '{name}' is taken: there is a module {project.package} already"
    if not all(part.isidentifier() for part in project.library.split(".")):
        return f"got the library {project.library!r}, expected the name of a module"
    if Path(project.distribution).exists():
        return f"{project.distribution} exists already; move it away or choose another name"
    return ""


def _write(folder: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8", newline="\n")
