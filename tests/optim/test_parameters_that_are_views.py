"""Parameters that are views of other tensors: an optimizer writes through them, as PyTorch's do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import torchplug

torch = pytest.importorskip("torch")

VIEWS: dict[str, Callable[[Any], Any]] = {
    "transposed": lambda x: x.t(),
    "row": lambda x: x[1],
    "stepped": lambda x: x[:, ::2],
}


def stepped(lib: Any, kind: str, view: Callable[[Any], Any]) -> list[Any]:
    base = lib.arange(6.0).reshape(2, 3)
    parameter = view(base).requires_grad_()
    optimizer = getattr(lib.optim, kind)([parameter], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (parameter**2).sum().backward()
        optimizer.step()
    written: list[Any] = base.tolist()
    return written


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", ["SGD", "Adam", "Rprop"])
def test_a_step_writes_the_memory_that_a_parameter_shares(backend: str, kind: str, view: str) -> None:
    expected = stepped(torch, kind, VIEWS[view])
    for got, row in zip(stepped(torchplug, kind, VIEWS[view]), expected, strict=True):
        assert got == pytest.approx(row, rel=1e-5)


def test_a_parameter_whose_elements_share_one_place_is_refused() -> None:
    with pytest.raises(RuntimeError, match="refers to a single memory location"):
        stepped(torchplug, "SGD", lambda base: base[0, :1].expand(3))
