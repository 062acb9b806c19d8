"""Memory that compiled programs give away for new values, and what they report of themselves."""

from __future__ import annotations

import logging

import pytest

import torchplug as torch
from torchplug import nn


def donates(backend):
    return backend == "jax"


def counter_step(weight):
    def step():
        weight.add_(1.0)
        return weight.sum()

    return torch.compile(step)


def test_values_held_from_outside_outlive_the_memory_given_away(backend):
    weight = torch.zeros(1000)
    step = counter_step(weight)
    for _ in range(4):
        step()
    leaf = nn.Parameter(torch.ones(1000))
    product = (leaf * weight).sum()  # its backward needs the weight of this moment
    copy, view, host = weight.clone(), weight.detach(), weight.numpy().copy()
    step()
    product_of_old = weight.clone()
    assert copy.tolist() == host.tolist() == [4.0] * 1000
    assert view.tolist() == product_of_old.tolist() == [5.0] * 1000
    assert product.item() == 4000.0


def test_a_saved_tensor_is_still_there_for_backward_where_only_data_moved(backend):
    weight = torch.zeros(1000)
    step = counter_step(weight)
    for _ in range(4):
        step()
    leaf = nn.Parameter(torch.ones(1000))
    saved = weight * 1.0
    loss = (leaf * saved).sum()
    step()
    loss.backward()
    assert leaf.grad.tolist() == [4.0] * 1000


def test_gradients_held_from_outside_are_not_overwritten(backend):
    weight = nn.Parameter(torch.ones(20000))
    optimizer = torch.optim.SGD([weight], lr=0.5, momentum=0.5)

    def step(x):
        optimizer.zero_grad()
        (weight * x).sum().backward()
        optimizer.step()

    run = torch.compile(step)
    held = []
    for number in range(8):
        run(torch.full((20000,), float(number)))
        held.append((weight.grad, weight.grad[:2], weight.grad.detach()))
    for number, (grad, view, alias) in enumerate(held):
        assert grad[0].item() == view[1].item() == alias[-1].item() == float(number)


def test_equal_arrays_in_two_places_are_given_away_once(backend):
    first, second = torch.zeros(100), torch.zeros(100)
    second.copy_(first)
    third = first.detach()

    def step():
        first.add_(1.0)
        second.add_(2.0)
        return first + second

    run = torch.compile(step)
    for number in range(1, 7):
        assert run()[0].item() == 3.0 * number
    assert third[0].item() == 6.0


def test_the_memory_of_the_old_state_is_used_for_the_new(backend):
    if not donates(backend):
        pytest.skip("this engine does not give memory away")
    weight = torch.zeros(100000)
    step = counter_step(weight)
    for _ in range(4):
        step()
    places = []
    for _ in range(3):
        places.append(weight._cell.array.unsafe_buffer_pointer())
        step()
    assert len(set(places)) == 1


def test_statistics_say_what_was_traced_compiled_and_run(backend, caplog):
    weight = torch.zeros(3)
    step = counter_step(weight)
    with caplog.at_level(logging.INFO, logger="torchplug.compile"):
        for _ in range(5):
            step()
    if "compile" not in torch.backends.status(backend).capabilities:
        assert step.statistics == []
        return
    (row,) = step.statistics
    assert row["calls"] == 4
    assert row["trace_seconds"] > 0
    assert row["compile_seconds"] > 0
    assert row["inputs"] == 1
    assert sum("compiled" in record.message for record in caplog.records) == 1
