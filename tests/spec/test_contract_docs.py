"""The pages for authors of plugins say what the code says: contract, capabilities, hooks."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from torchplug_spec import CAPABILITIES, Backend, hookspecs, required_functions
from torchplug_spec.validation import CAPABILITY_FUNCTIONS
from torchplug_strict.contract import ARGUMENTS, DOMAINS, MEANINGS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
HOOKS = [name for name, member in vars(hookspecs).items() if hasattr(member, "torchplug_spec")]
FUNCTIONS = [name for name, member in vars(Backend).items() if inspect.isfunction(member) and not name.startswith("_")]


def sections(page: str) -> dict[str, str]:
    """Returns heading -> text below it, of the headings of a page that are a call in backticks."""
    found = re.split(r"^#+ `(.+?)`$", (DOCS / page).read_text(), flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_the_page_of_the_contract_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "write_contract.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_function_of_the_contract_is_described_argument_by_argument() -> None:
    described = {heading.partition("(")[0]: text for heading, text in sections("contract.md").items()}
    assert list(described) == FUNCTIONS
    assert set(required_functions()) <= described.keys()
    for name, text in described.items():
        arguments = [
            argument for argument in inspect.signature(getattr(Backend, name)).parameters if argument != "self"
        ]
        assert re.findall(r"^\| `(\w+)` \| .+ \|$", text, re.MULTILINE) == arguments, name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_of_the_contract_has_a_docstring(name: str) -> None:
    assert (inspect.getdoc(getattr(Backend, name)) or "").endswith("."), name


def test_the_strict_engine_checks_what_the_contract_lists() -> None:
    assert {kind for kinds in ARGUMENTS.values() for kind in kinds} == set(MEANINGS)
    assert DOMAINS.keys() <= ARGUMENTS.keys() <= set(FUNCTIONS)
    for name, kinds in ARGUMENTS.items():
        assert len(inspect.signature(getattr(Backend, name)).parameters) == len(kinds) + 1, name


def test_the_table_of_capabilities_is_the_codes() -> None:
    table = (DOCS / "capabilities.md").read_text().partition("| capability |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    functions = {name.strip("`"): tuple(re.findall(r"`(\w+)`", listed)) for name, _, listed in rows}
    assert functions == {name: CAPABILITY_FUNCTIONS.get(name, ()) for name in CAPABILITIES}
    for name, promise, _ in rows:
        assert promise.replace("`", "") == CAPABILITIES[name.strip("`")].partition(" (needs")[0]


def test_every_hook_is_documented_with_its_arguments_and_nothing_else_is() -> None:
    assert HOOKS
    expected = [f"{name}({', '.join(inspect.signature(getattr(hookspecs, name)).parameters)})" for name in HOOKS]
    assert list(sections("hooks.md")) == expected


@pytest.mark.parametrize("name", HOOKS)
def test_the_page_says_of_a_hook_what_its_docstring_begins_with(name: str) -> None:
    first = (inspect.getdoc(getattr(hookspecs, name)) or "").partition("\n\n")[0]
    said = " ".join(
        next(text for heading, text in sections("hooks.md").items() if heading.startswith(f"{name}(")).split()
    )
    assert " ".join(first.split()).partition(",")[0] in said


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_a_test_of_its_name(name: str) -> None:
    tree = ast.parse((Path(__file__).parent / "test_plugin_hooks.py").read_text())
    assert f"test_hook_{name}" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
