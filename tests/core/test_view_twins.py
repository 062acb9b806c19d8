"""`unsqueeze_` and its like change how a tensor looks into its memory, for the tensor alone, as in PyTorch."""

from __future__ import annotations

from typing import Any

import pytest

import torchplug

torch = pytest.importorskip("torch")

TWINS = {
    "unsqueeze_": (1,), "squeeze_": (), "t_": (), "transpose_": (0, 1), "swapaxes_": (1, 0), "swapdims_": (-1, 0),
    "as_strided_": ((2, 2), (1, 2), 1),
}  # fmt: skip


def both(function: Any, backend: str) -> tuple[Any, Any]:
    with torchplug.use_backend(backend):
        return function(torchplug), function(torch)


def facts(x: Any) -> tuple:
    return tuple(x.shape), x.stride(), x.storage_offset(), x._version, x.requires_grad, x.is_leaf, x.tolist()


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("kind", ["base", "view", "data"])
def test_a_tensor_looks_anew_into_the_memory_it_shares(backend: str, kind: str, name: str) -> None:
    def run(lib: Any) -> list:
        base = lib.arange(12.0)
        x = {"base": lambda: base, "view": lambda: base[2:8].view(2, 3), "data": lambda: base.data}[kind]()
        if x.dim() == 1:
            x = x[:6].view(2, 3).clone() if kind == "base" else x.as_strided((2, 3), (3, 1))
        view = x[0]
        assert getattr(x, name)(*TWINS[name]) is x
        seen = [facts(x), facts(view), base.tolist()]
        x.mul_(10)
        view.add_(1)
        return [*seen, facts(x), facts(view), base.tolist()]

    ours, theirs = both(run, backend)
    assert ours == theirs


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("kind", ["result", "view"])
def test_gradients_flow_through_what_a_tensor_was(backend: str, kind: str, name: str) -> None:
    def run(lib: Any) -> list:
        leaf = lib.arange(6.0).requires_grad_()
        x = (leaf * 2).clone() if kind == "result" else (leaf * 2)[:]
        x = x.view(2, 3) if kind == "view" else x.reshape(2, 3).clone()
        getattr(x, name)(*TWINS[name])
        y = x * lib.arange(float(x.numel())).view(x.shape)
        x.mul_(3)
        (y.sum() + x.sum()).backward()
        return [leaf.grad.tolist(), facts(x)]

    ours, theirs = both(run, backend)
    assert ours == theirs


def test_a_leaf_keeps_its_place_only_where_nothing_is_recorded(backend: str) -> None:
    def run(lib: Any) -> list:
        leaf = lib.ones(2, 3, requires_grad=True)
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place"):
            leaf.unsqueeze_(0)
        with lib.no_grad():
            leaf.unsqueeze_(0)
        leaf.sum().backward()
        return [facts(leaf), leaf.grad.tolist()]

    ours, theirs = both(run, backend)
    assert ours == theirs


def test_a_wrong_dimension_leaves_the_tensor_as_it_was(backend: str) -> None:
    def run(lib: Any) -> list:
        x = lib.ones(2, 3)
        view = x[0]
        with pytest.raises(IndexError, match="Dimension out of range"):
            x.unsqueeze_(5)
        view.add_(1)
        return [facts(x), facts(view)]

    ours, theirs = both(run, backend)
    assert ours == theirs
