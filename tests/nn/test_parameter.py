"""Parameter, Buffer and their uninitialized forms."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from same_program import assert_same

import torchplug
from torchplug.nn.parameter import Parameter


@pytest.mark.parametrize("requires_grad", [True, False])
def test_a_parameter_shares_its_data_and_has_no_history(requires_grad: bool) -> None:
    def program(torch: Any) -> Any:
        source = torch.ones(2, requires_grad=True)
        made = source * 2
        parameter = torch.nn.Parameter(made, requires_grad=requires_grad)
        with torch.no_grad():
            parameter.add_(1)
        return parameter, parameter.is_leaf, made, made._version, type(parameter + 1), type(parameter.data)

    assert_same(program)


@pytest.mark.parametrize("data", [None, [1.0], 3.0])
def test_a_parameter_is_made_of_a_tensor_or_nothing(data: Any) -> None:
    assert_same(lambda torch: torch.nn.Parameter(data))


@pytest.mark.parametrize("requires_grad", [True, False])
def test_an_integer_parameter_cannot_require_grad(requires_grad: bool) -> None:
    assert_same(lambda torch: torch.nn.Parameter(torch.arange(3), requires_grad))


def test_a_parameter_prints_as_one() -> None:
    assert_same(lambda torch: repr(torch.nn.Parameter(torch.ones(2, 2))))


def test_a_deep_copy_has_the_values_but_not_the_gradient() -> None:
    def program(torch: Any) -> Any:
        parameter = torch.nn.Parameter(torch.ones(2))
        parameter.grad = torch.ones(2)
        parameter.note = 3
        other = copy.deepcopy([parameter, parameter])
        return other[0], other[0].grad, other[0] is other[1], hasattr(other[0], "note"), type(other[0])

    assert_same(program)


def test_a_pickled_parameter_comes_back_as_one() -> None:
    def program(torch: Any) -> Any:
        parameter = pickle.loads(pickle.dumps(torch.nn.Parameter(torch.ones(2), requires_grad=False)))
        return parameter, type(parameter)

    assert_same(program)


@pytest.mark.parametrize("persistent", [True, False])
def test_a_buffer_is_a_marked_tensor(persistent: bool) -> None:
    def program(torch: Any) -> Any:
        buffer = torch.nn.Buffer(torch.ones(2), persistent=persistent)
        return buffer, type(buffer), isinstance(buffer, torch.nn.Buffer), isinstance(torch.ones(1), torch.nn.Buffer)

    assert_same(program)


def test_an_uninitialized_parameter_knows_dtype_and_device_but_not_its_shape() -> None:
    def program(torch: Any) -> Any:
        lazy = torch.nn.UninitializedParameter(dtype=torch.float64)
        return (
            repr(lazy),
            lazy.dtype,
            lazy.device,
            lazy.requires_grad,
            lazy.is_leaf,
            lazy.grad,
            isinstance(lazy, torch.nn.Parameter),
        )

    assert_same(program)


def test_the_shape_of_an_uninitialized_parameter_raises() -> None:
    assert_same(lambda torch: torch.nn.UninitializedParameter().shape)


@pytest.mark.parametrize("use", [lambda p: p + 1, lambda p: p.clone(), torchplug.nn.init.zeros_, lambda p: p.numel()])
def test_computing_with_an_uninitialized_parameter_raises(use: Any) -> None:
    with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter in"):
        use(torchplug.nn.UninitializedParameter())


def test_materialize_turns_it_into_a_parameter() -> None:
    def program(torch: Any) -> Any:
        lazy = torch.nn.UninitializedParameter(dtype=torch.float64)
        other = copy.deepcopy(lazy)
        lazy.materialize((2, 3))
        return type(lazy), lazy.shape, lazy.dtype, lazy.requires_grad, lazy.is_leaf, type(other)

    assert_same(program)


def test_materialize_turns_a_buffer_into_a_tensor() -> None:
    def program(torch: Any) -> Any:
        lazy = torch.nn.UninitializedBuffer()
        lazy.materialize((2, 3), dtype=torch.int64)
        return type(lazy), lazy.shape, lazy.dtype, lazy.requires_grad

    assert_same(program)


def test_gradients_reach_a_materialized_parameter() -> None:
    lazy = torchplug.nn.UninitializedParameter()
    lazy.materialize((2,))
    with torchplug.no_grad():
        lazy.fill_(2.0)
    (lazy * 3).backward(torchplug.ones(2))
    assert lazy.grad is not None and lazy.grad.tolist() == [3.0, 3.0]
    assert type(lazy) is Parameter
