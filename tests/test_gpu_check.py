"""The GPU check finds the engines without an installation, writes down what it saw, and never passes in silence."""

from __future__ import annotations

import importlib.util
import sys
from datetime import UTC, datetime
from importlib.machinery import SourceFileLoader
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _load_script() -> ModuleType:
    loader = SourceFileLoader("gpu_check", str(ROOT / "scripts" / "gpu_check"))
    spec = importlib.util.spec_from_loader("gpu_check", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    caching, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader.exec_module(module)
    sys.dont_write_bytecode = caching
    return module


gpu_check = _load_script()


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "PROBES", {"cupy": "raise OSError('no driver')", "jax": "pass"})


def _python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


def test_the_written_metadata_names_every_entry_point(tmp_path: Path) -> None:
    gpu_check.write_metadata(tmp_path)
    (ours,) = distributions(path=[str(tmp_path)])
    assert ours.version == gpu_check.PYPROJECT["project"]["version"]
    found = {(point.group, point.name) for point in ours.entry_points}
    assert {("torchplug.backends", "cupy"), ("pytest11", "torchplug_conformance")} <= found


def test_without_a_gpu_it_says_why_fails_and_writes_no_page(
    no_gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_check", str(tmp_path)])
    assert gpu_check.main() == 1
    printed = capsys.readouterr().out
    assert "cupy: unavailable: OSError: no driver" in printed
    assert "jax: unavailable: jax reports no GPU" in printed
    assert list(tmp_path.iterdir()) == []


def test_an_engine_without_a_gpu_is_written_down_and_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_check, "PROBES", {"cupy": "raise OSError('no driver')", "jax": "print('a card')"})
    steps = [
        gpu_check.Step("on-cupy", _python("print('never')"), "cupy"),
        gpu_check.Step("any", _python("print('ran')")),
    ]
    monkeypatch.setattr(gpu_check, "steps", lambda: steps)
    monkeypatch.setattr(sys, "argv", ["gpu_check", str(tmp_path)])
    assert gpu_check.main() == 1
    (page,) = tmp_path.glob("gpu-*.md")
    text = page.read_text()
    assert "| on-cupy | unavailable: OSError: no driver | 0 |" in text and "never" not in text
    assert "| any | passed |" in text and "\nran\n" in text
    assert "| numpy |" in text and str(ROOT) not in text


def test_a_step_that_fails_keeps_its_exit_status_and_its_words() -> None:
    step = gpu_check.Step("broken", _python("import sys; print('so far'); sys.exit(3)"))
    outcome = gpu_check.run(step, {}, limit=60)
    assert outcome.verdict == "failed (exit status 3)" and outcome.lines == ["so far"]


def test_a_step_that_never_ends_is_stopped_with_the_processes_it_started() -> None:
    wait = "import threading; threading.Event().wait()"
    step = gpu_check.Step("stuck", _python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {wait!r}])"))
    assert gpu_check.run(step, {}, limit=0.5).verdict == "failed (stopped after 0.5 s)"


def test_the_page_begins_with_the_day(tmp_path: Path) -> None:
    text = gpu_check.page(datetime(2026, 1, 2, 3, 4, tzinfo=UTC), {"GPU": "a card"}, {})
    assert text.startswith("# GPU check, 2026-01-02 03:04 UTC\n") and "| GPU | a card |" in text


def test_an_unknown_step_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu_check.parse_arguments(["--only", "demo,nonsense"])
    assert "nonsense" in capsys.readouterr().err
