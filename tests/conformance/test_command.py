"""The suite as people run it: from any folder, without PyTorch, with one sentence for what cannot be run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOTS = [str(Path(__file__).parents[2] / name) for name in ("frontend", "backends", "plugins")]
PLUGIN = "torchplug_conformance.pytest_plugin"
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; "


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    setup = f"import sys; sys.path[:0] = {ROOTS!r}; "
    command = [sys.executable, "-c", setup + code]
    # Installed or not, the plugin under test comes from this clone, once, by -p.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def conformance(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = WITHOUT_TORCH + f"from torchplug_conformance.cli import main; sys.exit(main({list(arguments)!r}))"
    return python(code, folder)


def test_a_backend_that_passes_gets_its_level_and_a_report(tmp_path: Path) -> None:
    done = conformance(tmp_path, "strict", "--level", "1", "-k", "contract and bool", "--json", "report.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "backend 'strict' reaches level 1: computes" in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["backend"], report["level"], report["failures"]) == ("strict", 1, [])
    assert report["parts"].keys() == {"contract"}


def test_a_backend_that_fails_gets_status_1_and_what_reproduces_it(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from torchplug_spec import registry; from torchplug_strict import StrictBackend\n"
        "class Wrong(StrictBackend):\n"
        "    name = 'wrong'\n"
        "    def sum(self, x, axis, keepdims): return StrictBackend.sum(self, x, axis, True)\n"
        "registry.register(Wrong)\n"
        "from torchplug_conformance.cli import main\n"
        "sys.exit(main(['wrong', '--level', '1', '-k', 'contract and sum and float32']))"
    )
    done = python(code, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "backend 'wrong' reaches below level 1" in done.stdout
    assert "    from torchplug_conformance import probe\n    got, expected = probe(" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonesuch"], "no backend is named 'nonesuch'"),
        (["strict", "--json", "nowhere/report.json"], "cannot write nowhere/report.json: the folder"),
        (["strict", "--json", "."], "cannot write .: it is a folder"),
        (["strict", "--html", "nowhere/report.html"], "cannot write nowhere/report.html: the folder"),
        (["strict", "--json", "a", "--html", "./a"], "cannot write ./a twice"),
        (["strict", "--badge", "a.svg", "-k", "sum"], "a badge needs a run of all cases"),
        (["strict", "--level", "7"], "got '7', expected a level: 1 computes, 2 trains, 3 compiles, 4 identical"),
        (["strict", "--jobs", "none"], "got 'none', expected a number of processes, or auto"),
    ],
)
def test_what_cannot_be_run_gets_one_sentence_and_status_2(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = conformance(tmp_path, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_turns_out_not_to_be_writable_is_a_sentence_after_the_results(tmp_path: Path) -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("needs a folder in which root cannot create a file: /proc")
    done = conformance(tmp_path, "strict", "--level", "1", "-k", "contract and devices", "--json", "/proc/self/x.json")
    assert done.returncode == 2
    assert "cannot write /proc/self/x.json: " in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_words_that_choose_no_case_get_a_sentence_and_status_2(tmp_path: Path) -> None:
    done = conformance(tmp_path, "strict", "--level", "1", "-k", "nonesuch")
    assert done.returncode == 2
    assert "no case matches 'nonesuch'" in done.stdout


def test_several_processes_without_xdist_get_a_sentence_and_status_2(tmp_path: Path) -> None:
    code = "sys.modules['xdist'] = None; from torchplug_conformance.cli import main; sys.exit(main(['strict', '--jobs', '2']))"
    done = python(code, tmp_path)
    assert done.returncode == 2
    assert "--jobs needs pytest-xdist: pip install 'torchplug[test]'" in done.stderr


# ---- plugins ---------------------------------------------------------------------------------------------------------

PLUGIN_SOURCE = """
import os, signal
from torchplug_spec import Backend
from torchplug_spec.hookspecs import hookimpl
from torchplug_strict import StrictBackend

class Engine({base}):
    name = "theirs"
    {body}

class Plugin:
    @hookimpl
    def register_backend(self, register):
        register(Engine)

plugin = Plugin()
"""


def install(folder: Path, body: str, base: str = "StrictBackend") -> None:
    """Installs a plugin with a backend 'theirs' where a Python started in the folder finds it."""
    (folder / "their_module.py").write_text(PLUGIN_SOURCE.format(base=base, body=body))
    metadata = folder / "theirs-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text("[torchplug.backends]\ntheirs = their_module:plugin\n")


@pytest.mark.parametrize(
    ("base", "body", "words"),
    [
        ("Backend", "pass", "Engine does not implement devices, device_of, to_device"),
        ("object", "pass", "expected a subclass of torchplug_spec.Backend"),
        ("StrictBackend", "known_failures = {'forward-*': ''}", "known failure 'forward-*' has no reason"),
    ],
)
@pytest.mark.parametrize("way", ["command", "pytest"])
def test_a_plugin_without_the_contract_gets_one_sentence(
    tmp_path: Path, base: str, body: str, words: str, way: str
) -> None:
    install(tmp_path, body, base)
    if way == "command":
        done = conformance(tmp_path, "theirs")
    else:
        done = pytest_run(tmp_path, "--pyargs", "torchplug_conformance", "--torchplug-backend", "theirs", "-q")
    assert done.returncode not in (0, 1)
    assert words in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


KNOWN = """known_failures = {pairs!r}
    def cos(self, x): raise RuntimeError('no cosine')"""
CHOSEN = ("--level", "1", "-k", "(contract and (cos- or sin-) and float32) or known-failures", "--json", "report.json")


def test_a_declared_failure_that_is_there_costs_nothing_and_is_listed(tmp_path: Path) -> None:
    install(tmp_path, KNOWN.format(pairs={"contract-cos-*": "they have no cosine"}))
    done = conformance(tmp_path, "theirs", *CHOSEN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cases: they have no cosine" in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["level"] == 1
    assert {row["reason"] for row in report["known_failures"]} == {"they have no cosine"}


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({"contract-[cs]*": "all of it"}, "passes, but is declared a known failure: all of it"),
        ({"contract-cos-*": "none", "contract-tan-*": "gone"}, "the known failure 'contract-tan-*' names no case"),
    ],
)
def test_a_failure_that_is_declared_and_not_there_is_a_failure(
    tmp_path: Path, pairs: dict[str, str], words: str
) -> None:
    install(tmp_path, KNOWN.format(pairs=pairs))
    done = conformance(tmp_path, "theirs", *CHOSEN)
    assert done.returncode == 1, done.stdout + done.stderr
    assert words in done.stdout
    assert "backend 'theirs' reaches below level 1" in done.stdout


def test_a_crash_in_one_of_several_processes_is_a_failure_of_its_case(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    install(tmp_path, "def synchronize(self, device): os.kill(os.getpid(), signal.SIGSEGV)")
    done = conformance(tmp_path, "theirs", "--level", "1", "-k", "contract and devices", "--jobs", "2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "contract-devices: it crashed the process that ran it" in done.stdout
    assert 'in differences("contract-devices", backend="theirs"):' in done.stdout
    assert "backend 'theirs' reaches below level 1" in done.stdout


def test_a_part_whose_cases_cannot_be_made_is_a_failure(tmp_path: Path) -> None:
    code = (
        "import torchplug_conformance.parts.files as part\n"
        "def cases(subject): raise OSError('no such thing')\n"
        "part.cases = cases\n"
        "from torchplug_conformance.cli import main\n"
        "sys.exit(main(['strict', '--level', '2', '-k', 'files or devices']))"
    )
    done = python(code, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "its cases could not be made" in done.stdout
    assert "no such thing" in done.stdout
    assert "reaches level 1: computes" in done.stdout


def test_a_whole_run_writes_the_page_the_badge_and_the_json(tmp_path: Path) -> None:
    code = (
        WITHOUT_TORCH + "from torchplug_conformance.cases import PARTS\n"
        "PARTS.update({part: 9 for part in PARTS})\n"
        "PARTS.update(files=1)\n"
        "from torchplug.cli import main\n"
        "sys.exit(main('conformance strict --level 1 --json r.json --html r.html --badge b.svg'.split()))"
    )
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = json.loads((tmp_path / "r.json").read_text())["parts"]["files"]["passed"]
    assert f"] {passed} of {passed}, 0 failed, files" in done.stdout
    assert "level 1: computes" in (tmp_path / "b.svg").read_text()
    assert "level 1: computes" in (tmp_path / "r.html").read_text()
    assert json.loads((tmp_path / "r.json").read_text())["parts"].keys() == {"files"}
    assert {path.name for path in tmp_path.iterdir()} == {"b.svg", "r.html", "r.json"}


def pytest_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = WITHOUT_TORCH + f"import pytest; sys.exit(pytest.main({['-p', PLUGIN, *arguments]!r}))"
    return python(code, folder)


def test_pytest_finds_the_suite_by_its_package(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    arguments = ("--pyargs", "torchplug_conformance", "--torchplug-backend", "strict", "-k", "forward and cumsum", "-q")
    done = pytest_run(tmp_path, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torchplug conformance of 'strict'" in done.stdout


def test_the_suite_without_a_backend_says_which_option_it_needs(tmp_path: Path) -> None:
    done = pytest_run(tmp_path, "--pyargs", "torchplug_conformance", "-q")
    assert done.returncode != 0
    assert "say which backend to test: --torchplug-backend NAME" in done.stdout + done.stderr


def test_other_peoples_test_runs_load_neither_torchplug_nor_an_engine(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        "import sys\n\ndef test_nothing_came_along():\n"
        "    loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "    assert not loaded & {'torchplug', 'torchplug_spec', 'numpy', 'jax'}, loaded\n"
    )
    done = pytest_run(tmp_path, "-q", "-p", "no:cacheprovider", "test_theirs.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torchplug" not in done.stdout
