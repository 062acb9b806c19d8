"""What type checkers and editors know of the package: generated stubs, a program that is right, a program that is wrong."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOTS = os.pathsep.join(str(ROOT / part) for part in ("frontend", "backends", "plugins"))

RIGHT = """
from typing import assert_type

import torchplug as torch
import torchplug.nn.functional as F
from torchplug import Tensor, nn
from torchplug.optim.sgd import SGD
from torchplug.utils.data import DataLoader, TensorDataset

x = torch.ones(2, 3)
y = torch.add(x, 1)
assert_type(y, Tensor)
assert_type(x.sum(0).reshape(2, 3), Tensor)
assert_type(torch.float32, torch.dtype)
assert_type(x + y, Tensor)
assert_type(1 - x @ y.T, Tensor)
assert_type(x == y, Tensor)
assert_type(x[0], Tensor)
assert_type([row for row in x], list[Tensor])
assert_type(x.size(), torch.Size)
assert_type(x.size(0), int)
assert_type(x.shape, torch.Size)
assert_type(x.device, torch.device)
assert_type(torch.max(x), Tensor)
assert_type(torch.max(x, 0), torch.return_types.max)
assert_type(x.sort().indices, Tensor)
assert_type(x.unique(), Tensor)
assert_type(torch.atleast_1d(x), Tensor)
assert_type(x.add_(1, alpha=2), Tensor)
assert_type(torch.nn.functional.relu(x), Tensor)
assert_type(torch.special.erf(x), Tensor)
assert_type(torch.FloatTensor([1.0]).double(), Tensor)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 3)
        self.scale = nn.Parameter(torch.zeros(3))

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(self.layer(input)) * self.scale


model = Model()
assert_type(model.layer.weight, Tensor)
assert_type(torch.nn.Linear(2, 3)(x), Tensor)
assert_type(model(x), Tensor)
assert_type(torch.compile(model, fullgraph=True)(x), Tensor)


@torch.compile
@torch.no_grad()
def double(input: Tensor) -> Tensor:
    return input * 2


assert_type(double(x), Tensor)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
assert_type(optimizer, SGD)
torch.optim.lr_scheduler.StepLR(optimizer, 30)
for images, labels in torch.utils.data.DataLoader(TensorDataset(x, y), batch_size=2):
    loss = F.mse_loss(model(images), labels)
    assert_type(loss, Tensor)
    loss.backward()
    with torch.no_grad():
        print(loss.item())
loader: DataLoader[tuple[Tensor, ...]] = DataLoader(TensorDataset(x, y))
"""

# Line of a program -> the code of mypy's complaint, and a word that it must name.
WRONG = {
    "torch.ad(x, 1)": ("attr-defined", "ad"),
    "x.reshpe(3)": ("attr-defined", "reshpe"),
    "x.requires_gard = True": ("attr-defined", "requires_gard"),
    "torch.add('1', x)": ("arg-type", "str"),
    "torch.exp(1.0)": ("arg-type", "Tensor"),
    "x.flatten('0')": ("arg-type", "int"),
    "x + 'a'": ("operator", "str"),
    "torch.zeros(2, dtyp=torch.float32).sum(keepdm=True)": ("call-arg", "keepdm"),
    "torch.cat(x, y=1)": ("call-arg", "y"),
    "torch.max(x, 0).valeus": ("attr-defined", "valeus"),
    "F.sigmoid([1.0])": ("arg-type", "list"),
    "torch.optim.SDG": ("attr-defined", "SDG"),
    "torch.utils.date": ("attr-defined", "date"),
    "torch.special.erg(x)": ("attr-defined", "erg"),
    "torch.nn.Liner(1, 2)": ("attr-defined", "Liner"),
    "torch.nn.Linear('1', 2)": ("arg-type", "str"),
    "torch.nn.Linear(1, 2)('1')": ("arg-type", "str"),
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What mypy says of both programs, in its strict mode, by file."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed; it comes with the dev extra")
    folder = tmp_path_factory.mktemp("programs")
    (folder / "mypy.ini").write_text("[mypy]\nstrict = true\nfollow_imports = silent\n")
    (folder / "right.py").write_text(RIGHT)
    head = "import torchplug as torch\nimport torchplug.nn.functional as F\nx = torch.ones(3)\n"
    (folder / "wrong.py").write_text(head + "\n".join(WRONG) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "right.py", "wrong.py"],
        cwd=folder, env={**os.environ, "MYPYPATH": ROOTS}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    lines = done.stdout.splitlines()
    return {name: [line for line in lines if line.startswith(f"{name}.py:")] for name in ("right", "wrong")}


def test_the_stubs_say_what_the_package_offers() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "write_stubs.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_a_program_written_for_pytorch_has_the_types_it_says(complaints: dict[str, list[str]]) -> None:
    assert complaints["right"] == []


@pytest.mark.parametrize("program", WRONG)
def test_a_mistake_is_refused_where_it_stands(program: str, complaints: dict[str, list[str]]) -> None:
    line = list(WRONG).index(program) + 4
    code, word = WRONG[program]
    said = [text for text in complaints["wrong"] if text.startswith(f"wrong.py:{line}: error")]
    assert any(f"[{code}]" in text and word in text for text in said), said


def test_mistakes_alone_are_refused(complaints: dict[str, list[str]]) -> None:
    assert {int(text.split(":")[1]) for text in complaints["wrong"]} == set(range(4, 4 + len(WRONG)))
