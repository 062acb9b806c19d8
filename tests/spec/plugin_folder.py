"""Plugins made of a module and a dist-info folder, on a temporary import path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ENGINE = """
import numpy
from torchplug_spec import ArrayAPIBackend
from torchplug_spec.hookspecs import hookimpl

class Engine(ArrayAPIBackend):
    name = {name!r}
    xp = numpy
    capabilities = frozenset({{"float64"}})
{body}
class Plugin:
    @hookimpl
    def register_backend(self, register):
        register(Engine)

plugin = Plugin()
"""


class PluginFolder:
    """A folder on the import path; each plugin leaves a file `imported-<module>` beside it when it is imported."""

    def __init__(self, path: Path, python: str = sys.executable) -> None:
        self.path = path
        self.python = python

    def add(
        self, name: str, source: str = "", *, distribution: str = "", version: str = "1.2", group: str = "backends",
        module: str = "", attribute: str = "plugin",
    ) -> None:  # fmt: skip
        """Installs a plugin of this entry-point name whose module has this source (default: an engine that works)."""
        distribution = distribution or f"dist-{name}"
        module = module or "module_" + "".join(letter if letter.isalnum() else "_" for letter in distribution)
        mark = f"open({str(self.path / f'imported-{module}')!r}, 'w').close()\n"
        (self.path / f"{module}.py").write_text(mark + (source or engine(name)))
        self.add_metadata(distribution, f"[torchplug.{group}]\n{name} = {module}:{attribute}\n", version)

    def add_metadata(self, distribution: str, entry_points: str, version: str = "1.2") -> None:
        """Installs a distribution that has metadata and nothing else."""
        folder = self.path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (folder / "entry_points.txt").write_text(entry_points)

    def imported(self) -> list[str]:
        """Returns the modules of plugins that were imported, by any process."""
        return sorted(path.name.removeprefix("imported-") for path in self.path.glob("imported-*"))

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs Python with this folder on its path."""
        roots = [str(self.path), *filter(None, sys.path)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TORCHPLUG")}
        return subprocess.run(
            [self.python, *arguments],
            env={**kept, "PYTHONPATH": os.pathsep.join(roots), **environment},
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def scratch_environment(folder: Path) -> PluginFolder:
    """Returns the site-packages of a new Python environment in `folder`; its `run` runs that environment's Python."""
    import venv

    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    found = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    return PluginFolder(Path(found), str(python))


def engine(name: str, body: str = "") -> str:
    """Returns the source of a plugin with a working engine of this name; `body` is put into the class."""
    return ENGINE.format(name=name, body="".join(f"    {line}\n" for line in body.splitlines()))
