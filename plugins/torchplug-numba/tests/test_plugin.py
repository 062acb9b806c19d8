"""The plugin is found, used where it is selected and nowhere else, and keeps machine code in a folder of the user's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torchplug
from torchplug_spec import registry

from torchplug_numba import threads

RUN = "import numpy, torchplug, torchplug.nn.functional as F; F.gelu(torchplug.tensor(numpy.ones(8, 'f')))"


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TORCHPLUG", "NUMBA"))}
    return subprocess.run(
        [sys.executable, "-c", program], env={**kept, **environment}, capture_output=True, text=True, check=False
    )


def test_the_installed_plugin_is_found_by_its_name() -> None:
    status = registry.extension("numba")
    assert (status.distribution, status.state) == ("torchplug-numba", "available")
    assert "numpy:softmax" in status.kernels


def test_nobody_imports_it_before_it_is_selected(tmp_path: Path) -> None:
    program = f"{RUN}; import sys; print('numba' in sys.modules, 'torchplug_numba' in sys.modules)"
    assert python(program).stdout.split() == ["False", "False"]
    assert python(program, TORCHPLUG_PLUGINS="numba", XDG_CACHE_HOME=str(tmp_path)).stdout.split() == ["True", "True"]
    assert python(program, TORCHPLUG_BACKEND="numpy+numba", XDG_CACHE_HOME=str(tmp_path)).stdout.split()[0] == "True"


def test_the_engine_with_the_plugin_and_the_one_without_live_side_by_side() -> None:
    kernels = {}
    for name in ("numpy", "numpy+numba"):
        with torchplug.use_backend(name):
            x = torchplug.ones(2, 3)
            kernels[name] = x._kind.F.softmax
            assert torchplug.softmax(x, 1).device == x.device
    assert kernels["numpy"] is not kernels["numpy+numba"]


def test_the_number_of_threads_is_torchplugs() -> None:
    before = torchplug.get_num_threads()
    try:
        torchplug.set_num_threads(3)
        assert threads._count == 3
    finally:
        torchplug.set_num_threads(before)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize(("variable", "below"), [("XDG_CACHE_HOME", "torchplug/numba"), ("NUMBA_CACHE_DIR", "")])
def test_machine_code_is_kept_in_a_folder_of_the_users_own(tmp_path: Path, variable: str, below: str) -> None:
    done = python(RUN, TORCHPLUG_PLUGINS="numba", **{variable: str(tmp_path)})
    assert done.returncode == 0, done.stderr
    folders = list((tmp_path / below).iterdir())
    assert [folder.stat().st_mode & 0o077 for folder in folders] == [0]
    assert list(folders[0].rglob("*.nbc"))


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_folder_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    assert python(RUN, TORCHPLUG_PLUGINS="numba", XDG_CACHE_HOME=str(tmp_path)).returncode == 0
    (folder,) = (tmp_path / "torchplug" / "numba").iterdir()
    for file in [*folder.rglob("*.nb?")]:
        file.unlink()
    folder.chmod(0o777)
    done = python(RUN, TORCHPLUG_PLUGINS="numba", XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "can be written by others, who could plant code in it" in done.stderr
    assert not list(folder.rglob("*.nb?"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_computes_with_threads_of_its_own(tmp_path: Path) -> None:
    program = """
import os, numpy, torchplug as torch
torch.set_num_threads(2)
x = torch.tensor(numpy.ones((512, 512), "f"))
torch.softmax(x, 1)
child = os.fork()
if not child:
    os._exit(int(torch.softmax(x, 1).sum().item()) != 512)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = python(program, TORCHPLUG_PLUGINS="numba", XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
