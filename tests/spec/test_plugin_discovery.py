"""Plugins are found by metadata alone, and bad metadata hides nobody else's."""

from __future__ import annotations

import sys

import pytest
from plugin_folder import PluginFolder

from torchplug_spec import discovery
from torchplug_spec.registry import Registry


def test_listing_names_imports_no_plugin(plugins: PluginFolder, registry: Registry) -> None:
    plugins.add("alpha")
    plugins.add("beta")
    assert {"alpha", "beta"} < set(registry.names())
    registry.listing()
    assert plugins.imported() == []


def test_importing_the_registry_imports_neither_pluggy_nor_metadata(plugins: PluginFolder) -> None:
    code = "import sys, torchplug_spec.registry; print({'pluggy', 'importlib.metadata', 'numba'} & set(sys.modules))"
    assert plugins.run("-c", code).stdout.strip() == "set()"


def test_the_built_in_engines_are_known_without_metadata(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.distributions", lambda: iter(()))
    assert set(registry.names()) == {"numpy", "jax", "cupy", "strict"}


def test_a_built_in_engine_loads_without_a_scan(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchplug_spec.registry.scan", lambda: pytest.fail("scanned"))
    assert registry.get("numpy").name == "numpy"


def test_a_line_that_is_no_entry_point_hides_no_other_plugin(plugins: PluginFolder, registry: Registry) -> None:
    plugins.add_metadata("broken", "[torchplug.backends]\nnot an entry point\n[console_scripts]\n===\n")
    plugins.add("alpha")
    assert registry.get("alpha").name == "alpha"
    assert [row.reason for row in registry.listing() if row.distribution == "broken"] == [
        "the name 'not an entry point' is not valid: expected lower case letters, digits, '-' and '_'"
    ]


def test_metadata_that_is_not_text_hides_no_other_plugin(plugins: PluginFolder, registry: Registry) -> None:
    plugins.add_metadata("binary", "")
    (plugins.path / "binary-1.2.dist-info" / "entry_points.txt").write_bytes(b"[torchplug.backends]\n\xff\xfe = a:b\n")
    plugins.add("alpha")
    assert "alpha" in registry.names()


def test_a_folder_without_metadata_is_survived(plugins: PluginFolder, registry: Registry) -> None:
    plugins.add("alpha")
    (plugins.path / "dist_alpha-1.2.dist-info" / "METADATA").unlink()
    assert registry.get("alpha").name == "alpha"


def test_a_distribution_seen_twice_on_the_path_is_no_duplicate(
    plugins: PluginFolder, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins.add("alpha")
    again = plugins.path / "again"
    again.mkdir()
    PluginFolder(again).add("alpha")
    monkeypatch.setattr(sys, "path", [*sys.path, str(again)])
    assert registry.get("alpha").name == "alpha"


def test_a_plugin_installed_later_is_found_when_it_is_asked_for(plugins: PluginFolder, registry: Registry) -> None:
    assert "alpha" not in registry.names()
    plugins.add("alpha")
    assert registry.get("alpha").name == "alpha"


@pytest.mark.parametrize("name", ["numpy", "my-engine", "a_b", "2d"])
def test_a_valid_name_is_lower_case_letters_digits_and_signs(name: str) -> None:
    assert discovery.is_valid_name(name)


@pytest.mark.parametrize("name", ["", "NumPy", "-a", "a b", "a.b", "a/b", "ä", "a\n", 3])
def test_any_other_name_is_not_valid(name: object) -> None:
    assert not discovery.is_valid_name(name)
