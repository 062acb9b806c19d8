"""Workers that die, hang or fail: the reader learns of it at once and in words, and nothing stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find processes")

HERE = Path(__file__).parent
METHODS = ("forkserver", "spawn", "fork")
TOKEN = "TORCHPLUG_TEST_TOKEN"


@pytest.fixture
def token() -> Iterator[str]:
    """A mark that all processes of one test carry; none may be left two seconds after the test."""
    mark = uuid.uuid4().hex
    yield mark
    assert _survivors(mark, seconds=2.0) == []


def _survivors(mark: str, seconds: float) -> list[int]:
    deadline = time.monotonic() + seconds
    while (found := _processes(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _processes(mark: str) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if f"{TOKEN}={mark}".encode() in (process / "environ").read_bytes():
                    found.append(int(process.name))
            except OSError:
                continue
    return found


def _environment(mark: str) -> dict[str, str]:
    roots = [str(HERE.parents[1] / root) for root in ("frontend", "backends", "plugins")]
    path = os.pathsep.join([*roots, str(HERE), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, TOKEN: mark}


def run_fault(mark: str, fault: str, method: str, style: str = "samples", workers: int = 2) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(HERE / "fault_program.py"), fault, method, style, str(workers)],
        env=_environment(mark), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


DEATHS = {
    "kill": "is killed by signal: Killed (SIGKILL)",
    "segfault": "is killed by signal: Segmentation fault (SIGSEGV)",
    "term": "is killed by signal: Terminated (SIGTERM)",
    "exit": "exited unexpectedly with exit code 7",
    "hard exit": "exited unexpectedly with exit code 9",
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", DEATHS)
def test_a_death_is_reported_at_once_with_its_cause_and_sample(token: str, fault: str, method: str) -> None:
    result = run_fault(token, fault, method)
    assert result["error"] == "RuntimeError"
    assert DEATHS[fault] in result["message"]
    assert "while reading sample 21 (batch 5)" in result["message"]
    assert "pid" in result["message"]
    assert result["batches"] <= 5
    assert result["seconds"] < 2.0
    assert result["descriptors"] == 0


@pytest.mark.parametrize(
    "style, words", [("batches", "samples 20, 21, 22, 23"), ("stream", "sample 10 of this worker's")]
)
def test_a_death_names_the_batch_or_the_place_in_the_stream(token: str, style: str, words: str) -> None:
    result = run_fault(token, "kill", "forkserver", style)
    assert words in result["message"]


@pytest.mark.parametrize("method", METHODS)
def test_an_exception_arrives_with_its_class_and_the_workers_traceback(token: str, method: str) -> None:
    result = run_fault(token, "exception", method)
    assert result["error"] == "ZeroDivisionError"
    assert result["message"].startswith("Caught ZeroDivisionError in DataLoader worker process 1.")
    assert "It was reading sample 21." in result["message"]
    assert "Original Traceback (most recent call last):" in result["message"]
    assert "fault_program.py" in result["message"]
    assert result["batches"] == 5
    assert result["seconds"] < 2.0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", ["stuck", "deaf", "stop"])
def test_a_stuck_worker_ends_the_wait_after_the_timeout(token: str, fault: str, method: str) -> None:
    result = run_fault(token, fault, method)
    assert result["error"] == "RuntimeError"
    assert result["message"].startswith("DataLoader timed out after 0.5 seconds")
    assert "is reading sample 21 (batch 5)" in result["message"]
    assert result["seconds"] < 0.5 + 2.0
    assert result["descriptors"] == 0


@pytest.mark.parametrize("method", METHODS)
def test_an_unharmed_pass_leaves_no_descriptor_open(token: str, method: str) -> None:
    result = run_fault(token, "none", method)
    assert result == {"batches": 10, "seconds": result["seconds"], "descriptors": 0}


LOOP = """
import sys, time
import fault_program as program
from torchplug.utils.data import DataLoader

def main():
    loader = DataLoader(program.Faulty({fault!r}), num_workers=2, multiprocessing_context={method!r},
                        persistent_workers={persistent})
    for number, batch in enumerate(loader):
        if number == {stop_after}:
            {action}
    print("passed", flush=True)

if __name__ == "__main__":
    main()
"""


def _start(token: str, tmp_path: Path, **fields: Any) -> subprocess.Popen[str]:
    values = {
        "fault": "none",
        "method": "forkserver",
        "persistent": False,
        "stop_after": 3,
        "action": "break",
        **fields,
    }
    script = tmp_path / "loop.py"
    script.write_text(LOOP.format(**values))
    return subprocess.Popen(
        [sys.executable, str(script)],
        env=_environment(token),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process: subprocess.Popen[str], seconds: float = 20.0) -> tuple[str, str]:
    out, err = process.communicate(timeout=seconds)
    return out, err


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_leaving_the_loop_early_ends_quietly(token: str, tmp_path: Path, method: str, persistent: bool) -> None:
    process = _start(token, tmp_path, method=method, persistent=persistent)
    out, err = _finish(process)
    assert (process.returncode, out, err) == (0, "passed\n", "")


@pytest.mark.parametrize("method", METHODS)
def test_an_exception_in_the_loop_ends_the_program_and_its_workers(token: str, tmp_path: Path, method: str) -> None:
    process = _start(token, tmp_path, method=method, action="raise ValueError('mine')")
    _, err = _finish(process)
    assert process.returncode == 1
    assert err.count("Traceback") == 1
    assert err.endswith("ValueError: mine\n")


@pytest.mark.parametrize("method", METHODS)
def test_sys_exit_in_the_loop_ends_the_program_and_its_workers(token: str, tmp_path: Path, method: str) -> None:
    process = _start(token, tmp_path, method=method, action="sys.exit(4)", persistent=True)
    _, err = _finish(process)
    assert (process.returncode, err) == (4, "")


@pytest.mark.parametrize("fault", ["none", "stuck"])
@pytest.mark.parametrize("method", METHODS)
def test_workers_do_not_outlive_a_killed_parent(token: str, tmp_path: Path, method: str, fault: str) -> None:
    action = "print('here', flush=True); time.sleep(3600)"
    process = _start(token, tmp_path, method=method, fault=fault, action=action, stop_after=15)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.kill()
    process.wait(5)
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.close()
    assert _survivors(token, seconds=2.0) == []


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", ["none", "stuck"])
def test_ctrl_c_ends_with_one_traceback(token: str, tmp_path: Path, method: str, fault: str) -> None:
    # With a stuck worker the program waits for it; else it is stopped in its own code.
    action = "print('here', flush=True); time.sleep(0 if program is None or {wait} else 3600)"
    process = _start(
        token, tmp_path, method=method, fault=fault, stop_after=15, action=action.format(wait=fault == "stuck")
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    time.sleep(0.3)  # until it waits: nothing outside the program shows that it does
    start = time.monotonic()
    for pid in _processes(token):
        with contextlib.suppress(ProcessLookupError):  # one may have ended since it was listed
            os.kill(pid, signal.SIGINT)  # as a terminal does, to the whole group
    _, err = _finish(process)
    assert time.monotonic() - start < 2.0
    assert process.returncode == -signal.SIGINT
    assert err.count("Traceback") == 1, err
    assert err.rstrip().endswith("KeyboardInterrupt")
