"""What assigning, reading, deleting and registering attributes of a Module means, and PyTorch's errors for misuse."""

from __future__ import annotations

from typing import Any

import pytest
from same_program import assert_same

from torchplug.nn.modules.module import Module, attribute_version
from torchplug.nn.parameter import Parameter


def _net(torch: Any) -> Any:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2, 3))
            self.register_parameter("bias", None)
            self.register_buffer("mean", torch.zeros(3))
            self.register_buffer("hidden", torch.zeros(2), persistent=False)
            self.plain = 3
            self.child = torch.nn.Module()
            self.child.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, x: Any) -> Any:
            return x * self.weight + self.mean

    return Net()


def _state(net: Any) -> tuple:
    plain = [name for name in net.__dict__ if not name.startswith("_")]
    return list(net._parameters), list(net._buffers), list(net._modules), sorted(net._non_persistent_buffers_set), plain


NAMES = ("a.b", "", "forward", 3, "weight", "bias", "mean", "child", "plain", "fresh")
VALUES = {
    "parameter": lambda torch: torch.nn.Parameter(torch.ones(2)),
    "tensor": lambda torch: torch.ones(2),
    "buffer": lambda torch: torch.nn.parameter.Buffer(torch.ones(2)),
    "passing buffer": lambda torch: torch.nn.parameter.Buffer(torch.ones(2), persistent=False),
    "module": lambda torch: torch.nn.Module(),
    "none": lambda torch: None,
    "number": lambda torch: 3.0,
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", ["weight", "bias", "mean", "hidden", "child", "plain", "fresh"])
def test_assigning_moves_a_name_between_the_registries_or_raises(name: str, value: str) -> None:
    def program(torch: Any) -> Any:
        net = _net(torch)
        setattr(net, name, VALUES[value](torch))
        return _state(net)

    assert_same(program)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["register_parameter", "register_buffer", "add_module", "register_module"])
def test_registering_checks_name_and_value(method: str, name: Any, value: str) -> None:
    def program(torch: Any) -> Any:
        net = _net(torch)
        getattr(net, method)(name, VALUES[value](torch))
        return _state(net)

    assert_same(program)


def test_a_parameter_must_be_a_leaf() -> None:
    def program(torch: Any) -> Any:
        parameter = torch.nn.Parameter(torch.ones(2))
        _net(torch).register_parameter("q", parameter * 2)

    assert_same(program)


@pytest.mark.parametrize("value", VALUES)
def test_assigning_before_init_raises_for_what_needs_a_registry(value: str) -> None:
    def program(torch: Any) -> Any:
        class Early(torch.nn.Module):
            def __init__(self) -> None:
                self.x = VALUES[value](torch)

        return list(Early().__dict__)

    assert_same(program)


@pytest.mark.parametrize("method", ["register_parameter", "register_buffer"])
def test_registering_before_init_raises(method: str) -> None:
    def program(torch: Any) -> Any:
        class Early(torch.nn.Module):
            def __init__(self) -> None:
                getattr(self, method)("x", None)

        Early()

    assert_same(program)


@pytest.mark.parametrize("name", ["weight", "bias", "mean", "hidden", "child", "plain", "absent"])
def test_deleting_removes_from_the_registry(name: str) -> None:
    def program(torch: Any) -> Any:
        net = _net(torch)
        delattr(net, name)
        return _state(net), hasattr(net, name)

    assert_same(program)


@pytest.mark.parametrize("name", ["weight", "bias", "mean", "hidden", "plain", "absent", "_private"])
def test_reading_finds_every_registry_or_raises(name: str) -> None:
    assert_same(lambda torch: getattr(_net(torch), name))


def test_dir_names_attributes_parameters_buffers_and_modules() -> None:
    def program(torch: Any) -> Any:
        names = dir(_net(torch))
        return [name for name in names if not name.startswith("_") and not hasattr(torch.nn.Module, name)]

    assert_same(program)


def test_the_interface_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    left_out = {"xpu", "ipu", "mtia", "T_destination"}
    expected = {name for name in vars(torch.nn.Module) if not name.startswith("_")} - left_out
    assert expected <= set(vars(Module))


@pytest.mark.parametrize("args, kwargs", [((3,), {}), ((), {"a": 3})])
def test_module_takes_no_arguments(args: tuple, kwargs: dict) -> None:
    assert_same(lambda torch: torch.nn.Module(*args, **kwargs))


def test_call_super_init_passes_arguments_on() -> None:
    def program(torch: Any) -> Any:
        class Other:
            def __init__(self, x: int) -> None:
                self.x = x

        class Both(torch.nn.Module, Other):
            call_super_init = True

        return Both(4).x

    assert_same(program)


def test_a_module_without_forward_raises_when_called() -> None:
    assert_same(lambda torch: torch.nn.Module()(3))


TARGETS = (
    "",
    "weight",
    "bias",
    "mean",
    "plain",
    "child",
    "child.scale",
    "child.absent",
    "absent",
    "plain.x",
    "absent.x",
)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["get_submodule", "get_parameter", "get_buffer"])
def test_dotted_names_are_followed(method: str, target: str) -> None:
    assert_same(lambda torch: getattr(_net(torch), method)(target))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("target", ["", "child", "child.new", "plain", "plain.x", "absent.x", "weight", "new"])
def test_set_submodule_replaces_a_module(target: str, strict: bool) -> None:
    def program(torch: Any) -> Any:
        net = _net(torch)
        net.set_submodule(target, torch.nn.Module(), strict)
        return net

    assert_same(program)


def test_set_submodule_refuses_what_is_no_module() -> None:
    assert_same(lambda torch: _net(torch).set_submodule("child", 3))


def _shared(torch: Any) -> Any:
    net = _net(torch)
    net.again = net.child
    net.tied = net.weight
    net.none = None
    net.add_module("empty", None)
    return net


@pytest.mark.parametrize("remove_duplicate", [True, False])
@pytest.mark.parametrize("method", ["named_modules", "named_parameters", "named_buffers"])
def test_walks_name_what_they_yield(method: str, remove_duplicate: bool) -> None:
    def program(torch: Any) -> Any:
        found = getattr(_shared(torch), method)(prefix="p", remove_duplicate=remove_duplicate)
        return [name for name, _ in found]

    assert_same(program)


def test_walks_can_stay_in_one_module() -> None:
    def program(torch: Any) -> Any:
        net = _shared(torch)
        return (
            [name for name, _ in net.named_parameters(recurse=False)],
            [name for name, _ in net.named_buffers(recurse=False)],
            [name for name, _ in net.named_children()],
            len(list(net.children())), len(list(net.modules())), len(list(net.parameters())), len(list(net.buffers())),
        )  # fmt: skip

    assert_same(program)


def test_the_version_of_attributes_rises_with_every_change_and_only_then() -> None:
    net = Module()
    changes = [
        lambda: setattr(net, "rate", 0.5),
        lambda: setattr(net, "rate", 0.25),
        lambda: setattr(net, "weight", Parameter()),
        lambda: setattr(net, "child", Module()),
        lambda: net.eval(),
        lambda: net.register_forward_hook(print).remove(),
        lambda: delattr(net, "rate"),
        lambda: delattr(net, "weight"),
    ]
    for change in changes:
        before = attribute_version()
        change()
        assert attribute_version() > before
    before = attribute_version()
    net.eval()
    net.mode = "x"
    after = attribute_version()
    net.mode = "x"
    assert attribute_version() == after > before


def test_removing_a_hook_counts_as_a_change() -> None:
    net = Module()
    handle = net.register_forward_hook(print)
    before = attribute_version()
    handle.remove()
    assert attribute_version() > before
