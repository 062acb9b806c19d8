"""Hostile files end in a clean exception: under a second and 256 MB, with no process started and no file written."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hostile_files import HOSTILE

WATCH = """
import io, json, resource, sys, time

sys.path.insert(0, {folder!r})
import hostile_files
import torchplug as torch
import torchplug.optim.lr_scheduler

torch.load(io.BytesIO(hostile_files._tensor()))  # everything that is imported lazily is imported now
files = {{name: make() for name, make in hostile_files.HOSTILE.items()}}
DANGEROUS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "socket.", "ctypes.",
             "shutil.", "os.remove", "os.rename", "os.mkdir", "os.chmod", "marshal.loads", "code.__new__", "pickle.find_class")
seen = []


def watch(event, args):
    if event.startswith(DANGEROUS) or event == "open" and (not isinstance(args[1], str) or set(args[1]) & set("wax+")):
        seen.append(event)


sys.addaudithook(watch)
report = {{}}
for name, data in files.items():
    seen.clear()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    try:
        torch.load(io.BytesIO(data), weights_only=False)
        outcome = "loaded"
    except Exception as error:
        outcome = f"{{type(error).__module__}}.{{type(error).__name__}}: {{str(error)[:500]}}"
    seconds = time.process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    report[name] = [outcome, seconds, grown, list(seen)]
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def report():
    folder = os.path.dirname(__file__)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", WATCH.format(folder=folder)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused(report, name):
    outcome, seconds, megabytes, events = report[name]
    assert outcome.startswith(
        ("_pickle.UnpicklingError", "builtins.RuntimeError", "builtins.ValueError", "builtins.EOFError")
    ), outcome
    assert events == []
    assert seconds < 1
    assert megabytes < 256


def test_nothing_was_written(report):
    assert not os.path.exists("/tmp/torchplug_was_here")


@pytest.mark.parametrize(("name", "words"), [
    ("os.system", "Unsupported global: GLOBAL posix.system|Trying to load unsupported GLOBAL posix.system whose module posix"),
    ("eval", "Unsupported global: GLOBAL eval was not an allowed global by default"),
    ("size beyond the storage", "requiring a storage size of 20 are out of bounds for storage of size 16"),
    ("zip bomb", "refused as a decompression bomb"),
    ("two records of one name", "appears twice"),
    ("path escape", "refused the record name"),
    ("TorchScript", "TorchScript archives"),
])  # fmt: skip
def test_the_refusal_says_why(report, name, words):
    import re

    assert re.search(words, report[name][0]), report[name][0]
