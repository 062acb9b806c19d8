"""Compiled programs on disk: in a folder of the user's own, or nowhere."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

pytest.importorskip("jax")

from torchplug_jax.cache import cache_folder

posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="this system has no modes of folders")


@posix
def test_the_folder_is_private(tmp_path, monkeypatch):
    monkeypatch.delenv("TORCHPLUG_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    folder = cache_folder()
    assert folder.parent == tmp_path / "home" / "torchplug"
    assert [stat.S_IMODE(part.stat().st_mode) for part in (folder, folder.parent)] == [0o700, 0o700]
    assert cache_folder() == folder


@posix
def test_a_folder_that_others_may_enter_is_not_used(tmp_path, monkeypatch):
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    open_folder.chmod(0o755)
    monkeypatch.setenv("TORCHPLUG_CACHE", str(open_folder))
    with pytest.warns(UserWarning, match="can be entered by others"):
        assert cache_folder() is None


@posix
def test_a_link_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "there")
    monkeypatch.setenv("TORCHPLUG_CACHE", str(tmp_path / "link"))
    with pytest.warns(UserWarning, match="is no folder"):
        assert cache_folder() is None


_PROGRAM = """
import jax, torchplug as torch
torch.set_backend("jax")
torch.backends.status("jax")
import torchplug_jax.cache as cache
cache._SHORTEST = 0.0
run = torch.compile(lambda x: (x @ x).tanh().sum())
for _ in range(3):
    run(torch.ones(64, 64))
print(jax.config.jax_compilation_cache_dir)
"""


@pytest.mark.parametrize("setting", ("own", "0", "the user's"))
def test_a_second_process_finds_the_programs_of_the_first(tmp_path, setting):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment = {
        **inherited,
        "JAX_PLATFORMS": "cpu",
        "TORCHPLUG_CACHE": "0" if setting == "0" else str(tmp_path / "own"),
    }
    if setting == "the user's":
        environment["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path / "theirs")
    said = subprocess.run([sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True, check=True)
    folder = said.stdout.strip()
    if setting == "own":
        kept = sorted(os.listdir(folder))
        assert any("step" in name for name in kept)
        subprocess.run([sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, check=True)
        assert [name for name in sorted(os.listdir(folder)) if not name.endswith("-atime")] == [
            name for name in kept if not name.endswith("-atime")
        ]
    else:
        assert folder == ("None" if setting == "0" else str(tmp_path / "theirs"))
        assert not (tmp_path / "own").exists()
