"""Fifty steps of every optimizer: losses, states, options and their printing, compared with PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
from same_training import losses_and_optimizer

import torchplug

real = pytest.importorskip("torch")

CASES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"weight_decay": 0.1, "maximize": True, "lr": 1e-3}),
    ("Adam", {}),
    ("Adam", {"betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "maximize": True}),
    ("AdamW", {}),
    ("AdamW", {"amsgrad": True, "weight_decay": 0.3}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adadelta", {"lr": 1.0}),
    ("Adadelta", {"rho": 0.8, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "lr": 1e-3}),
    ("RMSprop", {"centered": True, "alpha": 0.9}),
    ("Adamax", {}),
    ("Adamax", {"weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "momentum_decay": 0.01}),
    ("RAdam", {}),
    ("RAdam", {"weight_decay": 0.1, "betas": (0.7, 0.9)}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("ASGD", {}),
    ("ASGD", {"lambd": 0.1, "t0": 5, "weight_decay": 0.1}),
    ("Rprop", {}),
    ("Rprop", {"etas": (0.4, 1.4), "step_sizes": (1e-3, 0.1), "maximize": True}),
]
IDS = [f"{name}-{'-'.join(options) or 'plain'}" for name, options in CASES]


def _close(ours, theirs, rel=1e-6):
    np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=rel, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_fifty_losses_equal_pytorchs(backend, name, options):
    expected, _ = losses_and_optimizer(real, name, **options)
    losses, _ = losses_and_optimizer(torchplug, name, **options)
    _close(losses, expected, 1e-6)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_state_dict_equals_pytorchs(backend, name, options):
    _, expected = losses_and_optimizer(real, name, steps=7, dtype="float64", **options)
    _, optimizer = losses_and_optimizer(torchplug, name, steps=7, dtype="float64", **options)
    ours, theirs = optimizer.state_dict(), expected.state_dict()
    assert ours["param_groups"] == theirs["param_groups"]
    assert list(ours["state"]) == list(theirs["state"])
    for number, state in theirs["state"].items():
        assert list(ours["state"][number]) == list(state)
        for key, value in state.items():
            found = ours["state"][number][key]
            assert str(found.dtype) == str(value.dtype)
            assert found.shape == value.shape
            _close(found.numpy(), value.numpy(), 1e-6 if found.ndim == 0 else 1e-9)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_printing_equals_pytorchs(name, options):
    _, expected = losses_and_optimizer(real, name, steps=1, **options)
    _, optimizer = losses_and_optimizer(torchplug, name, steps=1, **options)
    assert repr(optimizer) == repr(expected)


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_complex_parameters_step_as_pytorchs(name):
    expected, _ = losses_and_optimizer(real, name, steps=20, dtype="complex128")
    losses, _ = losses_and_optimizer(torchplug, name, steps=20, dtype="complex128")
    _close(losses, expected, 1e-9)


@pytest.mark.parametrize("options", [{}, {"line_search_fn": "strong_wolfe"}, {"history_size": 3}], ids=str)
def test_lbfgs_takes_the_same_path(backend, options):
    _close(_lbfgs(torchplug, **options), _lbfgs(real, **options), 1e-6)


def _lbfgs(torch, **options):
    x = torch.tensor([-1.5, 2.0, 0.3, 0.7], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([x], lr=0.05 if not options.get("line_search_fn") else 1, max_iter=6, **options)
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        loss.backward()
        losses.append(loss.item())
        return loss

    for _ in range(8):
        optimizer.step(closure)
    return losses
