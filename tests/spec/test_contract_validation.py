"""A backend that does not fulfil the contract is refused when it loads, by the name of what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plugin_folder import PluginFolder, engine

from torchplug_spec import ArrayAPIBackend, Backend, BackendContractError, kernel, required_functions
from torchplug_spec.backend import CAPABILITIES
from torchplug_spec.registry import Registry
from torchplug_spec.validation import CAPABILITY_FUNCTIONS, class_fault, instance_fault, marked_kernels


class Toy(ArrayAPIBackend):
    name = "toy"
    xp = np


def variant(**attributes: Any) -> type[Backend]:
    return type("Toy", (Toy,), attributes)


def test_the_contract_asks_for_at_most_45_functions() -> None:
    assert len(required_functions()) <= 45


def test_a_right_class_and_instance_have_no_fault() -> None:
    assert class_fault(Toy, "toy") == ""
    assert instance_fault(Toy()) == ""


@pytest.mark.parametrize(
    ("attributes", "fault"),
    [
        ({"api_version": 99}, "it is written for version 99 of the contract, this torchplug speaks version 1"),
        ({"name": "other"}, "Toy is named 'other', expected 'toy', the name of its entry point"),
        ({"name": "To y"}, "the name 'To y' is not valid: expected lower case letters, digits, '-' and '_'"),
        ({"name": 3}, "the name 3 is not valid: expected lower case letters, digits, '-' and '_'"),
        ({"capabilities": {"mutabel"}}, "unknown capability 'mutabel' (did you mean 'mutable'?)"),
        ({"capabilities": "mutable"}, "capabilities is 'mutable', expected a frozenset of names"),
        ({"capabilities": None}, "capabilities is None, expected a frozenset of names"),
    ],
)
def test_a_wrong_class_attribute_is_named(attributes: dict[str, Any], fault: str) -> None:
    assert class_fault(variant(**attributes), "toy") == fault


def test_functions_left_out_are_listed_in_the_order_of_the_contract() -> None:
    body: dict[str, Any] = {name: lambda self: None for name in required_functions()}
    del body["exp"], body["devices"]
    assert class_fault(type("Half", (Backend,), {"name": "half", **body})) == "Half does not implement devices, exp"


def test_a_class_with_nothing_gets_the_first_names_and_a_count() -> None:
    fault = class_fault(type("Empty", (Backend,), {"name": "empty"}))
    assert fault.startswith("Empty does not implement devices, device_of, to_device")
    assert fault.endswith("and 37 more")


def test_a_class_without_a_name_is_refused() -> None:
    body: dict[str, Any] = {name: lambda self: None for name in required_functions()}
    assert class_fault(type("Nameless", (Backend,), body)) == "Nameless has no attribute 'name'"


def test_a_class_that_is_no_backend_is_refused() -> None:
    assert class_fault(dict) == "got the class dict, expected a subclass of torchplug_spec.Backend"


def test_every_capability_with_functions_is_a_capability() -> None:
    assert set(CAPABILITY_FUNCTIONS) <= set(CAPABILITIES)


@pytest.mark.parametrize("capability", ["mutable", "compile"])
def test_a_capability_declared_without_its_functions_is_refused(capability: str) -> None:
    backend = variant(capabilities=frozenset({capability}))()
    functions = ", ".join(CAPABILITY_FUNCTIONS[capability])
    expected = f"it declares the capability '{capability}' but does not implement {functions}"
    assert instance_fault(backend) == expected


def test_functions_of_a_capability_may_be_set_on_the_instance() -> None:
    backend = variant(capabilities=frozenset({"compile"}))()
    backend.compile = lambda fn, donate=(): fn  # type: ignore[method-assign]
    assert instance_fault(backend) == ""


def test_marked_kernels_are_found_with_those_of_the_base_class() -> None:
    class Fast(Toy):
        @kernel("softmax")
        def fast_softmax(self, x: object, axis: int) -> object:
            return x

    class Faster(Fast):
        @kernel("conv2d")
        def convolve(self, x: object) -> object:
            return x

    assert marked_kernels(Faster) == {"softmax": "fast_softmax", "conv2d": "convolve"}


def test_one_kernel_by_two_methods_is_refused() -> None:
    def first(self: object) -> None: ...
    def second(self: object) -> None: ...

    twice = variant(first=kernel("softmax")(first), second=kernel("softmax")(second))
    assert class_fault(twice) == "the methods first and second are both marked @kernel('softmax')"


@pytest.mark.parametrize(
    ("register", "fault"),
    [
        ("register(dict)", "got the class dict, expected a subclass of torchplug_spec.Backend"),
        ("register('Engine')", "it registered 'Engine', expected a subclass of torchplug_spec.Backend"),
        ("register(lambda: 7)", "its factory returned 7, expected a torchplug_spec.Backend"),
        ("register(Engine); register(Engine)", "it registers 2 backends for the name 'alpha', expected one"),
        ("pass", "it registers no backend; kernels and ops are selected with TORCHPLUG_PLUGINS instead"),
    ],
)
def test_a_plugin_that_registers_something_else_is_refused(
    plugins: PluginFolder, registry: Registry, register: str, fault: str
) -> None:
    plugins.add("alpha", engine("alpha").replace("register(Engine)", register))
    with pytest.raises(BackendContractError) as caught:
        registry.get("alpha")
    assert str(caught.value) == (
        f"backend 'alpha' (dist-alpha 1.2) breaks the contract: {fault}; upgrade or uninstall dist-alpha"
    )


@pytest.mark.parametrize(
    ("attribute", "source", "fault"),
    [
        ("plug", engine("alpha"), "its entry point is 'module_dist_alpha:plug', but there is no 'plug' there"),
        ("Plugin", engine("alpha"), "'module_dist_alpha:Plugin' is the class Plugin, expected an instance of it"),
        ("plugin", "plugin = 3", "'module_dist_alpha:plugin' implements no hook; mark its functions with @hookimpl"),
    ],
)
def test_an_entry_point_that_names_no_plugin_is_refused(
    plugins: PluginFolder, registry: Registry, attribute: str, source: str, fault: str
) -> None:
    plugins.add("alpha", source, attribute=attribute)
    with pytest.raises(BackendContractError) as caught:
        registry.get("alpha")
    assert fault in str(caught.value)


def test_a_hook_with_an_argument_the_contract_lacks_is_refused(plugins: PluginFolder, registry: Registry) -> None:
    plugins.add("alpha", engine("alpha").replace("(self, register)", "(self, register, config)"))
    with pytest.raises(BackendContractError, match="config"):
        registry.get("alpha")
