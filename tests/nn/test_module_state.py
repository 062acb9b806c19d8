"""state_dict, load_state_dict, copying and pickling of modules."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from same_program import assert_same

import torchplug
import torchplug.nn
from torchplug.nn.modules.module import Module


def _block(torch: Any) -> Any:
    class Block(torch.nn.Module):
        _version = 3

        def __init__(self, start: float = 0.0) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3) + start)
            self.register_parameter("bias", None)
            self.register_buffer("mean", torch.zeros(3))
            self.register_buffer("cache", torch.zeros(2), persistent=False)

    return Block


def _net(torch: Any, start: float = 0.0) -> Any:
    block = _block(torch)
    net = torch.nn.Sequential(block(start), block(start + 10))
    net.scale = torch.nn.Parameter(torch.tensor(2.0 + start))
    return net


@pytest.mark.parametrize("keywords", [{}, {"prefix": "p."}, {"keep_vars": True}, {"destination": {}}])
def test_a_state_dict_names_parameters_and_persistent_buffers(keywords: dict) -> None:
    def program(torch: Any) -> Any:
        state = _net(torch).state_dict(**copy.copy(keywords))
        return state, list(state), type(state), getattr(state, "_metadata", None)

    assert_same(program)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_positional_arguments_of_state_dict_warn(count: int) -> None:
    assert_same(lambda torch: _net(torch).state_dict(*({}, "p.", True)[:count]))


def test_the_values_share_memory_with_the_module() -> None:
    def program(torch: Any) -> Any:
        net = _net(torch)
        net.state_dict()["0.weight"].zero_()
        return net[0].weight

    assert_same(program)


def _broken(torch: Any, state: dict) -> dict:
    state = dict(state)
    del state["0.weight"]
    state.update({"zzz": torch.ones(1), "0.q": torch.ones(1), "0.a.b": torch.ones(1), "0": torch.ones(1)})
    return state


CHANGES = {
    "nothing": lambda torch, state: state,
    "missing and unexpected keys": _broken,
    "another shape": lambda torch, state: {**state, "0.weight": torch.ones(3)},
    "no tensor": lambda torch, state: {**state, "0.weight": 3},
    "an array": lambda torch, state: {**state, "scale": torch.ones(1).numpy()},
    "a number with one dimension": lambda torch, state: {**state, "scale": torch.tensor([7.0])},
    "another dtype": lambda torch, state: {key: value.double() for key, value in state.items()},
    "an empty state": lambda torch, state: {},
    "no mapping": lambda torch, state: [1],
}


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_loading_copies_what_fits_and_tells_what_does_not(change: str, strict: bool, assign: bool) -> None:
    def program(torch: Any) -> Any:
        net = _net(torch, 50.0)
        state = CHANGES[change](torch, _net(torch).state_dict())
        result = net.load_state_dict(state, strict=strict, assign=assign)
        return result, repr(result), type(result), tuple(result), net.state_dict(keep_vars=True)

    assert_same(program)


def test_assigning_keeps_requires_grad_and_takes_the_tensor_itself() -> None:
    def program(torch: Any) -> Any:
        net = _block(torch)()
        net.weight.requires_grad_(False)
        given = torch.nn.Parameter(torch.ones(2, 3))
        net.load_state_dict({"weight": given, "mean": torch.ones(3)}, assign=True)
        return net.weight is given, net.weight

    assert_same(program)


def test_assigning_leaves_no_trace_in_the_metadata_of_the_state() -> None:
    net = torchplug.nn.Sequential(_block(torchplug)())
    state = net.state_dict()
    net.load_state_dict(state, assign=True)
    assert state._metadata == {"": {"version": 1}, "0": {"version": 3}}


def test_a_value_that_cannot_be_written_is_reported() -> None:
    def program(torch: Any) -> Any:
        net = torch.nn.Module()
        net.w = torch.nn.Parameter(torch.ones(2).expand(3, 2))
        net.load_state_dict({"w": torch.ones(3, 2)})

    assert_same(program)


def test_extra_state_is_saved_and_restored() -> None:
    def program(torch: Any) -> Any:
        class Counter(torch.nn.Module):
            count = 3

            def get_extra_state(self) -> Any:
                return {"count": self.count}

            def set_extra_state(self, state: Any) -> None:
                self.count = state["count"]

        net, other = torch.nn.Sequential(Counter()), torch.nn.Sequential(Counter())
        net[0].count = 8
        result = other.load_state_dict(net.state_dict())
        return net.state_dict(), result, other[0].count

    assert_same(program)


def test_missing_and_unexpected_extra_state_is_reported() -> None:
    def program(torch: Any) -> Any:
        return torch.nn.Sequential(torch.nn.Module()).load_state_dict({"0._extra_state": 3})

    assert_same(program)


@pytest.mark.parametrize("method, args", [("get_extra_state", ()), ("set_extra_state", (3,))])
def test_extra_state_must_be_overridden(method: str, args: tuple) -> None:
    assert_same(lambda torch: getattr(torch.nn.Module(), method)(*args))


def test_hooks_of_state_dict_run_before_and_after() -> None:
    def program(torch: Any) -> Any:
        net, seen = _net(torch), []
        net.register_state_dict_pre_hook(lambda module, prefix, keep: seen.append(("pre", prefix, keep)))
        net[0].register_state_dict_pre_hook(lambda module, prefix, keep: seen.append(("pre", prefix, keep)))
        net[0].register_state_dict_post_hook(lambda m, state, prefix, meta: seen.append((list(state), prefix, meta)))
        net._register_state_dict_hook(lambda m, state, prefix, meta: {"replaced": prefix})
        return net.state_dict(prefix="p."), seen

    assert_same(program)


def test_a_post_hook_of_state_dict_returns_nothing() -> None:
    def program(torch: Any) -> Any:
        net = _net(torch)
        net.register_state_dict_post_hook(lambda *args: 3)
        net.state_dict()

    assert_same(program)


def test_one_function_cannot_be_both_kinds_of_state_dict_hook() -> None:
    def program(torch: Any) -> Any:
        def hook(*args: Any) -> None:
            pass

        net = _net(torch)
        net.register_state_dict_post_hook(hook)
        net._register_state_dict_hook(hook)

    assert_same(program)


def test_hooks_of_load_state_dict_run_before_and_after() -> None:
    def program(torch: Any) -> Any:
        net, seen = _net(torch), []

        def before(*args: Any) -> None:
            state, prefix, metadata, strict, missing, unexpected, errors = args[-7:]
            seen.append((len(args), list(state), prefix, metadata, strict, list(missing)))

        net.register_load_state_dict_pre_hook(before)
        net[0]._register_load_state_dict_pre_hook(before)
        net[1]._register_load_state_dict_pre_hook(before, with_module=True)
        net[1].register_load_state_dict_post_hook(lambda m, keys: seen.append(repr(keys)))
        net.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
        state = net.state_dict()
        del state["0.mean"]
        return net.load_state_dict(state), seen

    assert_same(program)


def test_a_post_hook_of_load_state_dict_returns_nothing() -> None:
    def program(torch: Any) -> Any:
        net = _net(torch)
        net.register_load_state_dict_post_hook(lambda m, keys: keys)
        net.load_state_dict(net.state_dict())

    assert_same(program)


def test_a_deep_copy_is_independent_and_its_hooks_see_the_copy() -> None:
    def program(torch: Any) -> Any:
        net, seen = _net(torch), []
        net.register_load_state_dict_pre_hook(lambda module, *args: seen.append(module))
        other = copy.deepcopy(net)
        other.load_state_dict(net.state_dict())
        with torch.no_grad():
            other[0].weight.zero_()
        return net[0].weight, other[0].weight, len(seen), seen[0] is other, net.scale is other.scale

    assert_same(program)


class _Saved(Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torchplug.nn.Parameter(torchplug.ones(2))
        self.child = torchplug.nn.Sequential(Module())


def test_a_pickled_module_comes_back() -> None:
    net = _Saved().eval()
    other = pickle.loads(pickle.dumps(net))
    assert repr(other) == repr(net) and not other.training
    assert type(other.weight) is torchplug.nn.Parameter and other.weight.requires_grad


def test_a_pickle_from_before_a_registry_existed_gets_it() -> None:
    net = _Saved()
    state = net.__getstate__()
    del state["_forward_hooks_always_called"]
    other = _Saved.__new__(_Saved)
    other.__setstate__(state)
    assert other._forward_hooks_always_called == {}
