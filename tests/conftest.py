"""What all tests have: the engines present, one after the other, and the goals that tests measure."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

ENGINES = ("numpy", "strict", "jax")


def pytest_configure(config: pytest.Config) -> None:
    """Adds up and prints the goals; `--torchplug-goals FILE`, an option of the suite's plugin, keeps them."""
    if not hasattr(config, "workerinput"):
        from torchplug_conformance.goals import Collector

        target = config.getoption("--torchplug-goals", default=None)
        if not config.pluginmanager.has_plugin("torchplug_goals"):
            config.pluginmanager.register(Collector(target), "torchplug_goals")


@pytest.fixture
def goal(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Notes a measurement of a goal: `goal(number, what, threshold, measured=1, at_most=False, on="")`."""
    from torchplug_conformance.goals import note

    return functools.partial(note, request.node)


@pytest.fixture(params=ENGINES)
def backend(request):
    """Runs a test once per engine, with that engine as the default backend."""
    import torchplug
    from torchplug_spec import BackendUnavailableError

    try:
        with torchplug.use_backend(request.param):
            yield request.param
    except BackendUnavailableError as error:
        pytest.skip(f"unavailable: {error}")
