"""Every module, optimizer, scheduler and sampler there is has a recipe, and every recipe has PyTorch's numbers."""

from __future__ import annotations

from typing import Any

import pytest

import torchplug
from torchplug.utils import data
from torchplug_conformance.cases import Subject, cases_of
from torchplug_conformance.parts.modules import missing
from torchplug_conformance.parts.recorded import recorded
from torchplug_conformance.recipes.misuse import MISUSES
from torchplug_conformance.recipes.modules import MODULES
from torchplug_conformance.recipes.optimizers import OPTIMIZERS
from torchplug_conformance.recipes.samplers import SAMPLERS
from torchplug_conformance.recipes.schedulers import SCHEDULERS
from torchplug_conformance.recipes.streams import STREAMS
from torchplug_conformance.recipes.training import TRAINING

TABLES = {
    "misuse": MISUSES,
    "modules": MODULES,
    "optimizers": OPTIMIZERS,
    "samplers": SAMPLERS,
    "schedulers": SCHEDULERS,
    "streams": STREAMS,
    "training": TRAINING,
}
BASES = {"Module", "RNNBase", "RNNCellBase", "Optimizer", "LRScheduler", "_LRScheduler", "Sampler"}
"""What others derive from, and what cannot be made alone."""

NEEDS_A_GPU = {"SyncBatchNorm"}
"""PyTorch refuses these on a CPU, so there is nothing to record; ours are held by tests beside BatchNorm."""


def classes(place: Any, base: type) -> set[str]:
    """Returns the names of a module's classes that derive from a base."""
    found = {name for name in dir(place) if isinstance(getattr(place, name), type)}
    return {name for name in found if issubclass(getattr(place, name), base)} - BASES - NEEDS_A_GPU


def names(table: str) -> set[str]:
    """Returns the classes a table of recipes has a recipe of."""
    return {name.partition("-")[0] for name in TABLES[table]}


def test_every_module_has_a_recipe() -> None:
    assert classes(torchplug.nn, torchplug.nn.Module) - names("modules") == set()


def test_every_optimizer_has_a_recipe() -> None:
    assert classes(torchplug.optim, torchplug.optim.Optimizer) - names("optimizers") == set()


def test_every_scheduler_has_a_recipe() -> None:
    schedulers = torchplug.optim.lr_scheduler
    # The one that watches a loss is no LRScheduler by ancestry in every version of PyTorch.
    there = classes(schedulers, schedulers.LRScheduler) | {"ReduceLROnPlateau"}
    assert there - names("schedulers") == set()


def test_every_sampler_and_the_loader_have_a_recipe() -> None:
    assert (classes(data, data.Sampler) | {"DataLoader"}) - names("samplers") == set()


@pytest.mark.parametrize("table", TABLES)
def test_every_recipe_has_recorded_numbers(table: str) -> None:
    assert set(recorded(table)) == set(TABLES[table])


@pytest.mark.parametrize(
    ("part", "tables", "ending"),
    [
        ("dtype", ("modules", "optimizers"), "-float64"),
        ("aliasing", ("modules", "optimizers"), ""),
        ("gradient", ("modules",), ""),
        ("replay", ("modules", "optimizers", "schedulers"), ""),
    ],
)
def test_every_recipe_is_a_case_of_the_parts_functions_are_held_in(
    part: str, tables: tuple[str, ...], ending: str
) -> None:
    cases = {case.name for case in cases_of(part, Subject("numpy"))}
    for table in tables:
        there = {name for name in TABLES[table] if table != "modules" or not missing(name)}
        assert {f"{table}-{name}{ending}" for name in there} <= cases


def test_every_module_optimizer_and_scheduler_is_called_wrongly() -> None:
    cases = {case.name.rpartition("-")[0] for case in cases_of("errors", Subject("numpy"))}
    for table in ("modules", "optimizers", "schedulers"):
        kinds = {
            f"{table}-{name.partition('-')[0]}" for name in TABLES[table] if table != "modules" or not missing(name)
        }
        assert {kind for kind in kinds if not any(case.startswith(kind) for case in cases)} == set()


@pytest.mark.parametrize("table", ["optimizers", "schedulers"])
def test_every_recipe_is_a_case_of_the_part_optimizers(table: str) -> None:
    cases = {case.name for case in cases_of("optimizers", Subject("numpy"))}
    assert set(TABLES[table]) <= cases


def test_every_scheduler_is_stopped_and_resumed() -> None:
    cases = {case.name for case in cases_of("optimizers", Subject("numpy"))}
    assert {f"{name}-resumed" for name in SCHEDULERS} <= cases


def test_every_sampler_is_a_case_of_the_part_streams() -> None:
    assert {*SAMPLERS, *STREAMS} <= {case.name for case in cases_of("streams", Subject("numpy"))}


def test_every_optimizer_and_scheduler_goes_through_a_file() -> None:
    cases = {case.name for case in cases_of("files", Subject("numpy"))}
    trained = {name.removeprefix("resume-").removeprefix("SGD-").partition("-")[0] for name in cases}
    assert names("optimizers") | names("schedulers") <= trained | {"SGD"}


def test_every_type_goes_through_every_kind_of_file() -> None:
    from torchplug_spec import dtypes

    cases = {case.name for case in cases_of("files", Subject("numpy"))}
    for dtype in dtypes.ALL:
        assert {f"save-{dtype.name}", f"save-to-a-path-{dtype.name}", f"legacy-{dtype.name}"} <= cases
        assert (f"safetensors-{dtype.name}" in cases) == (dtype is not dtypes.complex128)
