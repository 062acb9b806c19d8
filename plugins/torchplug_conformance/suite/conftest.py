"""Turns the cases of the chosen backend into tests."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from torchplug_conformance.cases import PARTS, Subject, cases_of
from torchplug_conformance.known_failures import KnownFailures
from torchplug_spec import BackendError


@functools.cache
def subject_of(name: str) -> Subject:
    """Returns the backend under test, loaded once."""
    try:
        return Subject(name)
    except BackendError as error:
        raise pytest.UsageError(str(error)) from None


@functools.cache
def known_failures_of(name: str) -> KnownFailures:
    """Returns the failures the backend declares."""
    try:
        return KnownFailures(subject_of(name).engine.backend)
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"backend '{name}': {error}") from None


def chosen_backend(config: pytest.Config) -> str:
    """Returns the name given with --torchplug-backend."""
    name = config.getoption("--torchplug-backend")
    if name is None:
        raise pytest.UsageError("say which backend to test: --torchplug-backend NAME")
    return str(name)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out the parts above the level asked for."""
    part = collection_path.stem.removeprefix("test_")
    return True if PARTS.get(part, 0) > config.getoption("--torchplug-level") else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Makes a test of every case of the module's part."""
    if "case" in metafunc.fixturenames:
        part = metafunc.module.__name__.rpartition(".")[2].removeprefix("test_")
        cases = cases_of(part, subject_of(chosen_backend(metafunc.config)))
        metafunc.parametrize("case", cases, ids=[case.name for case in cases])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts compiled replays first: compile looks for tensors in the whole heap, which other parts fill with programs."""
    items.sort(key=lambda item: item.path.stem != "test_replay")


@pytest.fixture(scope="session")
def known(request: pytest.FixtureRequest) -> KnownFailures:
    """The failures the backend declares."""
    return known_failures_of(chosen_backend(request.config))
