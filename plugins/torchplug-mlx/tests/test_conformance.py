"""The backend is found by its name, computes, and reaches its level of the suite that judges every backend."""

from __future__ import annotations

import subprocess
import sys

from torchplug_spec import registry
from torchplug_spec.smoke import smoke_fault

from torchplug_mlx import MLXBackend

LEVEL = 4
"""1 computes, 2 trains, 3 compiles, 4 identical. Raise it as the backend grows."""


def test_the_installed_plugin_is_found_by_its_name() -> None:
    assert registry.status("mlx").distribution == "torchplug-mlx"
    assert isinstance(registry.get("mlx"), MLXBackend)


def test_a_small_computation_is_right() -> None:
    assert smoke_fault(MLXBackend()) == ""


def test_the_backend_reaches_its_level() -> None:
    suite = [sys.executable, "-m", "torchplug_conformance", "mlx", "--level", str(LEVEL)]
    done = subprocess.run(suite, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
