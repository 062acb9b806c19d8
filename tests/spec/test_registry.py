"""A backend is loaded once, by name, on first use; every refusal says who, why, and what to do."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from plugin_folder import PluginFolder, engine

from torchplug_spec import (
    ArrayAPIBackend,
    Backend,
    BackendContractError,
    BackendNotFoundError,
    BackendUnavailableError,
    kernel,
)
from torchplug_spec.registry import Registry


class Toy(ArrayAPIBackend):
    name = "toy"
    xp = np


def test_a_backend_is_built_once(plugins: PluginFolder, registry: Registry) -> None:
    plugins.add("alpha")
    assert registry.get("alpha") is registry.get("alpha")


def test_using_one_plugin_imports_no_other(plugins: PluginFolder, registry: Registry) -> None:
    plugins.add("alpha")
    plugins.add("beta")
    registry.get("alpha")
    assert plugins.imported() == ["module_dist_alpha"]


def test_threads_that_ask_at_once_get_one_instance(registry: Registry) -> None:
    built: list[Backend] = []
    start = threading.Barrier(8)

    class Counted(Toy):
        def __init__(self) -> None:
            super().__init__()
            built.append(self)

    registry.register(Counted)

    def ask() -> None:
        start.wait()
        registry.get("toy")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_a_backend_that_hangs_while_it_loads_keeps_no_thread_from_another(registry: Registry) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow(Toy):
        name = "slow"

        def __init__(self) -> None:
            super().__init__()
            entered.set()
            leave.wait(60)

    registry.register(Slow)
    registry.register(Toy)
    loading = threading.Thread(target=registry.get, args=("slow",))
    loading.start()
    try:
        assert entered.wait(60)
        assert registry.get("toy").name == "toy"
        assert not leave.is_set()
    finally:
        leave.set()
        loading.join()


def test_a_backend_that_asks_for_itself_while_it_loads_is_refused(registry: Registry) -> None:
    class Loop(Toy):
        name = "loop"

        def __init__(self) -> None:
            registry.get("loop")

    registry.register(Loop)
    with pytest.raises(BackendContractError, match="asks the registry for itself"):
        registry.get("loop")


# ---- absent ---------------------------------------------------------------------------------------------------------


def test_an_unknown_name_gets_the_closest_and_the_installed_ones(registry: Registry) -> None:
    with pytest.raises(BackendNotFoundError, match=r"'nunpy' \(did you mean 'numpy'\?\); installed are .*jax, numpy"):
        registry.get("nunpy")


def test_a_known_name_gets_the_way_to_install_it(registry: Registry) -> None:
    with pytest.raises(BackendNotFoundError, match="'mlx' is not installed; pip install torchplug-mlx"):
        registry.get("mlx")


def test_an_unknown_default_names_the_variable_it_came_from(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHPLUG_BACKEND", "nunpy")
    with pytest.raises(BackendNotFoundError, match="asked for by TORCHPLUG_BACKEND"):
        registry.get("nunpy")


def test_a_name_that_is_no_string_is_a_type_error(registry: Registry) -> None:
    with pytest.raises(TypeError, match="got list for the name of a backend, expected a string"):
        registry.get(["numpy"])  # type: ignore[arg-type]


def test_the_status_of_an_absent_backend_says_so(registry: Registry) -> None:
    status = registry.status("mlx")
    assert (status.state, status.remedy) == ("absent", "pip install torchplug-mlx")


# ---- installed but unavailable ---------------------------------------------------------------------------------------


def test_an_unavailable_backend_tells_plugin_version_cause_and_remedy(
    plugins: PluginFolder, registry: Registry
) -> None:
    body = (
        "def __init__(self):\n"
        "    from torchplug_spec import BackendUnavailableError\n"
        "    error = BackendUnavailableError('no Foo device in this machine')\n"
        "    error.remedy = 'plug one in'\n"
        "    raise error"
    )
    plugins.add("foo", engine("foo", body))
    with pytest.raises(BackendUnavailableError) as caught:
        registry.get("foo")
    assert str(caught.value) == (
        "backend 'foo' (dist-foo 1.2) cannot be used here: no Foo device in this machine; plug one in"
    )
    status = registry.status("foo")
    assert status[:4] == ("foo", "unavailable", "dist-foo", "1.2")
    assert (status.reason, status.remedy) == ("no Foo device in this machine", "plug one in")


def test_a_backend_that_mends_is_tried_again(registry: Registry) -> None:
    missing = [True]

    class Flaky(Toy):
        def __init__(self) -> None:
            super().__init__()
            if missing:
                raise ImportError("No module named 'foo'")

    registry.register(Flaky)
    assert registry.status("toy").state == "unavailable"
    missing.clear()
    assert registry.status("toy").state == "available"


def test_a_disabled_backend_is_unavailable_and_unread(
    plugins: PluginFolder, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins.add("alpha")
    monkeypatch.setenv("TORCHPLUG_DISABLE_BACKENDS", "jax, alpha")
    with pytest.raises(BackendUnavailableError, match="TORCHPLUG_DISABLE_BACKENDS names it"):
        registry.get("alpha")
    assert [row.state for row in registry.listing() if row.name in ("alpha", "jax")] == ["unavailable"] * 2
    assert plugins.imported() == []


def test_ctrl_c_while_a_plugin_loads_reaches_the_user(plugins: PluginFolder, registry: Registry) -> None:
    plugins.add("alpha", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        registry.get("alpha")


def test_a_backend_without_a_device_is_not_available(registry: Registry) -> None:
    class NoDevice(Toy):
        def devices(self) -> list[str]:
            return []

    registry.register(NoDevice)
    status = registry.status("toy")
    assert status.state == "unavailable"
    assert status.reason.startswith("devices() returned ()")


# ---- available -------------------------------------------------------------------------------------------------------


def test_the_status_of_an_available_backend_has_devices_and_capabilities(
    plugins: PluginFolder, registry: Registry
) -> None:
    plugins.add("alpha")
    assert registry.status("alpha") == (
        "alpha", "available", "dist-alpha", "1.2", ("cpu",), ("float64",), "", "",
    )  # fmt: skip


def test_a_loaded_backend_is_listed_as_available(registry: Registry) -> None:
    registry.register(Toy)
    before = [row.state for row in registry.listing() if row.name == "toy"]
    registry.get("toy")
    assert before + [row.state for row in registry.listing() if row.name == "toy"] == ["installed", "available"]


def test_only_engines_of_ours_and_of_this_process_are_tried_unasked(plugins: PluginFolder, registry: Registry) -> None:
    plugins.add("alpha")
    plugins.add("beta")
    registry.register(Toy)
    registry.get("beta")
    assert set(registry.implicit_names()) == {"numpy", "jax", "cupy", "strict", "toy", "beta"}


def test_an_unknown_kernel_is_refused_with_the_closest_known_one(registry: Registry) -> None:
    class Fused(Toy):
        @kernel("sofmax")
        def softmax(self, x: object, axis: int) -> object:
            return x

    registry.register(Fused)
    assert registry.get("toy").name == "toy"
    with pytest.raises(BackendContractError, match=r"unknown kernel 'sofmax' \(did you mean 'softmax'\?\)"):
        registry.get("toy", known_kernels={"softmax", "conv2d"})


# ---- registered in this process --------------------------------------------------------------------------------------


def test_register_is_a_decorator_that_returns_the_class(registry: Registry) -> None:
    assert registry.register(Toy) is Toy
    assert "toy" in registry.names()


@pytest.mark.parametrize("offer", [Toy, Toy(), lambda: Toy()], ids=["class", "instance", "function"])
def test_register_takes_a_class_an_instance_or_a_function(registry: Registry, offer: object) -> None:
    registry.register(offer)  # type: ignore[type-var]
    assert isinstance(registry.get("toy"), Toy)


def test_registering_a_name_again_replaces_the_backend(registry: Registry) -> None:
    class Second(Toy):
        pass

    registry.register(Toy)
    registry.get("toy")
    registry.register(Second)
    assert type(registry.get("toy")) is Second


def test_an_unregistered_backend_is_gone(registry: Registry) -> None:
    registry.register(Toy)
    registry.get("toy")
    registry.unregister("toy")
    with pytest.raises(BackendNotFoundError):
        registry.get("toy")


def test_no_class_of_a_program_takes_the_name_of_an_engine_of_ours(registry: Registry) -> None:
    class Impostor(Toy):
        name = "numpy"

    with pytest.raises(BackendContractError, match="the name belongs to torchplug's own engine"):
        registry.register(Impostor)
