"""Plugins that break, hang or crash hurt nobody who did not ask for them, and are named with their cause."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from plugin_folder import PluginFolder, engine

from torchplug_spec import BackendError
from torchplug_spec.registry import Registry

TIMEOUT = 4.0

SEGFAULT = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"
HOSTILE: dict[str, tuple[str, str]] = {
    "import-error": ("from json import no_such_name", "importing it failed: ImportError: cannot import name"),
    "exits": ("raise SystemExit(3)", "importing it failed: SystemExit: 3"),
    "sleeps": ("import time\nwhile True: time.sleep(60)", "it did not load and compute within 4 s and was stopped"),
    "segfaults": (SEGFAULT, "it crashed its process (SIGSEGV: Segmentation fault)"),
    "Bad Name": ("", "the name 'Bad Name' is not valid"),
    "twice": ("", "several distributions offer the name 'twice': dist-twice 1.2, other-twice 1.2"),
    "old": (engine("old", "api_version = 0"), "written for version 0 of the contract, this torchplug speaks version 1"),
    "misspelt": (
        engine("misspelt").replace("def register_backend", "def regster_backend"),
        "unknown hook 'regster_backend' (did you mean 'register_backend'?)",
    ),
    "raises": (engine("raises").replace("register(Engine)", "1 / 0"), "its hook register_backend failed: ZeroDivision"),
    "needs": ("import a_library_you_lack", "ModuleNotFoundError: No module named 'a_library_you_lack'"),
    # Beyond the ten: what else was seen, or is one step worse.
    "vanishes": ("import os\nos._exit(0)", "it ended its process with exit status 0 while it loaded"),
    "base": ("class Odd(BaseException): pass\nraise Odd('no Exception')", "importing it failed: Odd: no Exception"),
    "numpy": ("", "the name 'numpy' belongs to torchplug's own engine, so this plugin is ignored"),
    "wrong-sum": (
        engine("wrong-sum", "def sum(self, x, axis, keepdims):\n    return x.sum() + 1"),
        "a smoke computation on cpu gave",
    ),
    "raises-late": (
        engine("raises-late", "def matmul(self, x, y):\n    raise ValueError('not today')"),
        "a smoke computation failed: ValueError: not today",
    ),
    "lingers": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\nraise OSError('no device')",
        "importing it failed: OSError: no device",
    ),
}


@pytest.fixture
def hostile(plugins: PluginFolder) -> PluginFolder:
    for name, (source, _) in HOSTILE.items():
        plugins.add(name, source, distribution="dist-" + name.lower().replace(" ", "-"))
    plugins.add("twice", distribution="other-twice")
    plugins.add("good")
    plugins.add("crashing-kernels", SEGFAULT, group="extensions")
    return plugins


def test_importing_torchplug_and_computing_imports_no_plugin(hostile: PluginFolder) -> None:
    done = hostile.run("-c", "import torchplug as torch; print((torch.ones(2) + 1).tolist())")
    assert (done.stdout, done.stderr) == ("[2.0, 2.0]\n", "")
    assert hostile.imported() == []


def test_other_backends_work_beside_hostile_ones(hostile: PluginFolder, registry: Registry) -> None:
    assert registry.status("good").state == "available"
    assert type(registry.get("numpy")).__module__.startswith("torchplug_numpy")
    assert hostile.imported() == ["module_dist_good"]


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - {"sleeps", "segfaults", "vanishes", "lingers", "numpy"}))
def test_asking_for_a_broken_backend_raises_one_clear_sentence(
    hostile: PluginFolder, registry: Registry, name: str
) -> None:
    if name in ("wrong-sum", "raises-late"):
        assert registry.status(name).state == "available"  # only a check computes
        return
    with pytest.raises(BackendError) as caught:
        registry.get(name)
    assert "\n" not in str(caught.value)
    if name != "Bad Name":  # it is not a name one could ask for
        assert f"backend '{name}' (dist-{name} 1.2) " in str(caught.value)
        assert HOSTILE[name][1] in str(caught.value)
    assert registry.get("numpy").name == "numpy"


def test_an_unrelated_pytest_run_is_unaffected(hostile: PluginFolder) -> None:
    (hostile.path / "test_unrelated.py").write_text("def test_one():\n    assert 1 + 1 == 2\n")
    done = hostile.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_unrelated.py")
    assert "1 passed" in done.stdout
    assert hostile.imported() == []


def test_the_check_ends_in_time_and_names_each_cause(hostile: PluginFolder) -> None:
    started = time.monotonic()
    done = hostile.run("-c", COMMAND, "--check", "--json", "--timeout", str(TIMEOUT))
    took = time.monotonic() - started
    answer: dict[str, Any] = json.loads(done.stdout)
    rows = [row for row in answer["backends"] if row["distribution"] != "torchplug"]
    causes = {row["name"]: row["reason"] for row in rows if row["state"] == "unavailable"}
    assert {name: cause for name, (_, cause) in HOSTILE.items() if cause not in causes[name]} == {}
    assert [row["state"] for row in rows if row["name"] == "good"] == ["available"]
    assert [row["reason"] for row in answer["extensions"]] == ["it crashed its process (SIGSEGV: Segmentation fault)"]
    assert done.returncode == 1
    processes = len(HOSTILE) + 4
    assert took < TIMEOUT * (processes / 4 + 1)
    assert not still_running(hostile)


def test_a_plain_listing_tries_nobody(hostile: PluginFolder) -> None:
    done = hostile.run("-c", COMMAND)
    assert done.returncode == 0
    assert hostile.imported() == []


COMMAND = """
import argparse, sys
from torchplug.backends_cli import add_arguments, run
parser = argparse.ArgumentParser("torchplug backends")
add_arguments(parser)
sys.exit(run(parser.parse_args(sys.argv[1:])))
"""


def still_running(folder: PluginFolder) -> bool:
    """Returns whether a process that looks for plugins in this folder is left."""
    from pathlib import Path

    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder.path).encode() in process.read_bytes():
                return True
        except OSError:
            continue
    return False
