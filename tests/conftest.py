"""Fixtures of the whole test run: the engines present, one after the other."""

from __future__ import annotations

import pytest

ENGINES = ("numpy", "strict", "jax")


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
