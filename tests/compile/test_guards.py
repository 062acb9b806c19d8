"""Python values a compiled function can reach: one that changes causes a new trace, never a stale result."""

from __future__ import annotations

import dataclasses
import functools
import sys
import types

import numpy as np
import pytest

import torchplug as torch
from torchplug import nn

SCALE = 2.0


def read_global(x):
    return x * SCALE


class Scaler:
    """An object with state of all kinds."""

    factor = 2.0

    def __init__(self):
        self.scale = 2.0

    def __call__(self, x):
        return self.helper(x) * self.scale

    def helper(self, x):
        return x * self.factor * SCALE

    @property
    def doubled(self):
        return self.factor * 2


class Slotted:
    __slots__ = ("scale",)

    def __init__(self):
        self.scale = 2.0


@dataclasses.dataclass(slots=True)
class Options:
    scale: float = 2.0


class Net(nn.Module):
    gain = 2.0

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Identity())
        self.factors = [2.0]

    def forward(self, x):
        return self.helped(self.block(x)) * self.gain * self.factors[0]

    def helped(self, x):
        return x * SCALE


def _restored(owner, name):
    """Yields a setter for an attribute, and puts the old value back."""
    old = getattr(owner, name)
    yield lambda value: setattr(owner, name, value)
    setattr(owner, name, old)


def _global():
    yield read_global
    yield from _restored(sys.modules[__name__], "SCALE")


def _closure():
    scale = 2.0

    def change(value):
        nonlocal scale
        scale = value

    yield lambda x: x * scale
    yield change


def _default():
    def scaled(x, scale=2.0):
        return x * scale

    yield scaled
    yield lambda value: setattr(scaled, "__defaults__", (value,))


def _keyword_default():
    def scaled(x, *, scale=2.0):
        return x * scale

    yield scaled
    yield lambda value: setattr(scaled, "__kwdefaults__", {"scale": value})


def _list():
    box = [[2.0]]
    yield lambda x: x * box[0][0]
    yield lambda value: box[0].__setitem__(0, value)


def _dict():
    box = {"a": {"scale": 2.0}}
    yield lambda x: x * box["a"]["scale"]
    yield lambda value: box["a"].__setitem__("scale", value)


def _array(size):
    def made():
        box = np.full(size, 2.0)
        yield lambda x: x * float(box[-1])
        yield lambda value: box.__setitem__(-1, value)

    return made


def _attribute():
    scaler = Scaler()
    yield scaler.__call__
    yield lambda value: setattr(scaler, "scale", value)


def _class_attribute():
    scaler = Scaler()
    yield lambda x: scaler(x)
    yield from _restored(Scaler, "factor")


def _property():
    scaler = Scaler()
    yield lambda x: x * scaler.doubled
    yield from _restored(Scaler, "factor")


def _global_of_a_method():
    scaler = Scaler()
    yield lambda x: scaler.helper(x)
    yield from _restored(sys.modules[__name__], "SCALE")


def _slot():
    box = Slotted()
    yield lambda x: x * box.scale
    yield lambda value: setattr(box, "scale", value)


def _options():
    box = Options()
    yield lambda x: x * box.scale
    yield lambda value: setattr(box, "scale", value)


def _partial():
    def scaled(x, scale):
        return x * scale

    bound = functools.partial(scaled, scale=2.0)
    yield lambda x: bound(x)
    yield lambda value: bound.keywords.__setitem__("scale", value)


def _python_module():
    config = types.ModuleType("config_of_a_user")
    config.scale = 2.0
    yield lambda x: x * config.scale
    yield lambda value: setattr(config, "scale", value)


def _nested_function():
    scale = 2.0

    def inner(x):
        return x * scale

    def change(value):
        nonlocal scale
        scale = value

    yield lambda x: inner(x)
    yield change


def _module_attribute():
    net = Net()
    net.scale = 2.0
    yield lambda x: net(x) * net.scale
    yield lambda value: setattr(net, "scale", value)


def _module_class_attribute():
    net = Net()
    yield lambda x: net(x)
    yield from _restored(Net, "gain")


def _list_of_a_module():
    net = Net()
    yield lambda x: net(x)
    yield lambda value: net.factors.__setitem__(0, value)


def _global_of_a_module_method():
    net = Net()
    yield lambda x: net(x)
    yield from _restored(sys.modules[__name__], "SCALE")


def _hook():
    net = Net()
    yield lambda x: net(x)
    yield lambda value: net.block.register_forward_hook(lambda module, args, out: out * value)


def _submodule():
    net = Net()
    yield lambda x: net(x)
    yield lambda value: net.block.__setitem__(0, nn.Threshold(100.0, value))


CHANGES = {
    "global": _global, "closure": _closure, "default": _default, "keyword default": _keyword_default, "list": _list, "dict": _dict,
    "small array": _array(3), "large array": _array(20000), "attribute": _attribute, "class attribute": _class_attribute,
    "property": _property, "global of a method": _global_of_a_method, "slot": _slot, "dataclass": _options, "partial": _partial,
    "Python module": _python_module, "nested function": _nested_function, "module attribute": _module_attribute,
    "class attribute of a module": _module_class_attribute, "list of a module": _list_of_a_module,
    "global of a module's method": _global_of_a_module_method, "hook": _hook, "submodule": _submodule,
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_python_value_that_changes_is_never_stale(backend, change):
    parts = CHANGES[change]()
    function, setter = next(parts), next(parts)
    run = torch.compile(function)
    x = torch.tensor([1.0, 3.0])
    try:
        for number in range(8):
            if number == 5:
                setter(7.0)
            assert run(x).tolist() == function(x).tolist()
    finally:
        list(parts)


@pytest.mark.parametrize("again", (False, True))
def test_a_tensor_that_gets_other_memory_is_read_anew(backend, again):
    weight, bias = nn.Parameter(torch.ones(3)), torch.zeros(3)
    run = torch.compile(lambda x: (x * weight + bias).detach())
    for _ in range(4):
        run(torch.ones(3))
    weight.data = torch.full((3,), 5.0)
    assert run(torch.ones(3)).tolist() == [5.0] * 3
    if again:
        bias.set_(torch.full((3,), 7.0))
        assert run(torch.ones(3)).tolist() == [12.0] * 3
        weight.data = torch.full((3,), 6.0)
        assert [run(torch.ones(3)).tolist() for _ in range(3)] == [[13.0] * 3] * 3


def _traces(run):
    return sum(len(case.programs) for case in run._cases.values())


def test_flips_between_train_and_eval_trace_each_mode_once(backend):
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    run = torch.compile(lambda x: net(x).detach())
    x = torch.ones(2, 4)
    for number in range(12):
        net.train(number // 3 % 2 == 0)
        run(x)
    if "compile" in torch.backends.status(backend).capabilities and backend != "strict":
        assert _traces(run) == 2


def test_options_of_an_optimizer_that_change_are_never_stale(backend):
    results = []
    for compiled in (False, True):
        weight = nn.Parameter(torch.full((3,), 2.0))
        optimizer = torch.optim.SGD([weight], lr=0.5)

        def step(weight=weight, optimizer=optimizer):
            optimizer.zero_grad()
            (weight * weight).sum().backward()
            optimizer.step()

        run = torch.compile(step) if compiled else step
        log = []
        for number in range(10):
            if number == 5:
                optimizer.param_groups[0]["weight_decay"] = 0.25
            if number == 7:
                optimizer.param_groups[0]["maximize"] = True
            if number == 8:
                optimizer.register_step_post_hook(lambda *_, weight=weight: weight.data.mul_(3.0))
            run()
            log.append(weight.tolist())
        results.append(log)
    assert np.allclose(np.array(results[0]), np.array(results[1]), rtol=1e-5)
