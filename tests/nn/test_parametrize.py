"""Parametrizations, weight normalization and spectral normalization, by hook and by parametrization."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from same_program import assert_same

import torchplug
from torchplug.nn.utils import parametrize as ours


def _step(torch: Any, forward: Any, right_inverse: Any = None) -> Any:
    class Step(torch.nn.Module):
        pass

    Step.forward = lambda self, *args: forward(*args)
    if right_inverse is not None:
        Step.right_inverse = lambda self, x: right_inverse(x)
    return Step()


STEPS = {
    "no inverse": (lambda x: x * 2, None),
    "inverse": (lambda x: x * 2, lambda x: x / 2),
    "two tensors": (lambda a, b: a * b, lambda x: (x.abs().sqrt(), x / x.abs().sqrt())),
    "another dtype": (lambda x: x.double(), None),
    "inverse of another dtype": (lambda x: x, lambda x: x.double()),
    "inverse of another shape": (lambda x: x, lambda x: x[0]),
    "inverse that is a number": (lambda x: x, lambda x: 3),
    "inverse with a number": (lambda x: x, lambda x: [x, 3]),
    "a number": (lambda x: 3, None),
}


def _layer(torch: Any, *names: str, tensor: str = "weight", unsafe: bool = False) -> Any:
    layer = torch.nn.Linear(2, 2)
    for name in names:
        torch.nn.utils.parametrize.register_parametrization(layer, tensor, _step(torch, *STEPS[name]), unsafe=unsafe)
    return layer


@pytest.mark.parametrize("unsafe", [False, True])
@pytest.mark.parametrize("name", STEPS)
def test_a_parametrized_tensor_is_computed_when_read(name: str, unsafe: bool) -> None:
    def program(torch: Any) -> Any:
        layer = _layer(torch, name, unsafe=unsafe)
        return repr(layer), layer.weight, layer.state_dict(keep_vars=True), type(layer), "weight" in dir(layer)

    assert_same(program)


CHAINS = [("inverse", "inverse"), ("two tensors", "inverse"), ("no inverse", "no inverse"), ("inverse", "no inverse")]


@pytest.mark.parametrize("names", CHAINS)
def test_parametrizations_follow_one_another(names: tuple) -> None:
    def program(torch: Any) -> Any:
        layer = _layer(torch, *names)
        return repr(layer), layer.weight, layer.state_dict()

    assert_same(program)


ASSIGNED = {
    "a tensor": lambda torch: torch.ones(2, 2),
    "a parameter": lambda torch: torch.nn.Parameter(torch.ones(2, 2)),
}


@pytest.mark.parametrize("value", ASSIGNED)
@pytest.mark.parametrize("name", ["inverse", "no inverse", "two tensors"])
def test_assigning_goes_through_the_inverse(name: str, value: str) -> None:
    def program(torch: Any) -> Any:
        layer = _layer(torch, name)
        layer.weight = ASSIGNED[value](torch)
        return layer.weight, layer.state_dict()

    assert_same(program)


def test_gradients_reach_the_original() -> None:
    def program(torch: Any) -> Any:
        layer = _layer(torch, "inverse")
        layer(torch.ones(1, 2)).sum().backward()
        return layer.parametrizations.weight.original.grad

    assert_same(program)


def test_an_optimizer_keeps_the_parameter_it_was_given() -> None:
    layer = torchplug.nn.Linear(2, 2)
    weight = layer.weight
    ours.register_parametrization(layer, "weight", _step(torchplug, *STEPS["inverse"]))
    assert layer.parametrizations.weight.original is weight
    ours.remove_parametrizations(layer, "weight")
    assert layer.weight is weight


@pytest.mark.parametrize("leave", [True, False])
@pytest.mark.parametrize("name", ["inverse", "no inverse", "two tensors"])
def test_removing_leaves_a_plain_parameter(name: str, leave: bool) -> None:
    def program(torch: Any) -> Any:
        layer = _layer(torch, name)
        torch.nn.utils.parametrize.remove_parametrizations(layer, "weight", leave)
        return repr(layer), layer.weight, type(layer), list(layer.state_dict())

    assert_same(program)


def test_a_buffer_can_be_parametrized() -> None:
    def program(torch: Any) -> Any:
        layer = torch.nn.BatchNorm1d(2)
        torch.nn.utils.parametrize.register_parametrization(layer, "running_var", _step(torch, *STEPS["inverse"]))
        state = layer.state_dict()
        torch.nn.utils.parametrize.remove_parametrizations(layer, "running_var")
        return state, list(layer.state_dict()), type(layer.running_var)

    assert_same(program)


@pytest.mark.parametrize("tensor", ["absent", "in_features"])
def test_only_parameters_and_buffers_can_be_parametrized(tensor: str) -> None:
    assert_same(lambda torch: _layer(torch, "inverse", tensor=tensor))


def test_what_is_parametrized_can_be_asked() -> None:
    def program(torch: Any) -> Any:
        layer, tools = _layer(torch, "inverse"), torch.nn.utils.parametrize
        asked = [tools.is_parametrized(layer, name) for name in (None, "weight", "bias")]
        return asked, tools.is_parametrized(torch.nn.ReLU()), tools.type_before_parametrizations(layer)

    assert_same(program)


def test_removing_what_is_not_there_raises() -> None:
    assert_same(lambda torch: torch.nn.utils.parametrize.remove_parametrizations(torch.nn.Linear(2, 2), "weight"))


def test_a_cached_tensor_is_computed_once() -> None:
    layer = _layer(torchplug, "inverse")
    with ours.cached():
        assert layer.weight is layer.weight
        with ours.cached():
            assert layer.weight is layer.weight
    assert layer.weight is not layer.weight


def test_removing_from_a_copy_leaves_the_original_parametrized() -> None:
    layer = _layer(torchplug, "inverse")
    other = copy.deepcopy(layer)
    ours.remove_parametrizations(other, "weight")
    assert type(other) is torchplug.nn.Linear and ours.is_parametrized(layer, "weight")
    assert other.weight.tolist() == layer.weight.tolist()


def test_a_parametrized_module_cannot_be_pickled() -> None:
    assert_same(lambda torch: pickle.dumps(_layer(torch, "inverse")))


def test_parametrizations_can_be_given_to_another_module() -> None:
    def program(torch: Any) -> Any:
        layer, other = _layer(torch, "inverse", "no inverse"), torch.nn.Linear(2, 2)
        torch.nn.utils.parametrize.transfer_parametrizations_and_params(layer, other, "weight")
        return repr(other), layer.weight, other.weight

    assert_same(program)


@pytest.mark.parametrize("dim", [0, 1, -1, None])
@pytest.mark.parametrize("where", ["hook", "parametrization"])
def test_weight_norm_splits_a_weight_into_magnitude_and_direction(where: str, dim: int | None) -> None:
    def program(torch: Any) -> Any:
        tools = torch.nn.utils if where == "hook" else torch.nn.utils.parametrizations
        layer = tools.weight_norm(torch.nn.Conv1d(2, 3, 4), dim=dim)
        layer(torch.arange(10.0).reshape(1, 2, 5)).sum().backward()
        return repr(layer), layer.state_dict(), layer.weight.detach(), [p.grad for p in layer.parameters()]

    assert_same(program)


def test_weight_norm_by_hook_can_be_removed_and_not_doubled() -> None:
    def program(torch: Any) -> Any:
        layer = torch.nn.utils.weight_norm(torch.nn.Linear(2, 3))
        torch.nn.utils.remove_weight_norm(layer)
        state = layer.state_dict()
        torch.nn.utils.weight_norm(torch.nn.utils.weight_norm(layer))
        return state

    assert_same(program)


def test_removing_an_absent_weight_norm_raises() -> None:
    assert_same(lambda torch: torch.nn.utils.remove_weight_norm(torch.nn.Linear(2, 3)))


@pytest.mark.parametrize("name", ["bias", "absent"])
def test_weight_norm_needs_a_weight(name: str) -> None:
    assert_same(lambda torch: torch.nn.utils.weight_norm(torch.nn.Linear(2, 3, bias=False), name))


LAYERS = [lambda nn: nn.Linear(4, 3), lambda nn: nn.Conv2d(2, 3, 2), lambda nn: nn.ConvTranspose2d(2, 3, 2)]


@pytest.mark.parametrize("layer", LAYERS, ids=["linear", "conv", "transposed"])
@pytest.mark.parametrize("where", ["hook", "parametrization"])
def test_spectral_norm_divides_by_the_largest_singular_value(where: str, layer: Any) -> None:
    def program(torch: Any) -> Any:
        tools = torch.nn.utils if where == "hook" else torch.nn.utils.parametrizations
        net = tools.spectral_norm(layer(torch.nn))
        shape = (2, 4) if isinstance(net, torch.nn.Linear) else (1, 2, 3, 3)
        x = torch.arange(24.0)[: 8 if len(shape) == 2 else 18].reshape(shape)
        out = net(x)
        out.square().mean().backward()
        return out, net.state_dict(), [p.grad for p in net.parameters()], net.eval()(x)

    assert_same(program, rtol=1e-3, atol=1e-4)


def test_spectral_norm_by_hook_can_be_removed_and_not_doubled() -> None:
    def program(torch: Any) -> Any:
        layer = torch.nn.utils.spectral_norm(torch.nn.Linear(2, 3))
        torch.nn.utils.remove_spectral_norm(layer)
        state = layer.state_dict()
        torch.nn.utils.spectral_norm(torch.nn.utils.spectral_norm(layer))
        return state

    assert_same(program)
