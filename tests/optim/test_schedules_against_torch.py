"""Learning rate schedules step by step beside PyTorch's: values, states, warnings, errors."""

from __future__ import annotations

import copy
import warnings

import pytest

import torchplug

real = pytest.importorskip("torch")

SCHEDULES = {
    "step": lambda s, o: s.StepLR(o, 3, gamma=0.5),
    "multistep": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 9], gamma=0.3),
    "lambda": lambda s, o: s.LambdaLR(o, [lambda epoch: 0.9**epoch, lambda epoch: 1 / (1 + epoch)]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda epoch: 0.9 + 0.01 * epoch),
    "constant": lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=4),
    "linear": lambda s, o: s.LinearLR(o, start_factor=0.2, end_factor=0.9, total_iters=7),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.83),
    "polynomial": lambda s, o: s.PolynomialLR(o, total_iters=9, power=1.7),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 6, eta_min=0.001),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2, eta_min=0.001),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.01, 0.1, step_size_up=4, step_size_down=3, mode="triangular2"),
    "cyclic exp": lambda s, o: s.CyclicLR(o, [0.01, 0.02], 0.1, step_size_up=3, mode="exp_range", gamma=0.9),
    "cyclic own": lambda s, o: s.CyclicLR(o, 0.01, 0.1, step_size_up=3, scale_fn=lambda x: 1 / x, cycle_momentum=False),
    "one cycle": lambda s, o: s.OneCycleLR(o, [0.1, 0.2], total_steps=25),
    "one cycle linear": lambda s, o: s.OneCycleLR(
        o, 0.1, epochs=5, steps_per_epoch=5, anneal_strategy="linear", three_phase=True, pct_start=0.4
    ),
    "sequential": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, factor=0.1, total_iters=2), s.ExponentialLR(o, 0.9), s.StepLR(o, 2)], [3, 11]
    ),
    "chained": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, factor=0.1, total_iters=4), s.ExponentialLR(o, 0.9)], o
    ),
}


def _optimizer(torch, name="SGD"):
    first, second = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    options = {"momentum": 0.9} if name == "SGD" else {}
    return getattr(torch.optim, name)([{"params": [first]}, {"params": [second], "lr": 0.5}], lr=0.1, **options)


def _trajectory(torch, make, name="SGD", steps=22):
    optimizer = _optimizer(torch, name)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    seen = []
    for _ in range(steps):
        momentum = [group.get("momentum", group.get("betas")) for group in optimizer.param_groups]
        seen.append((list(scheduler.get_last_lr()), [group["lr"] for group in optimizer.param_groups], momentum))
        optimizer.step()
        scheduler.step()
    return seen, scheduler


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_learning_rates_equal_pytorchs_exactly(schedule, name):
    ours, _ = _trajectory(torchplug, SCHEDULES[schedule], name)
    theirs, _ = _trajectory(real, SCHEDULES[schedule], name)
    assert ours == theirs


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_state_dict_equals_pytorchs(schedule):
    _, ours = _trajectory(torchplug, SCHEDULES[schedule], steps=5)
    _, theirs = _trajectory(real, SCHEDULES[schedule], steps=5)
    assert ours.state_dict() == theirs.state_dict()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_loaded_schedule_goes_on_where_the_saved_one_stopped(schedule):
    seen, _ = _trajectory(torchplug, SCHEDULES[schedule], steps=12)
    optimizer = _optimizer(torchplug)
    scheduler = SCHEDULES[schedule](torchplug.optim.lr_scheduler, optimizer)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    saved = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    optimizer = _optimizer(torchplug)
    scheduler = SCHEDULES[schedule](torchplug.optim.lr_scheduler, optimizer)
    optimizer.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    for expected in seen[5:]:
        assert scheduler.get_last_lr() == expected[0]
        assert [group["lr"] for group in optimizer.param_groups] == expected[1]
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("options", [
    {}, {"mode": "max", "threshold": 0.1}, {"threshold_mode": "abs", "threshold": 0.3, "cooldown": 2},
    {"mode": "max", "threshold_mode": "abs"}, {"min_lr": [0.01, 0.2], "factor": 0.5},
], ids=str)  # fmt: skip
def test_plateau_lowers_when_pytorch_does(options):
    values = [5.0, 4.0, 3.9, 3.95, 3.95, 4.1, 3.0, 3.0, 3.0, 3.0, 3.0, 3.2, 3.3, 3.4, 3.5, 2.0, 2.0, 2.0, 2.0]

    def run(torch):
        optimizer = _optimizer(torch)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2, **options)
        seen = []
        for value in values:
            scheduler.step(value)
            seen.append((scheduler.get_last_lr(), scheduler.state_dict()))
        return seen

    assert run(torchplug) == run(real)


@pytest.mark.parametrize("epochs", [[0, 1.5, 3.2, 7, 20, 2], [5]])
def test_warm_restarts_can_be_set_to_a_fraction_of_an_epoch(epochs):
    def run(torch):
        scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(_optimizer(torch), 3, T_mult=2)
        seen = []
        for epoch in epochs:
            scheduler.step(epoch)
            seen.append(scheduler.get_last_lr())
        return seen

    assert run(torchplug) == run(real)


def test_a_tensor_learning_rate_is_written_in_place():
    lr = torchplug.tensor(0.1)
    optimizer = torchplug.optim.SGD([torchplug.nn.Parameter(torchplug.ones(2))], lr=lr)
    scheduler = torchplug.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.item() == pytest.approx(0.05)
    assert scheduler.base_lrs[0].item() == pytest.approx(0.1)


WARNED = {
    "before the optimizer": lambda torch, o, s: s.step(),
    "an epoch given": lambda torch, o, s: (o.step(), s.step(4)),
    "get_lr from outside": lambda torch, o, s: s.get_lr(),
    "step overridden": lambda torch, o, s: (setattr(o, "step", lambda: None), o.step(), s.step()),
}


@pytest.mark.parametrize("case", WARNED)
def test_warnings_equal_pytorchs(case):
    def run(torch):
        optimizer = _optimizer(torch)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            WARNED[case](torch, optimizer, scheduler)
        return caught, scheduler.get_last_lr()

    (ours, rates), (theirs, expected) = run(torchplug), run(real)
    assert [(w.category, str(w.message)) for w in ours] == [(w.category, str(w.message)) for w in theirs]
    assert {w.filename for w in ours} == {__file__}
    assert rates == expected


BAD = {
    "no optimizer": lambda s, o: s.StepLR(None, 3),
    "resumed without initial_lr": lambda s, o: s.StepLR(o, 3, last_epoch=2),
    "too many lambdas": lambda s, o: s.LambdaLR(o, [len] * 3),
    "no function": lambda s, o: s.MultiplicativeLR(o, 3),
    "constant factor": lambda s, o: s.ConstantLR(o, factor=2),
    "linear start": lambda s, o: s.LinearLR(o, start_factor=0),
    "linear end": lambda s, o: s.LinearLR(o, end_factor=2),
    "restarts period": lambda s, o: s.CosineAnnealingWarmRestarts(o, 0),
    "restarts growth": lambda s, o: s.CosineAnnealingWarmRestarts(o, 2, T_mult=0),
    "restarts low": lambda s, o: s.CosineAnnealingWarmRestarts(o, 2, eta_min="0"),
    "restarts epoch": lambda s, o: s.CosineAnnealingWarmRestarts(o, 2).step(-1),
    "sequential empty": lambda s, o: s.SequentialLR(o, [], []),
    "sequential milestones": lambda s, o: s.SequentialLR(o, [s.ExponentialLR(o, 0.9)], [3]),
    "sequential plateau": lambda s, o: s.SequentialLR(o, [s.ReduceLROnPlateau(o)], []),
    "sequential stranger": lambda s, o: s.SequentialLR(o, [3], []),
    "chained empty": lambda s, o: s.ChainedScheduler([]),
    "plateau factor": lambda s, o: s.ReduceLROnPlateau(o, factor=1.0),
    "plateau mode": lambda s, o: s.ReduceLROnPlateau(o, mode="low"),
    "plateau threshold mode": lambda s, o: s.ReduceLROnPlateau(o, threshold_mode="low"),
    "plateau min_lr": lambda s, o: s.ReduceLROnPlateau(o, min_lr=[0.1]),
    "cyclic mode": lambda s, o: s.CyclicLR(o, 0.1, 1, mode="square"),
    "cyclic rates": lambda s, o: s.CyclicLR(o, [0.1], 1),
    "one cycle steps": lambda s, o: s.OneCycleLR(o, 0.1),
    "one cycle total": lambda s, o: s.OneCycleLR(o, 0.1, total_steps=0),
    "one cycle epochs": lambda s, o: s.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=3),
    "one cycle start": lambda s, o: s.OneCycleLR(o, 0.1, total_steps=5, pct_start=2.0),
    "one cycle strategy": lambda s, o: s.OneCycleLR(o, 0.1, total_steps=5, anneal_strategy="sin"),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_equal_pytorchs(case):
    def run(torch):
        with pytest.raises((TypeError, ValueError, KeyError)) as caught:
            BAD[case](torch.optim.lr_scheduler, _optimizer(torch))
        return type(caught.value), str(caught.value)

    assert run(torchplug) == run(real)


def test_too_many_steps_of_one_cycle_are_refused():
    def run(torch):
        optimizer = _optimizer(torch)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=2)
        with pytest.raises(ValueError, match="Tried to step 3 times") as caught:
            for _ in range(5):
                optimizer.step()
                scheduler.step()
        return str(caught.value)

    assert run(torchplug) == run(real)
