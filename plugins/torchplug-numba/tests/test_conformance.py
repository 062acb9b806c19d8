"""The NumPy engine with the plugin passes the suite that judges every backend, at the level it has without."""

from __future__ import annotations

import subprocess
import sys


def test_the_engine_with_the_plugin_is_identical_to_pytorch() -> None:
    suite = [sys.executable, "-m", "torchplug_conformance", "numpy+numba", "--level", "4"]
    done = subprocess.run(suite, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
