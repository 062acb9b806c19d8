"""Ten thousand training steps leave nothing behind: no memory, no tensors, no graph, no compiled programs."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import torchplug as torch
from torchplug import nn

STEPS = 10_000
WARM = 1_000


def training_step() -> Callable[[], Any]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    x, y = torch.randn(8, 4), torch.randint(2, (8,))

    def step() -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def resident() -> int:
    """Returns the memory this process holds, in pages."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1])
    except OSError:
        pytest.skip("this system does not tell how much memory a process holds")


def live_tensors() -> int:
    gc.collect()
    # By type: to ask some objects of other libraries for their class makes them warn.
    return sum(issubclass(type(x), torch.Tensor) for x in gc.get_objects())


@pytest.mark.parametrize("backend", ["numpy", "strict"])
def test_ten_thousand_steps_leave_nothing_behind(backend: str) -> None:
    with torch.use_backend(backend):
        step = training_step()
        for _ in range(WARM):
            step()
        tensors, pages = live_tensors(), resident()
        for _ in range(STEPS if backend == "numpy" else STEPS // 5):
            step()
        assert live_tensors() == tensors
        assert resident() < 1.02 * pages


def test_ten_thousand_compiled_steps_leave_nothing_behind() -> None:
    pytest.importorskip("jax")
    with torch.use_backend("jax"):
        step = torch.compile(training_step())
        for _ in range(WARM):
            step()
        tensors, pages = live_tensors(), resident()
        programs = [len(case.programs) for case in step._cases.values()]
        for _ in range(STEPS):
            loss = step()
        assert loss.item() == loss.item()
        del loss
        assert live_tensors() == tensors
        assert resident() < 1.02 * pages
        assert [len(case.programs) for case in step._cases.values()] == programs == [1]


@pytest.mark.parametrize("backend", ["numpy", "strict", "jax"])
def test_a_graph_is_freed_by_counting_alone(backend: str) -> None:
    if backend == "jax":
        pytest.importorskip("jax")
    with torch.use_backend(backend):
        step = training_step()
        step()
        gc.collect()
        gc.disable()
        try:
            loss = step()
            node = weakref.ref(loss.grad_fn)
            graph = [weakref.ref(inner) for inner, _ in loss.grad_fn.next_functions if inner is not None]
            del loss
            assert node() is None and [inner() for inner in graph] == [None] * len(graph)
        finally:
            gc.enable()
