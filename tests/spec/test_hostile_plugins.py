"""Plugins that break, hang or crash hurt nobody who did not ask for them, and are named with their cause."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plugin_folder import PluginFolder, engine, scratch_environment

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


THE_TEN = (
    "import-error", "exits", "sleeps", "segfaults", "Bad Name", "twice", "old", "misspelt", "raises", "needs",
)  # fmt: skip
"""The plugins that no installation may suffer from; the others are beyond what was promised."""


def install_all(folder: PluginFolder) -> PluginFolder:
    """Puts every hostile plugin, and a good one, into a folder."""
    for name, (source, _) in HOSTILE.items():
        folder.add(name, source, distribution="dist-" + name.lower().replace(" ", "-"))
    folder.add("twice", distribution="other-twice")
    folder.add("good")
    folder.add("crashing-kernels", SEGFAULT, group="extensions")
    return folder


@pytest.fixture
def hostile(plugins: PluginFolder) -> PluginFolder:
    """All of them on the path of this process."""
    return install_all(plugins)


@pytest.fixture
def scratch(tmp_path: Path) -> PluginFolder:
    """All of them installed in an environment of their own, with the pytest plugin of the conformance suite."""
    folder = install_all(scratch_environment(tmp_path / "environment"))
    folder.add_metadata("suite", "[pytest11]\ntorchplug_conformance = torchplug_conformance.pytest_plugin\n")
    return folder


def test_the_ten_are_there() -> None:
    assert set(THE_TEN) <= HOSTILE.keys()


def test_importing_torchplug_and_computing_imports_no_plugin(scratch: PluginFolder, goal: Callable[..., None]) -> None:
    done = scratch.run("-c", "import torchplug as torch; print((torch.ones(2) + 1).tolist())")
    goal(10, "hostile plugins that `import torchplug` touches", 0, len(scratch.imported()), at_most=True)
    assert (done.stdout, done.stderr) == ("[2.0, 2.0]\n", "")
    assert scratch.imported() == []


def test_other_backends_work_beside_hostile_ones(hostile: PluginFolder, registry: Registry) -> None:
    assert registry.status("good").state == "available"
    assert type(registry.get("numpy")).__module__.startswith("torchplug_numpy")
    assert hostile.imported() == ["module_dist_good"]


@pytest.mark.parametrize("name", ["numpy", "strict", "good"])
def test_another_engine_computes_beside_hostile_ones(
    scratch: PluginFolder, name: str, goal: Callable[..., None]
) -> None:
    goal(10, "other backends compute beside hostile plugins", 3)
    program = (
        "import torchplug as torch\n"
        f"with torch.use_backend({name!r}):\n"
        "    x = torch.ones(2, 2, requires_grad=True)\n"
        "    (x @ x).sum().backward()\n"
        "    print(x.grad.tolist())\n"
    )
    done = scratch.run("-c", program)
    assert (done.stdout, done.stderr) == ("[[4.0, 4.0], [4.0, 4.0]]\n", "")
    assert scratch.imported() == (["module_dist_good"] if name == "good" else [])


def test_asking_what_is_available_ends_in_time_and_finds_the_others(scratch: PluginFolder) -> None:
    program = (
        "import sys\nfrom torchplug_spec import probe\n"
        f"states = probe.statuses(timeout={TIMEOUT})\n"
        "print(' '.join(row.name for row in states if row.state == 'available'))\n"
        "print(sorted(name for name in sys.modules if name.startswith('module_')))\n"
    )
    done = scratch.run("-c", program)
    names, imported = done.stdout.splitlines()
    assert {"good", "numpy", "strict"} <= set(names.split())
    assert len(names.split()) == len(set(names.split()))
    assert not set(names.split()) & (set(THE_TEN) | {"wrong-sum", "raises-late"})
    assert imported == "[]"


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


def test_an_unrelated_pytest_run_is_unaffected(scratch: PluginFolder, goal: Callable[..., None]) -> None:
    goal(10, "unrelated pytest runs beside hostile plugins are unaffected", 1)
    with_suite, without_suite = unrelated_run(scratch), unrelated_run(scratch, "-p", "no:torchplug_conformance")
    assert with_suite - without_suite == {"torchplug_conformance", "torchplug_conformance.pytest_plugin"}
    assert not without_suite & {"torchplug", "torchplug_spec", "torchplug_conformance", "numpy"}
    assert scratch.imported() == []


def unrelated_run(folder: PluginFolder, *options: str) -> set[str]:
    """Returns the modules that a test of somebody else's finds loaded; fails when it does not pass in silence."""
    (folder.path / "test_unrelated.py").write_text(
        "import pathlib, sys\n\ndef test_one():\n    pathlib.Path('modules').write_text(' '.join(sys.modules))\n"
    )
    done = folder.run("-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "test_unrelated.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "torchplug" not in done.stdout + done.stderr
    return set((folder.path / "modules").read_text().split())


def test_the_check_ends_in_time_and_names_each_cause(scratch: PluginFolder, goal: Callable[..., None]) -> None:
    started = time.monotonic()
    done = scratch.run("-m", "torchplug", "backends", "--check", "--json", "--timeout", str(TIMEOUT))
    took = time.monotonic() - started
    answer: dict[str, Any] = json.loads(done.stdout)
    rows = [row for row in answer["backends"] if row["distribution"].startswith(("dist-", "other-"))]
    causes = {row["name"]: row["reason"] for row in rows if row["state"] == "unavailable"}
    named = [name for name in THE_TEN if HOSTILE[name][1] in causes[name]]
    goal(10, "hostile plugins that `torchplug backends --check` explains in bounded time", len(THE_TEN), len(named))
    assert {name: cause for name, (_, cause) in HOSTILE.items() if cause not in causes[name]} == {}
    assert all(row["remedy"] for row in rows if row["name"] in THE_TEN)
    assert [row["state"] for row in rows if row["name"] == "good"] == ["available"]
    crashed = [row["reason"] for row in answer["extensions"] if row["name"] == "crashing-kernels"]
    assert crashed == ["it crashed its process (SIGSEGV: Segmentation fault)"]
    assert done.returncode == 1
    processes = len(HOSTILE) + 4
    assert took < TIMEOUT * (processes / 4 + 1)
    assert not still_running(scratch)


def test_the_check_prints_each_cause_for_people_too(scratch: PluginFolder) -> None:
    done = scratch.run("-m", "torchplug", "backends", "--check", "--timeout", str(TIMEOUT))
    assert [name for name in THE_TEN if HOSTILE[name][1] not in done.stdout] == []
    assert "Traceback" not in done.stdout + done.stderr


def test_a_plain_listing_tries_nobody(scratch: PluginFolder) -> None:
    done = scratch.run("-m", "torchplug", "backends")
    assert done.returncode == 0
    assert scratch.imported() == []


def still_running(folder: PluginFolder) -> bool:
    """Returns whether a process that looks for plugins in this folder is left."""
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder.path).encode() in process.read_bytes():
                return True
        except OSError:
            continue
    return False
