"""The page docs/tools.md is true: its program runs and prints what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tools.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def rounded(text: str) -> str:
    """Returns a text with its numbers to four places: processors differ in the last."""
    return re.sub(r"\d+\.\d{5,}", lambda number: f"{float(number[0]):.4f}", text)


def test_the_examples_print_what_the_page_says(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    (tmp_path / "train.py").write_text("".join(blocks("python")))
    roots = os.pathsep.join(str(ROOT / part) for part in ("frontend", "backends", "plugins"))
    run = subprocess.run(
        [sys.executable, "train.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": roots, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    printed = rounded(re.sub(r"\S*train\.py", "train.py", run.stdout))
    for text in blocks("text"):
        for line in text.splitlines():
            assert rounded(line.removesuffix("...").rstrip()) in printed
