"""Kernels of the NumPy engine give on several threads what they give on one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import torchplug as torch
from torchplug_numpy import threads


@pytest.fixture(params=[2, 3])
def several(request: pytest.FixtureRequest) -> Iterator[int]:
    before = threads.get_num_threads()
    with torch.use_backend("numpy"):
        torch.manual_seed(0)
        torch.set_num_threads(request.param)
        yield request.param
        torch.set_num_threads(before)


def _step(build: Callable[[], Any], shape: tuple[int, ...]) -> list[np.ndarray]:
    torch.manual_seed(0)
    net, x = build(), torch.randn(*shape, requires_grad=True)
    # Not Adam: it divides gradients by their size, and makes steps of the rounding of those near zero.
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(x).square().mean().backward()
    gradients = [p.grad.numpy().copy() for p in net.parameters()]
    optimizer.step()
    return [x.grad.numpy(), *gradients, *[p.detach().numpy() for p in net.parameters()]]


NETS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "winograd": (lambda: torch.nn.Conv2d(64, 64, 3, padding=1), (32, 64, 16, 16)),
    "columns": (lambda: torch.nn.Conv2d(16, 16, 3, padding=1), (40, 16, 32, 32)),
    "rows of one image": (lambda: torch.nn.Conv2d(32, 16, 3, padding=1), (2, 32, 70, 70)),
    "banded": (lambda: torch.nn.Conv2d(10, 20, 5), (64, 10, 12, 12)),
    "elementwise": (lambda: torch.nn.Sequential(torch.nn.Linear(512, 600), torch.nn.GELU()), (700, 512)),
    "rows": (lambda: torch.nn.Sequential(torch.nn.Linear(64, 600), torch.nn.Softmax(-1)), (700, 64)),
}


@pytest.mark.parametrize("net", NETS)
def test_a_step_on_several_threads_is_that_on_one(net: str, several: int) -> None:
    shared, again = _step(*NETS[net]), _step(*NETS[net])
    torch.set_num_threads(1)
    alone = _step(*NETS[net])
    for array, same, reference in zip(shared, again, alone, strict=True):
        assert np.array_equal(array, same)  # the same bits from run to run
        np.testing.assert_allclose(array, reference, 1e-3, 1e-6 + 1e-5 * np.abs(reference).max())


def test_attention_on_several_threads_is_that_on_one(several: int) -> None:
    q, k, v = (torch.randn(8, 4, 128, 32, requires_grad=True) for _ in range(3))

    def run() -> list[np.ndarray]:
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return [out.detach().numpy(), *[g.numpy() for g in torch.autograd.grad(out.square().sum(), (q, k, v))]]

    shared = run()
    torch.set_num_threads(1)
    for array, reference in zip(shared, run(), strict=True):
        assert np.array_equal(array, reference)


def test_every_block_is_worked_on_once_by_as_many_threads_as_wanted(several: int) -> None:
    seen: list[tuple[int, str]] = []
    threads.run_blocks(lambda block: seen.append((block, threading.current_thread().name)), range(10))
    assert sorted(block for block, _ in seen) == list(range(10))
    assert len({threading.get_ident()} | {name for _, name in seen}) > 1
    assert threads.sum_blocks(lambda block: np.array([block, 1]), range(10)).tolist() == [45, 10]


def test_an_error_in_a_block_is_raised_where_the_work_was_asked_for(several: int) -> None:
    def block(place: int) -> None:
        if place == 9:
            raise ValueError("block 9")

    with pytest.raises(ValueError, match="block 9"):
        threads.run_blocks(block, range(10))
    threads.run_blocks(lambda place: None, range(10))  # and the workers are there for the next call


def test_kernels_inside_blocks_and_in_other_threads_do_not_wait_for_each_other(several: int) -> None:
    totals: list[int] = []

    def outer(place: int) -> None:
        threads.run_blocks(totals.append, range(5))

    callers = [threading.Thread(target=threads.run_blocks, args=(outer, range(4))) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert len(totals) == 3 * 4 * 5


FORKS = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from torchplug_numpy import threads
threads.set_num_threads({count})
threads.run_blocks(lambda place: None, range(10))
child = os.fork()
if not child:
    seen = []
    threads.run_blocks(seen.append, range(10))
    os._exit(0 if sorted(seen) == list(range(10)) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("count", [2, 3])
def test_a_forked_child_starts_threads_of_its_own(count: int) -> None:
    # In a process of its own: other libraries warn of forks, and hang in them.
    done = subprocess.run([sys.executable, "-c", FORKS.format(count=count)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_set_num_threads_tells_blas_and_a_kernel_leaves_that_as_it_was(several: int) -> None:
    get, _ = threads._blas()
    if get() == 1:
        pytest.skip("the threads of this BLAS cannot be read")
    assert get() == several
    inside: list[int] = []
    threads.run_blocks(lambda place: inside.append(get()), range(4))
    assert set(inside) == {1} and get() == several
