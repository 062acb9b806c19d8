"""The quickstart's blocks run one after the other, as a reader would type them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import torchplug

QUICKSTART = Path(__file__).resolve().parent.parent / "docs" / "quickstart.md"


@pytest.mark.skipif(not QUICKSTART.exists(), reason="the documentation is not here")
def test_the_quickstart_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax", reason="the quickstart shows how to choose it")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", QUICKSTART.read_text(), re.DOTALL)
    assert blocks
    names: dict[str, Any] = {}
    try:
        for number, block in enumerate(blocks):
            exec(compile(block, f"quickstart block {number}", "exec"), names)
    finally:
        torchplug.set_backend("numpy")
