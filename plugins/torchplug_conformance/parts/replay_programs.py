"""Steps that carry state from call to call, run plain and compiled: what a replay must not freeze, lose or overwrite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import torchplug
from torchplug import nn

__all__ = ["REPLAY_PROGRAMS"]

Compile = Callable[[Any], Any]
CALLS = 4


def _batch(call: int) -> Any:
    random = np.random.default_rng(call)
    return torchplug.tensor(np.asarray(random.uniform(-1, 1, (6, 4)), np.float32))


def _network(*extra: Any) -> Any:
    torchplug.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), *extra, nn.Tanh(), nn.Linear(5, 2))


def _stepper(model: Any, optimizer: Any) -> Any:
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return step


def _state(model: Any) -> list[Any]:
    return list(model.state_dict().values())


def _training(compile: Compile) -> Any:
    model = _network()
    step = compile(_stepper(model, torchplug.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)))
    return [step(_batch(call)) for call in range(CALLS)], _state(model)


def _adam(compile: Compile) -> Any:
    model = _network()
    step = compile(_stepper(model, torchplug.optim.Adam(model.parameters(), lr=0.05)))
    return [step(_batch(call)) for call in range(CALLS)], _state(model)


def _schedule(compile: Compile) -> Any:
    model = _network()
    optimizer = torchplug.optim.SGD(model.parameters(), lr=0.5)
    scheduler = torchplug.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1)
    step = compile(_stepper(model, optimizer))
    losses = []
    for call in range(CALLS):
        losses.append(step(_batch(call)))
        scheduler.step()
    return losses, _state(model)


def _batch_statistics(compile: Compile) -> Any:
    model = _network(nn.BatchNorm1d(5))
    forward = compile(model)
    trained = [forward(_batch(call)) for call in range(CALLS)]
    model.eval()
    return trained, forward(_batch(9)), _state(model)


def _dropout(compile: Compile) -> Any:
    model = _network(nn.Dropout(0.5))
    torchplug.manual_seed(5)
    forward = compile(model)
    return [forward(_batch(0)) for _ in range(CALLS)], torchplug.rand(2)


def _train_and_eval(compile: Compile) -> Any:
    model = _network(nn.Dropout(0.5))
    forward = compile(model)
    torchplug.manual_seed(5)
    results = []
    for mode in (True, False, True, False):
        model.train(mode)
        results.append(forward(_batch(0)))
    return results


def _accumulation(compile: Compile) -> Any:
    model = _network()

    def accumulate(x: Any) -> Any:
        loss = (model(x) ** 2).mean()
        loss.backward()
        return loss

    run = compile(accumulate)
    losses = [run(_batch(call)) for call in range(3)]
    summed = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad(set_to_none=True)
    losses.append(run(_batch(3)))
    return losses, summed, [parameter.grad for parameter in model.parameters()]


def _replaced_parameters(compile: Compile) -> Any:
    model = _network()
    forward = compile(model)
    before = forward(_batch(0))
    model.load_state_dict({key: value * 2 for key, value in model.state_dict().items()})
    loaded = forward(_batch(0))
    with torchplug.no_grad():
        model[0].weight.mul_(0.5)
    written = forward(_batch(0))
    model[0].bias = nn.Parameter(torchplug.ones(5))
    return before, loaded, written, forward(_batch(0))


def _numbers(compile: Compile) -> Any:
    scale = [2.0]

    def function(x: Any, power: int, shift: float = 0.0) -> Any:
        return x**power * scale[0] + shift

    run = compile(function)
    results = [run(_batch(0), 2), run(_batch(0), 3), run(_batch(0), 2, shift=1.5)]
    scale[0] = -1.0
    return results, run(_batch(0), 2)


def _attributes(compile: Compile) -> Any:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = 2.0

        def forward(self, x: Any) -> Any:
            return x * self.factor if self.factor > 0 else x + 100

    model = Scaled()
    run = compile(model)
    first = run(_batch(0))
    model.factor = 5.0
    second = run(_batch(0))
    model.factor = -1.0
    return first, second, run(_batch(0))


def _outputs_stay(compile: Compile) -> Any:
    run = compile(lambda x: (x * 2, {"sum": x.sum(), "list": [x[0], 3]}))
    results = [run(_batch(call)) for call in range(3)]
    return results, results[0][0]


def _written_arguments(compile: Compile) -> Any:
    def function(x: Any, total: Any) -> Any:
        total[1:].add_(x[1:])
        x.mul_(2)
        return x.sum()

    run = compile(function)
    total = torchplug.zeros(6, 4)
    batches = [_batch(call) for call in range(3)]
    return [run(batch, total) for batch in batches], batches, total


def _buffer_views(compile: Compile) -> Any:
    class Ring(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("memory", torchplug.zeros(3, 4))

        def forward(self, x: Any) -> Any:
            self.memory[1:] = self.memory[:-1].clone()
            self.memory[0].copy_(x[0])
            return self.memory.sum(0)

    model = Ring()
    last = model.memory[2]
    run = compile(model)
    return [run(_batch(call)) for call in range(CALLS)], last, model.memory


def _shapes(compile: Compile) -> Any:
    run = compile(lambda x: x.t() @ x)
    return [run(torchplug.ones(rows, 2) * rows) for rows in (2, 3, 2, 5)]


def _random_numbers(compile: Compile) -> Any:
    run = compile(lambda x: x + torchplug.rand(4) * torchplug.randn(4))
    torchplug.manual_seed(7)
    return [run(torchplug.zeros(4)) for _ in range(3)], torchplug.rand(3)


REPLAY_PROGRAMS: dict[str, Callable[[Compile], Any]] = {
    "training": _training,
    "adam": _adam,
    "schedule": _schedule,
    "batch-statistics": _batch_statistics,
    "dropout": _dropout,
    "train-and-eval": _train_and_eval,
    "accumulation": _accumulation,
    "replaced-parameters": _replaced_parameters,
    "numbers": _numbers,
    "attributes": _attributes,
    "outputs-stay": _outputs_stay,
    "written-arguments": _written_arguments,
    "buffer-views": _buffer_views,
    "shapes": _shapes,
    "random-numbers": _random_numbers,
}
"""Name -> a program that takes `torchplug.compile`, or a function that returns its argument, and returns all it saw."""
