"""`torchplug.explain` says what an engine has itself, what is composed for it and what it lacks, and runs nothing there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import wrong_engines

import torchplug as torch
from torchplug_spec import BackendNotFoundError, kernel
from torchplug_strict import StrictBackend

Register = Callable[[type], str]


def refuses(self: Any, *args: Any) -> Any:
    raise AssertionError("explain computed on the engine it explains")


@kernel("softmax")
def own_softmax(self: Any, x: Any, dim: int) -> Any:
    raise AssertionError("explain computed on the engine it explains")


def with_softmax(**members: Any) -> type:
    """Returns the strict engine with a softmax of its own."""
    return type("Fused", (StrictBackend,), {"name": "mutant", "softmax": own_softmax, **members})


def names(uses: Any) -> list[str]:
    return [use.name for use in uses]


def test_own_kernels_and_compositions_are_told_apart(register: Register) -> None:
    name = register(with_softmax(exp=refuses, sqrt=refuses))
    found = torch.explain(lambda x: torch.layer_norm(torch.softmax(x.exp(), 1), (3,)), torch.rand(3, 3), backend=name)
    assert names(found.native) == ["exp", "softmax"]
    assert names(found.composed) == ["layer_norm"]
    assert "sqrt" in found.composed[0].parts and "softmax" not in found.composed[0].parts
    assert found.ok and not found.missing and found.backend == name


def test_what_composes_an_op_is_what_the_engine_has(register: Register) -> None:
    x = torch.rand(3, 3)
    plain = torch.explain(lambda x: torch.softmax(x, 1), x, backend="strict")
    assert names(plain.composed) == ["softmax"]
    assert set(plain.composed[0].parts) == {"max", "subtract", "exp", "sum", "divide"}


def test_an_own_kernel_inside_a_composition_is_not_taken_apart(register: Register) -> None:
    name = register(with_softmax())
    q = torch.rand(1, 2, 3, 4)
    attend = torch.nn.functional.scaled_dot_product_attention
    (use,) = torch.explain(lambda q: attend(q, q, q), q, backend=name).composed
    assert "softmax" in use.parts and "exp" not in use.parts


def test_the_line_the_count_and_the_dtypes_of_each_kernel_are_known() -> None:
    def looped(x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            x = x.tanh()
        return x

    (use,) = torch.explain(looped, torch.rand(2, dtype=torch.float64), backend="numpy").uses
    assert (use.name, use.calls, use.dtypes, use.phase) == ("tanh", 3, ("float64",), "forward")
    assert use.line == f"{__file__}:{looped.__code__.co_firstlineno + 2}"


def test_kernels_of_the_gradient_are_listed_unless_they_are_not_wanted() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x, 1)

    x = torch.rand(3, 3, requires_grad=True)
    found = torch.explain(function, x, backend="numpy")
    assert ("softmax_backward", "backward") in [(use.name, use.phase) for use in found.uses]
    assert names(torch.explain(function, x, backend="numpy", gradients=False).uses) == ["softmax"]


def test_a_dtype_that_the_engine_lacks_makes_an_op_missing(register: Register) -> None:
    name = register(wrong_engines.POOR)
    found = torch.explain(lambda x: torch.exp(x.double()).float().exp(), torch.rand(3), backend=name)
    assert not found.ok
    missing = {use.name: use.reason for use in found.missing}
    assert missing["exp"] == "float64 needs the capability 'float64'"


def test_an_op_whose_composition_needs_what_the_engine_lacks_is_missing(register: Register) -> None:
    name = register(wrong_engines.POOR)
    found = torch.explain(lambda x: torch.view_as_complex(x).abs(), torch.rand(3, 2), backend=name)
    assert "complex64 needs the capability 'complex'" in found.missing[0].reason


def test_the_report_is_a_table(register: Register) -> None:
    name = register(with_softmax())
    text = str(torch.explain(lambda x: torch.softmax(x, 1).tanh(), torch.rand(3, 3), backend=name))
    assert text.startswith("On mutant this needs 2 kernels: 1 native, 1 composed, 0 missing")
    assert "\ncomposed\n  tanh " in text and "\nnative\n  softmax " in text and "test_explain.py:" in text


def test_a_module_is_explained_and_left_as_it_was() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    random = torch.get_rng_state()
    found = torch.explain(model, torch.rand(4, 3), backend="strict")
    assert {"linear", "batch_norm"} <= set(names(found.uses))
    assert all((value == before[key]).all() for key, value in model.state_dict().items())
    assert model[0].weight.grad is None and model[0].weight.device == torch.device("numpy")
    assert (torch.get_rng_state() != random).any()  # torch.rand(4, 3) was drawn here, before explain


def test_the_default_backend_is_explained_when_none_is_named() -> None:
    with torch.use_backend("strict"):
        assert torch.explain(torch.tanh, torch.rand(2)).backend == "strict"


def test_wrong_use_is_answered_with_a_sentence() -> None:
    with pytest.raises(TypeError, match="explain.. got int for the function, expected something to call"):
        torch.explain(3)
    with pytest.raises(BackendNotFoundError, match="nonsense"):
        torch.explain(torch.tanh, torch.rand(2), backend="nonsense")
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        torch.explain(lambda x: x @ x, torch.rand(2, 3))


def test_a_kernel_that_takes_part_of_the_arguments_says_so() -> None:
    (use,) = torch.explain(lambda x: torch.softmax(x, 1), torch.rand(2, 2), backend="numpy").native
    assert use.reason == "in part; what it does not take is composed"
