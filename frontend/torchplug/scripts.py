"""Programs written for PyTorch, run unedited: `torchplug run script.py`."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import sys
import tokenize
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType, TracebackType
from typing import Any

from torchplug.torch_alias import as_torch

__all__ = ["ScriptError", "load_again", "run_module", "run_script"]

_SCRIPT, _PACKAGE = "TORCHPLUG_RUN_SCRIPT", "TORCHPLUG_RUN_PACKAGE"
"""Environment variables that tell processes the program starts what it is; see `load_again`."""


class ScriptError(Exception):
    """The program cannot be started; the text says why."""


def run_script(path: str, arguments: Sequence[str]) -> int:
    """Runs a Python file or notebook as the main program, `import torch` getting torchplug; returns the exit status."""
    if not os.path.isfile(path):
        raise ScriptError(f"can't open '{path}': no such file")
    full = os.path.abspath(path)
    return _run(full, "", os.path.dirname(full), [path, *arguments])


def run_module(name: str, arguments: Sequence[str]) -> int:
    """Runs an importable module (or a package's `__main__`) likewise; returns the exit status."""
    alias = as_torch()
    sys.path.insert(0, os.getcwd())
    try:
        found = importlib.util.find_spec(name)
        if found is not None and found.submodule_search_locations is not None:
            found = importlib.util.find_spec(f"{name}.__main__")
    except ModuleNotFoundError:
        found = None
    finally:
        del sys.path[0]
        alias.restore()
    if found is None or found.origin is None or not os.path.isfile(found.origin):
        raise ScriptError(f"no module named '{name}' that can be run")
    return _run(found.origin, found.parent or "", os.getcwd(), [found.origin, *arguments])


def _run(path: str, package: str, folder: str, argv: list[str]) -> int:
    as_torch()
    os.environ[_SCRIPT], os.environ[_PACKAGE] = path, package
    sys.argv = argv
    sys.path[0] = folder  # as Python does: its own entry was the folder of the command `torchplug`
    main = ModuleType("__main__")
    vars(main).update(__file__=path, __builtins__=__builtins__, __package__=package or None)
    # Processes that the program starts import the module of this name as their main module; see `load_again`.
    main.__spec__ = ModuleSpec("torchplug.rerun", None, origin=path)
    sys.modules["__main__"] = main
    try:
        for code in _compiled(path):
            exec(code, vars(main))
    except SystemExit as stop:
        return _exit_status(stop.code)
    except BaseException as error:
        error.__traceback__ = _below(error.__traceback__, path)
        sys.excepthook(type(error), error, error.__traceback__)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def load_again(namespace: dict[str, Any]) -> None:
    """Runs the definitions of the program in a process that the program started, as its module `__mp_main__`."""
    as_torch()
    sys.argv[0] = path = os.environ[_SCRIPT]
    namespace.update(__file__=path, __package__=os.environ[_PACKAGE] or None)
    for code in _compiled(path):
        exec(code, namespace)


def _compiled(path: str) -> Iterator[CodeType]:
    if path.endswith(".ipynb"):
        yield from _cells(path)
        return
    with tokenize.open(path) as file:
        source = file.read()
    yield compile(source, path, "exec", dont_inherit=True)


def _cells(path: str) -> Iterator[CodeType]:
    """The code cells of a notebook, without the lines that are commands to the notebook's shell."""
    with open(path, encoding="utf-8") as file:
        cells = json.load(file)["cells"]
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            lines = "".join(cell["source"]).splitlines(keepends=True)
            yield _cell("".join(map(_without_magic, lines)), f"{path}[{number}]")


def _without_magic(line: str) -> str:
    body = line.lstrip()
    if not body.startswith(("%", "!", "?")) and not body.rstrip().endswith("?"):
        return line
    return line[: len(line) - len(body)] + "pass\n"


def _cell(source: str, name: str) -> CodeType:
    """The code of a cell, which prints the value of its last expression as a notebook shows it."""
    tree = ast.parse(source, name)
    silent = source.rstrip().endswith(";")
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not silent:
        last = tree.body[-1]
        show = ast.parse("__import__('sys').displayhook(None)", mode="exec").body[0]
        assert isinstance(show, ast.Expr) and isinstance(show.value, ast.Call)
        show.value.args = [last.value]
        tree.body[-1] = ast.copy_location(show, last)
    return compile(ast.fix_missing_locations(tree), name, "exec", dont_inherit=True)


def _exit_status(code: Any) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code
    print(code, file=sys.stderr)
    return 1


def _below(trace: TracebackType | None, path: str) -> TracebackType | None:
    """The traceback from the program's own first frame on."""
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(path):
        trace = trace.tb_next
    return trace
