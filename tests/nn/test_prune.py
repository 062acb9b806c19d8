"""Pruning: masks, hooks, several rounds, removal, errors."""

from __future__ import annotations

from typing import Any

import pytest
from same_program import assert_same

import torchplug.nn.utils.prune  # noqa: F401 -- PyTorch does not import it with torch.nn either


def _prune(torch: Any) -> Any:
    import importlib

    return importlib.import_module(f"{torch.__name__}.nn.utils.prune")


METHODS = {
    "random": lambda tools, layer, amount: tools.random_unstructured(layer, "weight", amount),
    "smallest": lambda tools, layer, amount: tools.l1_unstructured(layer, "weight", amount),
    "random rows": lambda tools, layer, amount: tools.random_structured(layer, "weight", amount, 0),
    "smallest columns": lambda tools, layer, amount: tools.ln_structured(layer, "weight", amount, 2, 1),
    "smallest last": lambda tools, layer, amount: tools.ln_structured(layer, "weight", amount, 1, -1),
    "nothing": lambda tools, layer, amount: tools.identity(layer, "weight"),
}


@pytest.mark.parametrize("amount", [0, 1, 3, 0.0, 0.3, 0.5, 1.0, 100, -1, 1.5, "a", None])
@pytest.mark.parametrize("method", METHODS)
def test_a_method_prunes_its_amount(method: str, amount: Any) -> None:
    def program(torch: Any) -> Any:
        layer = torch.nn.Linear(4, 3)
        METHODS[method](_prune(torch), layer, amount)
        out = layer(torch.ones(2, 4))
        out.sum().backward()
        return layer.state_dict(), layer.weight.detach(), layer.weight_orig.grad, torch.rand(1), list(layer._buffers)

    assert_same(program)


@pytest.mark.parametrize("second", METHODS)
@pytest.mark.parametrize("first", METHODS)
def test_a_second_method_prunes_what_the_first_left(first: str, second: str) -> None:
    def program(torch: Any) -> Any:
        layer, tools = torch.nn.Linear(4, 3), _prune(torch)
        METHODS[first](tools, layer, 1)
        METHODS[second](tools, layer, 1)
        (hook,) = layer._forward_pre_hooks.values()
        return layer.state_dict(), [type(method).__name__ for method in hook], len(hook)

    assert_same(program)


def test_removing_makes_the_pruned_values_the_parameter() -> None:
    def program(torch: Any) -> Any:
        layer, tools = torch.nn.Linear(4, 3), _prune(torch)
        tools.l1_unstructured(layer, "weight", 0.5)
        net = torch.nn.Sequential(layer)
        pruned = tools.is_pruned(net)
        tools.remove(layer, "weight")
        return layer.state_dict(), layer.weight, pruned, tools.is_pruned(net), len(layer._forward_pre_hooks)

    assert_same(program)


def test_several_parameters_are_pruned_together() -> None:
    def program(torch: Any) -> Any:
        net, tools = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)), _prune(torch)
        parameters = [(net[0], "weight"), (net[1], "weight"), (net[1], "bias")]
        tools.global_unstructured(parameters, tools.L1Unstructured, amount=0.4)
        scores = {(net[0], "weight"): torch.arange(12.0).reshape(3, 4)}
        tools.global_unstructured(parameters, tools.L1Unstructured, importance_scores=scores, amount=2)
        return net.state_dict()

    assert_same(program)


ERRORS = {
    "one dimension": lambda torch, tools: tools.ln_structured(torch.nn.Linear(2, 2), "bias", 1, 2, 0),
    "a dimension too far": lambda torch, tools: tools.random_structured(torch.nn.Linear(2, 2), "weight", 1, 5),
    "an absent name": lambda torch, tools: tools.l1_unstructured(torch.nn.Linear(2, 2), "foo", 1),
    "no bias": lambda torch, tools: tools.l1_unstructured(torch.nn.Linear(2, 2, bias=False), "bias", 1),
    "a mask that does not fit": lambda torch, tools: tools.custom_from_mask(
        torch.nn.Linear(2, 2), "weight", torch.ones(2)
    ),
    "scores that do not fit": lambda torch, tools: tools.l1_unstructured(
        torch.nn.Linear(2, 2), "weight", 1, importance_scores=torch.ones(3)
    ),
    "no iterable": lambda torch, tools: tools.global_unstructured(3, tools.L1Unstructured, amount=1),
    "scores that are a number": lambda torch, tools: tools.global_unstructured(
        [(torch.nn.Linear(2, 2), "weight")], tools.L1Unstructured, importance_scores=3, amount=1
    ),
    "not pruned": lambda torch, tools: tools.remove(torch.nn.Linear(2, 2), "weight"),
    "no method": lambda torch, tools: tools.PruningContainer().add_pruning_method(3),
}


@pytest.mark.parametrize("case", ERRORS)
def test_misuse_raises(case: str) -> None:
    assert_same(lambda torch: ERRORS[case](torch, _prune(torch)))


def test_global_pruning_is_unstructured() -> None:
    def program(torch: Any) -> Any:
        tools = _prune(torch)
        tools.global_unstructured([(torch.nn.Linear(2, 2), "weight")], tools.LnStructured, amount=1, n=2)

    with pytest.raises(TypeError, match='Only "unstructured" PRUNING_TYPE supported'):
        program(torchplug)
    assert_same(program)


def test_a_tensor_can_be_pruned_without_a_module() -> None:
    assert_same(lambda torch: _prune(torch).L1Unstructured(3).prune(torch.tensor([3.0, 1.0, 2.0, 5.0, 4.0])))


def test_a_method_of_ones_own_can_be_applied() -> None:
    def program(torch: Any) -> Any:
        class EveryOther(_prune(torch).BasePruningMethod):
            PRUNING_TYPE = "unstructured"

            def compute_mask(self, t: Any, default_mask: Any) -> Any:
                mask = default_mask.clone()
                mask.view(-1)[::2] = 0
                return mask

        layer = torch.nn.Linear(4, 3)
        EveryOther.apply(layer, "weight")
        EveryOther.apply(layer, "bias")
        EveryOther.apply(layer, "weight")
        return layer.state_dict()

    assert_same(program)
