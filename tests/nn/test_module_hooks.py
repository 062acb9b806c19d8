"""Hooks of modules: when they run, what they see, what they replace, and PyTorch's errors and warnings."""

from __future__ import annotations

from typing import Any

import pytest
from same_program import assert_same

import torchplug
import torchplug.nn


class _Recorder:
    """Collects what hooks see, as plain values."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def hook(self, label: str, result: Any = None) -> Any:
        def hook(module: Any, *args: Any) -> Any:
            self.seen.append((label, type(module).__name__, args))
            return result(*args) if callable(result) else result

        return hook


def _scale(torch: Any, forward: Any = None) -> Any:
    class Scale(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([2.0, 3.0]))

        def forward(self, x: Any, power: int = 1) -> Any:
            return forward(self, x) if forward is not None else x * self.weight * power

    return Scale()


def _input(torch: Any, requires_grad: bool = True) -> Any:
    return torch.tensor([1.0, 4.0], requires_grad=requires_grad)


def test_forward_hooks_run_in_order_around_forward() -> None:
    def program(torch: Any) -> Any:
        net, notes = _scale(torch), _Recorder()
        net.register_forward_pre_hook(notes.hook("pre 1"))
        net.register_forward_pre_hook(notes.hook("pre 2"), prepend=True)
        net.register_forward_hook(notes.hook("post 1"))
        net.register_forward_hook(notes.hook("post 2", lambda args, out: out + 1), prepend=True)
        net.register_forward_hook(notes.hook("post 3"), with_kwargs=True)
        return net(_input(torch), power=3), notes.seen

    assert_same(program)


@pytest.mark.parametrize("answer", ["a value", "a tuple", "nothing"])
def test_a_pre_hook_replaces_the_arguments(answer: str) -> None:
    def program(torch: Any) -> Any:
        net = _scale(torch)
        answers = {"a value": lambda x: x * 5, "a tuple": lambda x: (x, 7), "nothing": lambda x: None}
        net.register_forward_pre_hook(lambda module, args: answers[answer](args[0]))
        return net(_input(torch))

    assert_same(program)


@pytest.mark.parametrize("answer", [((), {}), 3, (1, 2, 3), None])
def test_a_pre_hook_with_kwargs_replaces_both(answer: Any) -> None:
    def program(torch: Any) -> Any:
        net, x = _scale(torch), _input(torch)
        replaced = ((x,), {"power": 5}) if answer == ((), {}) else answer
        net.register_forward_pre_hook(lambda module, args, kwargs: replaced, with_kwargs=True)
        return net(x, power=2)

    assert_same(program)


def test_a_removed_hook_does_not_run() -> None:
    def program(torch: Any) -> Any:
        net, notes = _scale(torch), _Recorder()
        handle = net.register_forward_hook(notes.hook("x"), with_kwargs=True, always_call=True)
        handle.remove()
        handle.remove()
        with net.register_forward_pre_hook(notes.hook("y")):
            net(_input(torch))
        net(_input(torch))
        return len(notes.seen), len(net._forward_hooks_with_kwargs), len(net._forward_hooks_always_called)

    assert_same(program)


def _failing(module: Any, x: Any) -> Any:
    raise ValueError("forward failed")


def test_always_called_hooks_run_after_an_error() -> None:
    def program(torch: Any) -> Any:
        net, notes = _scale(torch, _failing), _Recorder()
        net.register_forward_hook(notes.hook("never"))
        net.register_forward_hook(notes.hook("always"), always_call=True)
        net.register_forward_hook(notes.hook("kwargs"), always_call=True, with_kwargs=True)
        net.register_forward_hook(notes.hook("failing", lambda *args: 1 / 0), always_call=True)
        with pytest.raises(ValueError, match="forward failed"):
            net(3)
        return notes.seen

    assert_same(program)


def test_an_always_called_hook_that_ran_is_not_run_again() -> None:
    def program(torch: Any) -> Any:
        net, notes = _scale(torch), _Recorder()
        net.register_forward_hook(notes.hook("first"), always_call=True)
        net.register_forward_hook(notes.hook("second", lambda *args: 1 / 0), always_call=True)
        net.register_forward_hook(notes.hook("third"), always_call=True)
        with pytest.raises(ZeroDivisionError):
            net(_input(torch))
        return [label for label, *_ in notes.seen]

    assert_same(program)


@pytest.mark.parametrize("requires_grad", [True, False])
def test_full_backward_hooks_see_gradients_of_inputs_and_outputs(requires_grad: bool) -> None:
    def program(torch: Any) -> Any:
        net, notes = _scale(torch), _Recorder()
        net.register_full_backward_pre_hook(notes.hook("pre"))
        net.register_full_backward_hook(notes.hook("full"))
        x = _input(torch, requires_grad)
        (net(x) * 10).sum().backward()
        return notes.seen, net.weight.grad, x.grad

    assert_same(program)


def test_full_backward_hooks_replace_gradients() -> None:
    def program(torch: Any) -> Any:
        net = _scale(torch)
        net.register_full_backward_pre_hook(lambda m, grads: (grads[0] * 2,))
        net.register_full_backward_hook(lambda m, inputs, outputs: (inputs[0] + 100,))
        net.register_full_backward_hook(lambda m, inputs, outputs: (inputs[0] * 2,), prepend=True)
        x = _input(torch)
        net(x).sum().backward()
        return net.weight.grad, x.grad

    assert_same(program)


@pytest.mark.parametrize("kind", ["register_full_backward_pre_hook", "register_full_backward_hook"])
def test_backward_hooks_that_return_the_wrong_number_raise(kind: str) -> None:
    def program(torch: Any) -> Any:
        net = _scale(torch)
        getattr(net, kind)(lambda m, *grads: (grads[0][0], grads[0][0]))
        net(_input(torch)).sum().backward()

    assert_same(program)


def test_a_hook_cannot_replace_gradients_of_inputs_that_need_none() -> None:
    def program(torch: Any) -> Any:
        net = _scale(torch)
        net.register_full_backward_hook(lambda m, inputs, outputs: outputs)
        net(_input(torch, False)).sum().backward()

    assert_same(program)


FORWARDS = {
    "a tuple with others": lambda m, x: (x * 2, None, 3, x + 1),
    "a list": lambda m, x: [x * 2, x],
    "a dict": lambda m, x: {"a": x * 2},
    "its input": lambda m, x: x,
    "no gradient": lambda m, x: x.detach(),
}


@pytest.mark.parametrize("forward", FORWARDS)
def test_full_backward_hooks_of_modules_with_other_outputs(forward: str) -> None:
    def program(torch: Any) -> Any:
        net, notes = _scale(torch, FORWARDS[forward]), _Recorder()
        net.register_full_backward_hook(notes.hook("full"))
        x = _input(torch)
        out = net(x)
        first = out["a"] if isinstance(out, dict) else out[0] if isinstance(out, (list, tuple)) else out
        if first.requires_grad:
            first.sum().backward()
        return notes.seen, x.grad

    assert_same(program)


def test_full_backward_hooks_run_once_per_call() -> None:
    def program(torch: Any) -> Any:
        net, notes = _scale(torch), _Recorder()
        net.register_full_backward_hook(notes.hook("full"))
        net(net(_input(torch))).sum().backward()
        return notes.seen

    assert_same(program)


def test_full_backward_hooks_run_in_double_backward() -> None:
    def program(torch: Any) -> Any:
        net, notes = _scale(torch), _Recorder()
        net.register_full_backward_hook(notes.hook("full"))
        x = _input(torch)
        (g,) = torch.autograd.grad((net(x) ** 2).sum(), x, create_graph=True)
        g.sum().backward()
        return g, x.grad, net.weight.grad, len(notes.seen)

    assert_same(program)


def test_no_gate_is_built_without_gradients() -> None:
    def program(torch: Any) -> Any:
        net = _scale(torch)
        net.register_full_backward_hook(lambda *args: None)
        with torch.no_grad():
            out = net(_input(torch))
        return out.requires_grad, out.grad_fn

    assert_same(program)


def test_writing_in_place_to_what_passed_a_gate_raises() -> None:
    def program(torch: Any) -> Any:
        net = _scale(torch)
        net.register_full_backward_pre_hook(lambda *args: None)
        net(_input(torch)).add_(1)

    assert_same(program)


def test_a_module_that_writes_its_gated_input_in_place_raises() -> None:
    def program(torch: Any) -> Any:
        net = _scale(torch, lambda module, x: x.mul_(2))
        net.register_full_backward_hook(lambda *args: None)
        net(_input(torch) * 1)

    assert_same(program)


def test_old_backward_hooks_see_the_last_node() -> None:
    def program(torch: Any) -> Any:
        net, notes = _scale(torch, lambda m, x: x * m.weight), _Recorder()
        net.register_backward_hook(notes.hook("old"))
        (net(_input(torch) * 1) * 3).sum().backward()
        return notes.seen

    assert_same(program)


@pytest.mark.parametrize("forward", [*FORWARDS, "two nodes"])
def test_old_backward_hooks_warn_of_what_they_miss(forward: str) -> None:
    def program(torch: Any) -> Any:
        chosen = FORWARDS.get(forward, lambda m, x: (x * 2).exp())
        net, notes = _scale(torch, chosen), _Recorder()
        net.register_backward_hook(notes.hook("old"))
        net(_input(torch) * 1)

    assert_same(program)


@pytest.mark.parametrize("first, second", [(0, 1), (1, 0)])
def test_both_kinds_of_backward_hooks_on_one_module_raise(first: int, second: int) -> None:
    def program(torch: Any) -> Any:
        net = _scale(torch)
        methods = (net.register_backward_hook, net.register_full_backward_hook)
        methods[first](print)
        methods[second](print)

    assert_same(program)


@pytest.fixture
def global_hooks() -> Any:
    """Handles to remove after the test: hooks on all modules outlive it otherwise."""
    handles: list[Any] = []
    yield handles
    for handle in handles:
        handle.remove()


def test_global_hooks_run_before_those_of_the_module(global_hooks: Any) -> None:
    def program(torch: Any) -> Any:
        where, notes, net = torch.nn.modules.module, _Recorder(), _scale(torch)
        global_hooks.append(where.register_module_forward_pre_hook(notes.hook("global pre")))
        global_hooks.append(where.register_module_forward_hook(notes.hook("global post"), with_kwargs=True))
        global_hooks.append(where.register_module_full_backward_pre_hook(notes.hook("global backward pre")))
        global_hooks.append(where.register_module_full_backward_hook(notes.hook("global backward")))
        net.register_forward_pre_hook(notes.hook("pre"))
        net.register_forward_hook(notes.hook("post"))
        net.register_full_backward_pre_hook(notes.hook("backward pre"))
        net.register_full_backward_hook(notes.hook("backward"))
        net(_input(torch)).sum().backward()
        for handle in global_hooks:
            handle.remove()
        net(_input(torch))
        return [label for label, *_ in notes.seen]

    assert_same(program)


def test_global_always_called_hooks_run_after_an_error(global_hooks: Any) -> None:
    def program(torch: Any) -> Any:
        where, notes, net = torch.nn.modules.module, _Recorder(), _scale(torch, _failing)
        hook = notes.hook("global", lambda *args: 1 / 0)
        global_hooks.append(where.register_module_forward_hook(hook, always_call=True))
        with pytest.raises(ValueError, match="forward failed"):
            net(3)
        global_hooks.pop().remove()
        return notes.seen

    assert_same(program)


def test_registration_hooks_see_and_replace_what_is_registered(global_hooks: Any) -> None:
    def program(torch: Any) -> Any:
        where, notes = torch.nn.modules.module, _Recorder()
        global_hooks.append(where.register_module_parameter_registration_hook(notes.hook("parameter")))
        global_hooks.append(where.register_module_buffer_registration_hook(notes.hook("buffer", lambda name, x: x + 1)))
        global_hooks.append(where.register_module_module_registration_hook(notes.hook("module")))
        net = _scale(torch)
        net.register_buffer("mean", torch.zeros(2))
        net.mean = torch.ones(2)
        net.child = torch.nn.Sequential(torch.nn.Module())
        for handle in global_hooks:
            handle.remove()
        return net.mean, [(label, args[0]) for label, _, args in notes.seen]

    assert_same(program)


def test_a_hooked_module_and_its_graph_are_freed_without_the_collector() -> None:
    import gc
    import weakref

    net = _scale(torchplug)
    net.register_full_backward_hook(lambda *args: None)
    x = _input(torchplug)
    gc.disable()
    try:
        place = weakref.ref(net(x))
        assert place() is None
    finally:
        gc.enable()
