"""Views of detached aliases: a Parameter and `x.detach()` begin histories of their own."""

from __future__ import annotations

import pytest

import torchplug as torch


def test_writing_a_view_of_a_parameter_is_refused_under_grad(backend):
    parameter = torch.nn.Parameter(torch.ones(3, 4))
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad is being used"):
        parameter[0].add_(1)


def test_a_write_through_a_view_reaches_the_history_of_the_detached_base(backend):
    weight = torch.ones(4, requires_grad=True)
    detached = torch.zeros(3, 4, requires_grad=True).detach()
    detached.t()[:, 1].copy_(weight * 2)
    assert detached.requires_grad
    (detached * 3).sum().backward()
    assert weight.grad.tolist() == [6.0] * 4
