"""torch.nn.utils: clipping gradients, parameters as a vector, modules without initialization."""

from __future__ import annotations

from typing import Any

import pytest
from same_program import assert_same

import torchplug
import torchplug.nn


def _parameters(torch: Any) -> list[Any]:
    first, second, third = (torch.nn.Parameter(torch.ones(*shape)) for shape in ((2, 3), (2,), (1,)))
    first.grad = torch.arange(6.0).reshape(2, 3)
    second.grad = torch.tensor([-3.0, 4.0])
    return [first, second, third]


@pytest.mark.parametrize("max_norm", [1.0, 1000.0])
@pytest.mark.parametrize("norm", [2, 2.0, 1, 0.5, float("inf"), "inf", 0, -1, float("-inf"), 3])
def test_gradients_are_scaled_to_a_norm(norm: Any, max_norm: float) -> None:
    def program(torch: Any) -> Any:
        parameters = _parameters(torch)
        total = torch.nn.utils.clip_grad_norm_(parameters, max_norm, norm)
        return total, [p.grad for p in parameters]

    assert_same(program)


GIVEN = {
    "one": lambda torch: _parameters(torch)[0],
    "a generator": lambda torch: (p for p in _parameters(torch)),
    "nothing": lambda torch: [],
    "an empty generator": lambda torch: (p for p in ()),
    "no gradients": lambda torch: _parameters(torch)[2:],
}


@pytest.mark.parametrize("given", GIVEN)
def test_clipping_takes_a_tensor_or_any_iterable(given: str) -> None:
    assert_same(lambda torch: torch.nn.utils.clip_grad_norm_(GIVEN[given](torch), 1.0))


@pytest.mark.parametrize("error", [False, True])
def test_a_norm_that_is_not_finite_raises_on_request(error: bool) -> None:
    def program(torch: Any) -> Any:
        parameters = _parameters(torch)
        parameters[0].grad[0, 0] = float("nan")
        return torch.nn.utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=error)

    assert_same(program)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_the_norm_has_the_dtype_of_the_gradients(dtype: str) -> None:
    def program(torch: Any) -> Any:
        parameter = torch.nn.Parameter(torch.ones(2000, dtype=getattr(torch, dtype)))
        parameter.grad = torch.full((2000,), 8.0, dtype=getattr(torch, dtype))
        return torch.nn.utils.clip_grad_norm_(parameter, 1.0), parameter.grad

    assert_same(program, rtol=1e-2)


def test_gradients_of_several_dtypes_are_clipped_together() -> None:
    def program(torch: Any) -> Any:
        parameters = _parameters(torch)
        parameters[0].data = parameters[0].data.double()
        parameters[0].grad = torch.ones(2, 3, dtype=torch.float64)
        return torch.nn.utils.clip_grad_norm_(parameters, 1.0), parameters[0].grad, parameters[1].grad

    assert_same(program)


def test_the_norm_can_be_taken_and_used_apart() -> None:
    def program(torch: Any) -> Any:
        parameters = _parameters(torch)
        total = torch.nn.utils.get_total_norm([p.grad for p in parameters[:2]])
        torch.nn.utils.clip_grads_with_norm_(parameters, 1.0, total / 2)
        return total, torch.nn.utils.get_total_norm(torch.ones(3)), [p.grad for p in parameters]

    assert_same(program)


def test_the_former_name_warns() -> None:
    assert_same(lambda torch: torch.nn.utils.clip_grad_norm(_parameters(torch), 1.0))


@pytest.mark.parametrize("value", [2.0, 3, 0.5])
def test_gradients_are_limited_value_by_value(value: float) -> None:
    def program(torch: Any) -> Any:
        parameters = _parameters(torch)
        torch.nn.utils.clip_grad_value_(parameters, value)
        return [p.grad for p in parameters]

    assert_same(program)


def test_parameters_become_a_vector_that_carries_gradients() -> None:
    def program(torch: Any) -> Any:
        parameters = _parameters(torch)
        vector = torch.nn.utils.parameters_to_vector(parameters)
        (vector * torch.arange(9.0)).sum().backward()
        return vector.detach(), [p.grad for p in parameters]

    assert_same(program)


def test_a_vector_becomes_parameters_that_share_its_memory() -> None:
    def program(torch: Any) -> Any:
        parameters, vector = _parameters(torch), torch.arange(9.0)
        torch.nn.utils.vector_to_parameters(vector, parameters)
        vector.zero_()
        return parameters, [p.requires_grad for p in parameters]

    assert_same(program)


@pytest.mark.parametrize(
    "vector", [lambda torch: [1.0], lambda torch: torch.arange(8.0), lambda torch: torch.arange(12.0)]
)
def test_a_vector_must_be_a_tensor_that_is_long_enough(vector: Any) -> None:
    assert_same(lambda torch: torch.nn.utils.vector_to_parameters(vector(torch), _parameters(torch)))


def test_skipping_initialization_draws_nothing() -> None:
    def program(torch: Any) -> Any:
        layer = torch.nn.utils.skip_init(torch.nn.Linear, 2, 3, dtype=torch.float64)
        return layer, layer.weight.dtype, layer.weight.requires_grad, torch.rand(1)

    assert_same(program)


def test_skipping_initialization_needs_a_module_with_a_device() -> None:
    assert_same(lambda torch: torch.nn.utils.skip_init(torch.nn.ReLU))
    with pytest.raises(RuntimeError, match="Expected a Module; got <class 'int'>"):
        torchplug.nn.utils.skip_init(int)
