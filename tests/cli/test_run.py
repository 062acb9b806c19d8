"""`torchplug run`: a program's `import torch` gets torchplug, and the program notices nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(
        [*(str(ROOT / part) for part in ("frontend", "backends", "plugins")), os.environ.get("PYTHONPATH", "")]
    )
    return subprocess.run(
        [sys.executable, "-m", "torchplug", "run", *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": path, **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def script(folder: Path, text: str, name: str = "program.py") -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return name


def test_a_program_gets_torchplug_and_its_own_surroundings(tmp_path: Path) -> None:
    script(tmp_path, "answer = 42\n", "deep/neighbour.py")
    name = script(
        tmp_path,
        "import sys, torch, torchvision, neighbour\n"
        "import torch.nn.functional as F\n"
        "from torch.utils.data import DataLoader\n"
        "print(torch.ones(2) + 1, neighbour.answer, __name__, __file__, sys.argv, sys.path[0], __package__)\n"
        "print(sys.modules['__main__'].answer_of_main)\n".replace("\nprint(sys", "\nanswer_of_main = 7\nprint(sys"),
        "deep/program.py",
    )
    done = run(tmp_path, name, "--flag", "value", "-h")
    folder = tmp_path / "deep"
    assert done.stderr == ""
    assert done.stdout == (
        f"tensor([2., 2.]) 42 __main__ {folder / 'program.py'} "
        f"['deep/program.py', '--flag', 'value', '-h'] {folder} None\n7\n"
    )
    assert done.returncode == 0


def test_a_module_is_run_with_its_package(tmp_path: Path) -> None:
    script(tmp_path, "", "package/__init__.py")
    script(tmp_path, "value = 5\n", "package/part.py")
    script(
        tmp_path,
        "import torch, sys\nfrom .part import value\nprint(value, __package__, sys.argv[1:])\n",
        "package/__main__.py",
    )
    done = run(tmp_path, "-m", "package", "-x")
    assert (done.stdout, done.stderr) == ("5 package ['-x']\n", "")


ENDS = {
    "import sys; sys.exit(3)": (3, ""),
    "import sys; sys.exit('no data')": (1, "no data\n"),
    "raise SystemExit": (0, ""),
}


@pytest.mark.parametrize("text", ENDS)
def test_the_exit_status_is_the_programs(tmp_path: Path, text: str) -> None:
    done = run(tmp_path, script(tmp_path, text))
    assert (done.returncode, done.stderr) == ENDS[text]


def test_a_traceback_begins_in_the_program(tmp_path: Path) -> None:
    done = run(tmp_path, script(tmp_path, "def f():\n    return 1 / 0\n\nf()\n"))
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{tmp_path / "program.py"}", line 4, in <module>'
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "scripts.py" not in done.stderr


def test_a_syntax_error_names_the_program(tmp_path: Path) -> None:
    done = run(tmp_path, script(tmp_path, "def f(:\n"))
    assert done.returncode == 1
    assert "program.py" in done.stderr and done.stderr.rstrip().endswith("SyntaxError: invalid syntax")


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    for arguments in (["nowhere.py"], ["-m", "no_such_module"], ["-m", "json.no_such_module"]):
        done = run(tmp_path, *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("torchplug run: ") and len(done.stderr.splitlines()) == 1
        assert arguments[-1] in done.stderr


def test_the_backend_can_be_chosen(tmp_path: Path) -> None:
    name = script(tmp_path, "import torch\nprint(torch.get_backend(), torch.ones(1).device.engine)\n")
    assert run(tmp_path, "--backend", "strict", name).stdout == "strict strict\n"
    assert run(tmp_path, name, TORCHPLUG_BACKEND="strict").stdout == "strict strict\n"
    done = run(tmp_path, "--backend", "nonsense", name)
    assert done.returncode == 2
    assert "no backend is named 'nonsense'" in done.stderr and len(done.stderr.splitlines()) == 1


WORKERS = """
import multiprocessing, sys
import torch
from torch.utils.data import DataLoader, Dataset

class Own(Dataset):
    def __len__(self):
        return 3
    def __getitem__(self, index):
        return torch.tensor(index * 10)

def name_of_torch(queue):
    import torch.nn
    queue.put((torch.__name__, torch.nn.__name__, Own.__name__))

if __name__ == "__main__":
    print([batch.item() for batch in DataLoader(Own(), num_workers=2)])
    for method in ("spawn", "forkserver", "fork"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=name_of_torch, args=(queue,))
        process.start()
        print(method, queue.get(timeout=60))
        process.join()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_processes_that_a_program_starts_get_torchplug_too(tmp_path: Path) -> None:
    done = run(tmp_path, script(tmp_path, WORKERS))
    assert done.stderr == ""
    names = ("torchplug", "torchplug.nn", "Own")
    assert done.stdout.splitlines() == [
        "[0, 10, 20]",
        *(f"{method} {names}" for method in ("spawn", "forkserver", "fork")),
    ]


def cell(*lines: str, kind: str = "code") -> dict[str, Any]:
    return {"cell_type": kind, "source": [f"{line}\n" for line in lines[:-1]] + [lines[-1]]}


def test_a_notebook_shows_what_it_shows_elsewhere(tmp_path: Path) -> None:
    cells = [
        cell("# title", kind="markdown"),
        cell("%matplotlib inline", "!nvidia-smi", "import torch", "if True:", "    %timeit 1", "x = torch.arange(3)"),
        cell("x * 2"),
        cell("x * 3;"),
        cell("torch.sum?"),
        cell("def f():", "    return 1 / 0", "print('there')"),
        cell("f()"),
    ]
    name = script(tmp_path, json.dumps({"cells": cells, "nbformat": 4}), "book.ipynb")
    done = run(tmp_path, name)
    assert done.stdout == "tensor([0, 2, 4])\nthere\n"
    assert done.returncode == 1
    assert "book.ipynb[6]" in done.stderr and "ZeroDivisionError" in done.stderr
