"""In-place methods under autograd: the gradients that the functions of the same name have, on every engine."""

from __future__ import annotations

import pytest

import torchplug

torch = pytest.importorskip("torch")


def operands(lib, count):
    """Returns tensors with positive values that require grad, all different."""
    return [(lib.arange(1.0, 7.0, dtype=lib.float64).view(2, 3) / 4 + 0.3 * i).requires_grad_() for i in range(count)]


CALLS = {
    "mul of a keyword": (2, lambda lib, x, y: x.mul_(other=y)),
    "mul of a broadcast keyword": (2, lambda lib, x, y: x.mul_(other=y[0])),
    "div of a keyword": (2, lambda lib, x, y: x.div_(other=y)),
    "div": (2, lambda lib, x, y: x.div_(y)),
    "div with trunc": (2, lambda lib, x, y: x.div_(y, rounding_mode="trunc")),
    "div with floor": (2, lambda lib, x, y: x.div_(y, rounding_mode="floor")),
    "pow of a keyword": (2, lambda lib, x, y: x.pow_(exponent=y)),
    "addcmul of keywords": (3, lambda lib, x, y, z: x.addcmul_(tensor1=y, tensor2=z, value=2)),
    "lerp of a keyword": (3, lambda lib, x, y, z: x.lerp_(end=y, weight=z)),
    "atan2": (2, lambda lib, x, y: x.atan2_(y)),
    "xlogy of a keyword": (2, lambda lib, x, y: x.xlogy_(other=y)),
    "cumprod": (1, lambda lib, x: x.cumprod_(0)),
    "logit": (1, lambda lib, x: x.mul_(0.3).logit_(0.01)),
    "mvlgamma": (1, lambda lib, x: x.add_(60).mvlgamma_(2)),
    "clamp between tensors": (3, lambda lib, x, y, z: x.clamp_(y, z)),
    "of a view": (2, lambda lib, x, y: x[0].mul_(other=y[1])),
    "one after the other": (2, lambda lib, x, y: x.mul_(y).add_(1).mul_(other=y).square_()),
}


def gradients(lib, call, order):
    count, write = CALLS[call]
    leaves = operands(lib, count)
    start = leaves[0] * 1
    write(lib, start, *leaves[1:])
    outputs, weights = [start], lib.ones_like(start)
    for step in range(order):
        made = lib.autograd.grad(outputs[0], leaves, weights, create_graph=step + 1 < order, allow_unused=True)
        outputs = [sum(g.sum() * (i + 2) for i, g in enumerate(made) if g is not None)]
        if step + 1 < order and not outputs[0].requires_grad:
            return None
        weights = None
    return [None if g is None or not g.detach().abs().sum() else g.detach().flatten().tolist() for g in made]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("call", CALLS)
def test_gradients_after_an_inplace_method_are_pytorchs(backend, call, order):
    ours, theirs = gradients(torchplug, call, order), gradients(torch, call, order)
    if theirs is None:
        assert ours is None or not any(ours)
        return
    for own, other in zip(ours, theirs, strict=True):
        assert own is other is None or own == pytest.approx(other, rel=1e-11)


def test_an_inplace_method_copies_nothing_that_no_rule_reads(monkeypatch):
    with torchplug.use_backend("numpy"):
        x = torchplug.ones(4, requires_grad=True) * 1
        copied = []
        monkeypatch.setattr(x._kind.F, "copy", lambda array: copied.append(array) or array.copy())
        x.add_(2).exp_().mul_(3)
        assert not copied
        x.square_()
        assert len(copied) == 1
