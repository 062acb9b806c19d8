"""A backend that does not survive a fork raises in the child, and costs nothing before."""

from __future__ import annotations

import os

import pytest
from plugin_folder import PluginFolder, engine

from torchplug_spec.registry import Registry

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

IN_CHILD = """
import os, sys
from torchplug_spec import registry

backend = registry.get("alpha")
safe = registry.get("safe")
bound = {"add": backend.add}
registry.on_fork("alpha", lambda refuse: bound.update(add=refuse))
registry.on_fork("safe", lambda refuse: print("not called", flush=True))
x = backend.full((2,), 1.0, __import__("torchplug_spec").dtypes.float32, "cpu")
if os.fork() == 0:
    try:
        print(ACTION)
    except RuntimeError as error:
        print(f"RuntimeError: {error}")
    sys.stdout.flush()
    os._exit(0)
os.wait()
print("parent", backend.add(x, x).tolist(), bound["add"](x, x).tolist())
"""


@pytest.fixture
def forked(plugins: PluginFolder) -> PluginFolder:
    plugins.add("alpha", engine("alpha", "fork_safe = False"))
    plugins.add("safe")
    return plugins


def in_child(folder: PluginFolder, action: str) -> str:
    """Returns what a forked child prints for an expression; the parent must go on undisturbed."""
    done = folder.run("-c", IN_CHILD.replace("ACTION", action))
    child, _, parent = done.stdout.rstrip("\n").rpartition("\n")
    assert (parent, done.stderr) == ("parent [2.0, 2.0] [2.0, 2.0]", "")
    return child


@pytest.mark.parametrize(
    "action",
    ["backend.add(x, x)", "backend.devices()", "backend.xp", "bound['add'](x, x)", "registry.get('alpha')"],
)
def test_every_use_in_a_forked_child_raises_and_names_the_remedy(forked: PluginFolder, action: str) -> None:
    answer = in_child(forked, action)
    assert answer.startswith("RuntimeError: backend 'alpha' cannot be used in a forked process")
    assert answer.endswith("get_context('forkserver') or 'spawn', or use backend 'numpy' in it")


def test_the_backend_still_tells_its_name_in_a_forked_child(forked: PluginFolder) -> None:
    assert in_child(forked, "(backend.name, type(backend).__name__)") == "('alpha', 'Engine')"


def test_a_fork_safe_backend_goes_on_in_the_child(forked: PluginFolder) -> None:
    assert in_child(forked, "safe.add(x, x).tolist()") == "[2.0, 2.0]"


def test_the_child_of_a_child_is_guarded_too(forked: PluginFolder) -> None:
    answer = in_child(forked, "os.wait() and 'done' if os.fork() else backend.add(x, x)")
    assert answer.splitlines()[0].startswith("RuntimeError: backend 'alpha' cannot be used in a forked process")


def test_the_child_can_still_load_backends_the_parent_was_loading(forked: PluginFolder) -> None:
    # The parent's other thread holds the lock of 'slow' at the fork; it does not exist in the child.
    forked.add("slow", "import threading, os\nif os.getpid() == int(os.environ['PARENT']):\n"
               "    entered.set()\n    leave.wait()\n".replace("entered", "threading.entered")
               .replace("leave", "threading.leave") + engine("slow"))  # fmt: skip
    code = """
import os, threading
os.environ["PARENT"] = str(os.getpid())
threading.entered, threading.leave = threading.Event(), threading.Event()
from torchplug_spec import registry
thread = threading.Thread(target=registry.get, args=("slow",))
thread.start()
threading.entered.wait()
if os.fork() == 0:
    print(registry.get("safe").name, flush=True)
    os._exit(0)
os.wait()
threading.leave.set()
"""
    assert forked.run("-W", "ignore", "-c", code).stdout == "safe\n"


def test_the_status_in_a_forked_child_is_unavailable(forked: PluginFolder) -> None:
    assert in_child(forked, "registry.status('alpha').state") == "unavailable"


def test_nothing_is_exchanged_in_a_process_that_does_not_fork(forked: PluginFolder, registry: Registry) -> None:
    backend = registry.get("alpha")
    assert type(backend).__getattribute__ is object.__getattribute__
