"""Compiled functions compute what eager ones do, find their own state, and are never stale."""

from __future__ import annotations

import dataclasses
import warnings

import pytest

import torchplug as torch
from torchplug import nn
from torchplug.nn import functional as F


def values(*tensors):
    return [x.detach().tolist() for x in tensors]


def close(a, b, tolerance=1e-5):
    return all(abs(x - y) <= tolerance * max(1.0, abs(x)) for x, y in zip(a, b, strict=True))


def compiles(backend):
    return "compile" in torch.backends.status(backend).capabilities


def programs(compiled):
    return sum(len(case.programs) for case in compiled._cases.values())


def model(dropout=False, norm=False):
    layers = [nn.Linear(4, 8), nn.BatchNorm1d(8) if norm else nn.Identity(), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(0.4) if dropout else nn.Identity(), nn.Linear(8, 3))


def training(make_optimizer, compiled, dropout=False, norm=False, between=None, steps=8, forward_only=False):
    torch.manual_seed(3)
    net = model(dropout, norm)
    optimizer = make_optimizer(net.parameters())
    data = [(torch.randn(6, 4), torch.randint(3, (6,))) for _ in range(steps)]

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = torch.compile(step) if compiled else step
    losses = []
    for number, (x, y) in enumerate(data):
        if between is not None:
            between(number, net, optimizer)
        losses.append(run(x, y).item())
    return losses, net, run


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_compiled_training_step_equals_the_eager_one(backend, name):
    eager, *_ = training(OPTIMIZERS[name], False)
    losses, _, run = training(OPTIMIZERS[name], True)
    assert close(eager, losses)
    if compiles(backend):
        assert programs(run) == 1


def test_batch_norm_statistics_move_on_in_a_compiled_step(backend):
    eager, net, _ = training(OPTIMIZERS["momentum"], False, norm=True)
    losses, other, _ = training(OPTIMIZERS["momentum"], True, norm=True)
    assert close(eager, losses)
    assert close(net[1].running_mean.tolist(), other[1].running_mean.tolist())
    assert net[1].num_batches_tracked.item() == other[1].num_batches_tracked.item() == 8


def test_dropout_draws_new_and_equal_masks_in_a_compiled_step(backend):
    eager, *_ = training(OPTIMIZERS["sgd"], False, dropout=True)
    losses, *_ = training(OPTIMIZERS["sgd"], True, dropout=True)
    assert close(eager, losses)


def test_a_changed_learning_rate_counts_without_a_new_trace(backend):
    def halve(number, net, optimizer):
        if number in (4, 6):
            optimizer.param_groups[0]["lr"] *= 0.5

    eager, *_ = training(OPTIMIZERS["momentum"], False, between=halve)
    losses, _, run = training(OPTIMIZERS["momentum"], True, between=halve)
    assert close(eager, losses)
    if compiles(backend):
        assert programs(run) == 1


def _write(number, net, optimizer):
    if number == 5:
        net[0].weight.data.mul_(0.5)
        with torch.no_grad():
            net[4].bias.copy_(torch.ones(3))


def _replace(number, net, optimizer):
    if number == 5:
        old = net[4].bias
        net[4].bias = nn.Parameter(torch.full((3,), 0.25))
        optimizer.param_groups[0]["params"] = [
            net[4].bias if p is old else p for p in optimizer.param_groups[0]["params"]
        ]


def _load(number, net, optimizer):
    if number == 5:
        net.load_state_dict({name: torch.full_like(value, 0.1) for name, value in net.state_dict().items()})


def _forget(number, net, optimizer):
    if number == 5:
        for p in net.parameters():
            p.grad = None


def _evaluate(number, net, optimizer):
    net.train(number not in (4, 6))


OUTSIDE = {
    "written": _write,
    "replaced": _replace,
    "loaded": _load,
    "gradients forgotten": _forget,
    "eval and train": _evaluate,
}


@pytest.mark.parametrize("change", OUTSIDE)
def test_changes_from_outside_are_seen(backend, change):
    eager, *_ = training(OPTIMIZERS["sgd"], False, dropout=True, between=OUTSIDE[change], steps=10)
    losses, *_ = training(OPTIMIZERS["sgd"], True, dropout=True, between=OUTSIDE[change], steps=10)
    assert close(eager, losses)


def test_gradients_accumulate_over_compiled_calls(backend):
    results = []
    for compiled in (False, True):
        torch.manual_seed(0)
        net = model()

        def part(x, net=net):
            loss = net(x).square().mean()
            loss.backward()
            return loss

        run = torch.compile(part) if compiled else part
        seen = []
        for number in range(9):
            if number % 3 == 0:
                net.zero_grad()
            run(torch.full((2, 4), float(number)))
            seen += net[0].weight.grad.flatten().tolist()[:4]
        results.append(seen)
    assert close(*results)


def test_a_compiled_module_trains_with_backward_outside(backend):
    results = []
    for compiled in (False, True):
        torch.manual_seed(1)
        net = model()
        run = torch.compile(net) if compiled else net
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        losses = []
        for _ in range(7):
            x = torch.randn(5, 4, requires_grad=True)
            optimizer.zero_grad()
            loss = F.cross_entropy(run(x), torch.arange(5) % 3)
            loss.backward()
            optimizer.step()
            losses += [loss.item(), x.grad.sum().item()]
        results.append(losses)
    assert close(*results)


def test_a_compiled_module_is_still_the_module(backend):
    net = model()
    compiled = torch.compile(net)
    assert isinstance(compiled, nn.Module)
    assert [p is q for p, q in zip(net.parameters(), compiled.parameters(), strict=True)] == [True] * 4
    assert not compiled.eval().training and not net.training
    assert len(compiled) == len(net) and compiled[0] is net[0]


def test_nested_arguments_and_results_keep_their_structure(backend):
    @torch.compile
    def mix(pair, *, options):
        a, b = pair
        return {"sum": a + b, "parts": [a * options["scale"], (b, options["name"])]}

    for scale in (2.0, 2.0, 2.0, 3.0, 3.0, 3.0):
        out = mix((torch.ones(2), torch.full((2,), 4.0)), options={"scale": scale, "name": "n"})
        assert out["sum"].tolist() == [5, 5]
        assert out["parts"][0].tolist() == [scale, scale]
        assert out["parts"][1][1] == "n"


@dataclasses.dataclass(frozen=True)
class Pair:
    first: torch.Tensor
    rest: list


def test_tuples_with_names_and_dataclasses_carry_new_values_out(backend):
    def function(pair):
        return pair.first.max(dim=0), Pair(pair.first * 2, [pair.rest[0] + 1, "text"])

    run = torch.compile(function)
    for number in range(5):
        x, y = torch.tensor([number, 2.0 * number]), torch.tensor(-float(number))
        largest, pair = run(Pair(x, [y]))
        assert type(largest) is torch.return_types.max
        assert (largest.values.item(), largest.indices.item()) == (2.0 * number, int(number > 0))
        assert type(pair) is Pair
        assert (pair.first.tolist(), pair.rest[0].item(), pair.rest[1]) == (
            [2.0 * number, 4.0 * number],
            1 - number,
            "text",
        )


def test_tensors_in_other_objects_are_not_frozen(backend):
    class Holder:
        def __init__(self, x):
            self.parts = {"x": x}

    run = torch.compile(lambda x: Holder(x * 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(5):
            assert run(torch.tensor(float(number))).parts["x"].item() == 2 * number


FACTOR = 2.0


def test_changed_python_scalars_are_never_stale(backend):
    global FACTOR
    box = {"scale": 1.0}
    bias = 0.5

    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = 1.0

        def forward(self, x):
            return x * self.gain

    holder = Holder()

    def scaled(x, power):
        return holder(x) * FACTOR * box["scale"] * power + bias

    run = torch.compile(scaled)
    x = torch.ones(2)
    for number in range(12):
        FACTOR = 2.0 if number < 4 else 5.0
        box["scale"] = 1.0 if number < 6 else 3.0
        holder.gain = 1.0 if number < 8 else 0.25
        power = 1 if number < 10 else 2
        bias = 0.5 if number < 11 else -1.0
        assert run(x, power).tolist() == scaled(x, power).tolist()
    FACTOR = 2.0


def test_new_shapes_trace_anew(backend):
    run = torch.compile(lambda x: (x * 2).sum(0))
    for size in (3, 3, 3, 5, 5, 5, 3):
        assert run(torch.ones(size, 2)).tolist() == [2.0 * size] * 2


def test_reading_a_value_inside_is_refused_with_the_line(backend):
    def peeks(x):
        return x * x.sum().item()

    run = torch.compile(peeks)
    run(torch.ones(2))
    if not compiles(backend):
        assert run(torch.full((2,), 3.0)).tolist() == [18, 18]
        return
    with pytest.raises(RuntimeError, match=r"test_compile.py:\d+ asks for the value"):
        run(torch.full((2,), 3.0))


def test_an_error_inside_leaves_all_state_as_it_was(backend):
    weight = torch.ones(3)
    fail = [False]

    def step(x):
        weight.add_(x)
        if fail[0]:
            raise ValueError("no")
        return weight * 2

    run = torch.compile(step)
    for _ in range(4):
        run(torch.ones(3))
    fail[0] = True
    before = (weight.tolist(), weight._version)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            run(torch.ones(3))
        if compiles(backend):
            assert (weight.tolist(), weight._version) == before


def test_results_are_not_overwritten_by_the_next_call(backend):
    run = torch.compile(lambda x: x * 3)
    first = [run(torch.full((2,), float(n))) for n in range(5)]
    assert [x.tolist() for x in first] == [[3.0 * n] * 2 for n in range(5)]


def test_two_compiled_functions_share_their_state(backend):
    counter = torch.zeros(2)

    def up():
        counter.add_(1)
        return counter * 1

    def double():
        counter.mul_(2)
        return counter * 1

    first, second = torch.compile(up), torch.compile(double)
    expected = 0.0
    for _ in range(5):
        expected = (expected + 1) * 2
        first()
        assert second().tolist() == [expected] * 2
    assert counter.tolist() == [expected] * 2


def test_a_function_with_python_effects_stays_eager_and_says_so(backend):
    seen = []

    def remembers(x):
        y = x * 2
        seen.append(y)
        return y

    run = torch.compile(remembers)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(7):
            run(torch.full((2,), float(number)))
    assert [y.tolist() for y in seen] == [[2.0 * n] * 2 for n in range(7)]
    assert any("eagerly" in str(w.message) for w in caught) == compiles(backend)


VIEWS = {
    "int": lambda x: x[1], "slice": lambda x: x[1:3], "step": lambda x: x[:, ::2], "view": lambda x: x.view(6, 4),
    "flatten": lambda x: x.flatten(), "unflatten": lambda x: x.unflatten(1, (3, 2)), "transpose": lambda x: x.transpose(0, 1),
    "permute": lambda x: x.permute(1, 0), "squeeze": lambda x: x.view(4, 1, 6).squeeze(), "unsqueeze": lambda x: x.unsqueeze(1),
    "split": lambda x: x.split(3, 1)[1], "chunk": lambda x: x.chunk(2)[1], "unbind": lambda x: x.unbind(1)[2],
    "narrow": lambda x: x.narrow(1, 2, 3), "diagonal": lambda x: x.diagonal(1), "unfold": lambda x: x.unfold(1, 2, 2),
    "as_strided": lambda x: x.as_strided((3, 2), (6, 2), 1), "detach": lambda x: x.detach(), "data": lambda x: x.data,
    "t": lambda x: x.t(), "movedim": lambda x: x.movedim(0, 1), "unsqueezed": lambda x: x[:1].unsqueeze(0).squeeze(0),
    "tensor_split": lambda x: x.tensor_split(3, 1)[2], "view_as": lambda x: x.view_as(torch.empty(3, 8)), "select": lambda x: x.select(1, 4),
    "view_as_complex": lambda x: torch.view_as_complex(x.view(4, 3, 2)).transpose(0, 1).imag,
    "view_as_real": lambda x: torch.view_as_real(torch.view_as_complex(x.view(4, 3, 2)))[1],
}  # fmt: skip
WRITES = {
    "add_": lambda y, v: y.add_(v), "setitem": lambda y, v: y.__setitem__(Ellipsis, v), "copy_": lambda y, v: y.copy_(v.expand(y.shape)),
    "mask": lambda y, v: y.masked_fill_(y > 11, -1.0), "zero_": lambda y, v: y.zero_(),
}  # fmt: skip


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("kind", VIEWS)
def test_writes_through_views_of_state_inside_a_compiled_function(backend, kind, write):
    results = []
    for compiled in (False, True):
        buffer = torch.arange(24).to(torch.float32).view(4, 6).clone()
        outside = buffer[2]

        def step(v, buffer=buffer):
            WRITES[write](VIEWS[kind](buffer), v)
            return buffer.sum()

        run = torch.compile(step) if compiled else step
        log = []
        for number in range(4):
            log.append(run(torch.tensor(float(number))).item())
            outside.add_(1.0)
            log.append(buffer.tolist())
        results.append(log)
    assert results[0] == results[1]


def test_a_lazy_layer_elsewhere_in_the_program_does_not_disturb():
    with torch.use_backend("strict"):
        waiting = torch.nn.LazyLinear(3)
        run = torch.compile(lambda x: x * 2)
        assert [run(torch.tensor([float(n)])).tolist() for n in range(3)] == [[0.0], [2.0], [4.0]]
        forward = torch.compile(waiting)
        inputs = [torch.full((1, 2), float(n)) for n in range(3)]
        got = [forward(x).tolist() for x in inputs]
        assert got == [waiting(x).tolist() for x in inputs]
