"""`torchplug backends`: what it prints, and its exit status."""

from __future__ import annotations

import argparse
import json

import pytest
from plugin_folder import PluginFolder

from torchplug import backends_cli
from torchplug_spec import registry as process_registry
from torchplug_spec.registry import Registry


@pytest.fixture(autouse=True)
def own_registry(plugins: PluginFolder, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the command ask a registry that sees this test's plugins."""
    for name in ("listing", "extensions"):
        monkeypatch.setattr(process_registry, name, getattr(registry, name))


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser("torchplug backends")
    backends_cli.add_arguments(parser)
    return backends_cli.run(parser.parse_args(arguments))


def test_the_listing_names_engines_plugins_and_what_is_not_installed(
    plugins: PluginFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins.add("alpha")
    assert run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["alpha", "installed"] and line.endswith("dist-alpha 1.2") for line in lines)
    assert any(line.split()[:2] == ["numpy", "installed"] and line.endswith(", the default") for line in lines)
    assert lines[lines.index(next(line for line in lines if line.startswith("mlx"))) + 1].strip() == (
        "pip install torchplug-mlx"
    )


def test_an_engine_whose_library_is_missing_is_unavailable_without_a_check(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchplug_spec.listing.LIBRARIES", {"jax": "a_library_you_lack"})
    assert run("jax") == 1
    out = capsys.readouterr().out
    assert "unavailable" in out
    assert "the Python package 'a_library_you_lack' is not installed" in out
    assert "remedy: pip install 'torchplug[jax]'" in out


def test_an_unknown_name_is_one_sentence_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("numpy", "nunpy") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("torchplug backends: no backend or plugin is named 'nunpy'; there are ")
    assert captured.err.count("\n") == 1


def test_json_is_one_object_with_the_default_backends_and_extensions(
    plugins: PluginFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins.add("alpha")
    plugins.add("faster", group="extensions")
    assert run("--json", "alpha", "faster") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["default"] == "numpy"
    assert [row["name"] for row in answer["backends"]] == ["alpha"]
    assert [(row["name"], row["selected"]) for row in answer["extensions"]] == [("faster", False)]


def test_a_check_reports_devices_and_capabilities(plugins: PluginFolder, capsys: pytest.CaptureFixture[str]) -> None:
    plugins.add("alpha")
    assert run("--check", "alpha") == 0
    out = capsys.readouterr().out
    assert "available" in out
    assert "devices: cpu" in out
    assert "capabilities: float64" in out


def test_a_check_of_a_named_backend_that_is_not_usable_has_status_1(
    plugins: PluginFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins.add("alpha", "raise OSError('no device')")
    assert run("--check", "alpha") == 1
    assert "importing it failed: OSError: no device" in capsys.readouterr().out


def test_a_check_sees_the_source_folders_of_this_process(
    plugins: PluginFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--check", "numpy") == 0
    assert "available" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "inf", "nan"])
def test_a_timeout_that_is_no_time_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--check", "--timeout", seconds)
    assert caught.value.code == 2
    assert f"got '{seconds}', expected a number of seconds above 0" in capsys.readouterr().err


FASTER = """
from torchplug_spec.hookspecs import hookimpl

class Plugin:
    @hookimpl
    def register_kernels(self, register):
        for kernel in ("softmax", "gelu"):
            register("numpy", kernel, len)
        register("jax", "gelu", len)

plugin = Plugin()
"""


def test_the_check_names_what_a_plugin_overrides(plugins: PluginFolder, capsys: pytest.CaptureFixture[str]) -> None:
    plugins.add("faster", FASTER, group="extensions")
    assert run("faster", "--check") == 0
    said = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "kernels for jax: gelu" in said
    assert "kernels for numpy: gelu, softmax" in said


def test_a_default_with_plugins_named_after_it_marks_both(
    plugins: PluginFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins.add("faster", FASTER, group="extensions")
    monkeypatch.setenv("TORCHPLUG_BACKEND", "numpy+faster")
    assert run("numpy", "faster") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(", the default")
    assert any(line.startswith("faster") and line.endswith(", selected") for line in lines)
