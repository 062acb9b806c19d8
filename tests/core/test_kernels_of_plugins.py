"""Kernels that plugins bring for an engine: which function a namespace calls in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import torchplug
from torchplug._core.kind import Engine, engine_for, forget
from torchplug_numpy import NumPyBackend
from torchplug_spec import kernel, registry


def partial(name: str, takes: Callable[..., bool]) -> Callable[..., Any]:
    @kernel(name, partial=True)
    def function(x: Any, *_: Any) -> Any:
        return "the plugin's" if takes(x) else NotImplemented

    return function


X = np.ones((2, 3), np.float32)


def never(x: Any) -> bool:
    return False


def always(x: Any) -> bool:
    return True


def test_a_kernel_of_a_plugin_takes_the_place_of_the_engines() -> None:
    F = Engine(NumPyBackend(), {"softmax": partial("softmax", always)}).F
    assert F.softmax(X, 1) == "the plugin's"


def test_what_it_does_not_take_goes_to_the_engines_own_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NumPyBackend, "softmax", kernel("softmax")(lambda self, x, dim: "the engine's"))
    F = Engine(NumPyBackend(), {"softmax": partial("softmax", never)}).F
    assert F.softmax(X, 1) == "the engine's"
    assert not F.has_part("softmax")


def test_then_to_the_composition() -> None:
    # Over the first dimension the engine's own kernel gives up too.
    F = Engine(NumPyBackend(), {"softmax": partial("softmax", never)}).F
    np.testing.assert_allclose(F.softmax(X, 0), 0.5)
    assert F.has_part("softmax")


def test_a_function_of_the_contract_can_be_replaced_in_part() -> None:
    F = Engine(NumPyBackend(), {"exp": partial("exp", lambda x: x.ndim > 2)}).F
    np.testing.assert_allclose(F.exp(X), np.exp(X))
    assert F.exp(X[None]) == "the plugin's"


def test_an_engine_with_plugins_is_another_engine_over_the_same_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry._registry._selection, "kernels_for", lambda name, known: {})
    try:
        plain, beside = engine_for("numpy"), engine_for("numpy+faster")
        assert plain.backend is beside.backend
        assert beside.name == "numpy+faster"
        x = torchplug.ones(2, device="numpy+faster/cpu")
        assert x._kind.engine is beside
        with pytest.raises(RuntimeError, match="two devices"):
            x + torchplug.ones(2, device="numpy/cpu")
    finally:
        forget("numpy+faster")


def test_forgetting_a_backend_forgets_its_engines_with_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry._registry._selection, "kernels_for", lambda name, known: {})
    beside = engine_for("strict+faster")
    forget("strict")
    try:
        assert engine_for("strict+faster") is not beside
    finally:
        forget("strict")
